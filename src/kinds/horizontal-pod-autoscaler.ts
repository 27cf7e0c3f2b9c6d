/** HorizontalPodAutoscaler (autoscaling/v2). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import type {
  HorizontalPodAutoscalerSpec,
  HorizontalPodAutoscalerStatus,
  MetricSpec,
} from "kubernetes-types/autoscaling/v2.d.ts";
import { scaleBoundsErrors, targetReferenceErrors } from "./autoscaling.ts";
import { defaultBehavior, validateBehavior, validateMetrics } from "./autoscaling-metrics.ts";
import type { FieldError } from "./field-error.ts";
import { nonNegativeErrors } from "./int-or-string.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler";

interface AutoscalerObject extends KubeObject {
  spec: HorizontalPodAutoscalerSpec;
  status?: HorizontalPodAutoscalerStatus;
}

export const horizontalPodAutoscaler = defineKind<AutoscalerObject>({
  group: "autoscaling",
  version: "v2",
  kind: "HorizontalPodAutoscaler",
  plural: "horizontalpodautoscalers",
  singular: "horizontalpodautoscaler",
  shortNames: ["hpa"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName, { generation: false }),
  subresources: {
    status: statusSubresource<AutoscalerObject>({
      validateUpdate: ({ status }) => [
        ...nonNegativeErrors(status?.currentReplicas, "status.currentReplicas"),
        ...nonNegativeErrors(status?.desiredReplicas, "status.desiredReplicas"),
      ],
    }),
  },
  applyDefaults({ spec }) {
    spec.minReplicas ??= 1;
    if ((spec.metrics ?? []).length === 0)
      spec.metrics = [
        {
          type: "Resource",
          resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
        },
      ];
    defaultBehavior(spec.behavior);
  },
  validate: ({ spec }) => validateSpec(spec),
  validateUpdate: ({ spec }) => validateSpec(spec),
  columns: [
    nameColumn,
    text(
      "Reference",
      "What is scaled.",
      ({ spec }) => `${spec.scaleTargetRef.kind}/${spec.scaleTargetRef.name}`,
    ),
    text("Targets", "Current and wanted values of the metrics.", (object) => targetsText(object)),
    text("MinPods", "Fewest pods.", ({ spec }) => String(spec.minReplicas ?? "<unset>")),
    {
      name: "MaxPods",
      type: "string",
      description: "Most pods.",
      priority: 0,
      cell: ({ spec }) => spec.maxReplicas,
    },
    {
      name: "Replicas",
      type: "string",
      description: "Pods now.",
      priority: 0,
      cell: ({ status }) => status?.currentReplicas ?? 0,
    },
    ageColumn,
  ],
});

function validateSpec(spec: HorizontalPodAutoscalerSpec): FieldError[] {
  const metrics = spec.metrics ?? [];
  const toZero = metrics.some(({ type }) => type === "Object" || type === "External");
  return [
    ...scaleBoundsErrors(spec, toZero),
    ...targetReferenceErrors(spec.scaleTargetRef, "spec.scaleTargetRef"),
    ...validateMetrics(metrics, "spec.metrics"),
    ...validateBehavior(spec.behavior, "spec.behavior"),
  ];
}

function targetsText({ spec, status }: AutoscalerObject): string {
  const metrics = spec.metrics ?? [];
  if (metrics.length === 0) return "<none>";
  const shown = metrics
    .slice(0, 2)
    .map((metric, index) => metricText(metric, status?.currentMetrics?.[index]));
  return metrics.length > 2 ? `${shown.join(", ")} + ${metrics.length - 2} more...` : shown.join(", ");
}

type CurrentMetric = NonNullable<HorizontalPodAutoscalerStatus["currentMetrics"]>[number];

function metricText(metric: MetricSpec, current: CurrentMetric | undefined): string {
  const fields = {
    Resource: "resource",
    ContainerResource: "containerResource",
    Pods: "pods",
    Object: "object",
    External: "external",
  } as const;
  const field = fields[metric.type as keyof typeof fields];
  if (field === undefined) return "<unknown type>";
  const source = metric[field];
  const now = current?.[field]?.current;
  if (source === undefined) return "<unknown>";
  const { target } = source;
  if (target.averageUtilization !== undefined) {
    const used = now?.averageUtilization === undefined ? "<unknown>" : `${now.averageUtilization}%`;
    const name = "name" in source ? `${String(source.name)}: ` : "";
    return `${name}${used}/${target.averageUtilization}%`;
  }
  if (target.averageValue !== undefined) {
    const value = now?.averageValue ?? "<unknown>";
    const name = "name" in source ? `${String(source.name)}: ` : "";
    const average = field === "object" || field === "external" ? " (avg)" : "";
    return `${name}${String(value)}/${String(target.averageValue)}${average}`;
  }
  return `${String(now?.value ?? "<unknown>")}/${String(target.value ?? "<auto>")}`;
}
