/** HorizontalPodAutoscaler (autoscaling/v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import type {
  HorizontalPodAutoscalerSpec,
  HorizontalPodAutoscalerStatus,
} from "kubernetes-types/autoscaling/v1.d.ts";
import { type FieldError, invalid } from "./field-error.ts";
import { scaleBoundsErrors, targetReferenceErrors } from "./autoscaling.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const annotationPrefix = "autoscaling.alpha.kubernetes.io/";
const schemaName = "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler";

interface AutoscalerObject extends KubeObject {
  spec: HorizontalPodAutoscalerSpec;
  status?: HorizontalPodAutoscalerStatus;
}

export const horizontalPodAutoscalerV1 = defineKind<AutoscalerObject>({
  group: "autoscaling",
  version: "v1",
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
    status: statusSubresource(),
  },
  versionAnnotations: ["metrics", "behavior", "current-metrics", "conditions"].map(
    (each) => annotationPrefix + each,
  ),
  applyDefaults({ metadata, spec }) {
    spec.minReplicas ??= 1;
    if (metadata.annotations?.[`${annotationPrefix}metrics`] === undefined)
      spec.targetCPUUtilizationPercentage ??= 80;
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
    text("Targets", "Current and wanted values of the metrics.", (object) => targetText(object)),
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
  const errors = [
    ...scaleBoundsErrors(spec, false),
    ...targetReferenceErrors(spec.scaleTargetRef, "spec.scaleTargetRef"),
  ];
  const target = spec.targetCPUUtilizationPercentage;
  if (target !== undefined && target < 1)
    errors.push(
      invalid("spec.metrics[0].resource.target.averageUtilization", target, "must be greater than 0"),
    );
  return errors;
}

function targetText({ spec, status }: AutoscalerObject): string {
  if (spec.targetCPUUtilizationPercentage === undefined) return "<none>";
  const current = status?.currentCPUUtilizationPercentage;
  return `cpu: ${current === undefined ? "<unknown>" : `${current}%`}/${spec.targetCPUUtilizationPercentage}%`;
}
