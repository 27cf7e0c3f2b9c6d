/**
 * Kinds that are served in a version or group in which they are not stored: HorizontalPodAutoscaler v1
 * (stored as v2) and events.k8s.io/v1 Event (stored as core v1).
 */
import type { AnyKind } from "#kinds/kind.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { VersionConversion } from "./registry.ts";

export interface ConvertedKind {
  /** group/version/plural of the kind whose form is stored. */
  storage: string;
  conversion: VersionConversion;
}

export const convertedKinds: Readonly<Record<string, ConvertedKind>> = {
  "events.k8s.io/v1/events": {
    storage: "/v1/events",
    conversion: { fromStorage: eventFromCore, toStorage: eventToCore },
  },
  "autoscaling/v1/horizontalpodautoscalers": {
    storage: "autoscaling/v2/horizontalpodautoscalers",
    conversion: { fromStorage: autoscalerFromV2, toStorage: autoscalerToV2 },
  },
};

export function keyOfKind(kind: AnyKind): string {
  return `${kind.group}/${kind.version}/${kind.plural}`;
}

/** Fields that the two forms of Event name differently: [events.k8s.io, core]. */
const eventFields: readonly (readonly [string, string])[] = [
  ["note", "message"],
  ["regarding", "involvedObject"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
  ["reportingController", "reportingComponent"],
];

function eventFromCore(object: KubeObject): KubeObject {
  const renamed = rename(
    object,
    eventFields.map(([left, right]) => [right, left] as const),
  );
  renamed.apiVersion = "events.k8s.io/v1";
  return renamed;
}

function eventToCore(object: KubeObject): KubeObject {
  const renamed = rename(object, eventFields);
  renamed.apiVersion = "v1";
  return renamed;
}

function rename(object: KubeObject, fields: readonly (readonly [string, string])[]): KubeObject {
  const names = new Map(fields);
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [names.get(key) ?? key, value]),
  ) as unknown as KubeObject;
}

const annotationPrefix = "autoscaling.alpha.kubernetes.io/";

interface MetricSpec {
  type: string;
  resource?: { name: string; target?: { type?: string; averageUtilization?: number } };
}
interface MetricStatus {
  type: string;
  resource?: { name: string; current?: { averageUtilization?: number } };
}

/** v1 has one metric, CPU utilization; everything else travels in annotations. */
function autoscalerFromV2(object: KubeObject): KubeObject {
  const spec = { ...(object["spec"] as Record<string, unknown> | undefined) };
  const status = { ...(object["status"] as Record<string, unknown> | undefined) };
  const annotations = { ...object.metadata.annotations };
  const metrics = (spec["metrics"] as MetricSpec[] | undefined) ?? [];
  const cpu = metrics.find((each) => each.type === "Resource" && each.resource?.name === "cpu");
  const utilization = cpu?.resource?.target?.averageUtilization;
  if (utilization !== undefined) spec["targetCPUUtilizationPercentage"] = utilization;
  const others = utilization === undefined ? metrics : metrics.filter((each) => each !== cpu);
  if (others.length > 0) annotations[`${annotationPrefix}metrics`] = JSON.stringify(others);
  if (spec["behavior"] !== undefined)
    annotations[`${annotationPrefix}behavior`] = JSON.stringify(spec["behavior"]);
  delete spec["metrics"];
  delete spec["behavior"];
  const currentMetrics = (status["currentMetrics"] as MetricStatus[] | undefined) ?? [];
  const currentCpu = currentMetrics.find((each) => each.type === "Resource" && each.resource?.name === "cpu");
  const current = currentCpu?.resource?.current?.averageUtilization;
  if (current !== undefined) status["currentCPUUtilizationPercentage"] = current;
  const otherCurrent =
    current === undefined ? currentMetrics : currentMetrics.filter((each) => each !== currentCpu);
  if (otherCurrent.length > 0)
    annotations[`${annotationPrefix}current-metrics`] = JSON.stringify(otherCurrent);
  const conditions = status["conditions"] as unknown[] | undefined | null;
  if (conditions !== undefined && conditions !== null && conditions.length > 0) {
    annotations[`${annotationPrefix}conditions`] = JSON.stringify(conditions);
  }
  delete status["currentMetrics"];
  delete status["conditions"];
  status["currentReplicas"] ??= 0;
  status["desiredReplicas"] ??= 0;
  const converted: KubeObject = { ...object, apiVersion: "autoscaling/v1", spec, status };
  converted.metadata = { ...object.metadata };
  if (Object.keys(annotations).length > 0) converted.metadata.annotations = annotations;
  return converted;
}

function autoscalerToV2(object: KubeObject): KubeObject {
  const spec = { ...(object["spec"] as Record<string, unknown> | undefined) };
  const status = { ...(object["status"] as Record<string, unknown> | undefined) };
  const annotations = { ...object.metadata.annotations };
  const metrics = takeJson<MetricSpec[]>(annotations, "metrics") ?? [];
  const utilization = spec["targetCPUUtilizationPercentage"];
  delete spec["targetCPUUtilizationPercentage"];
  if (utilization !== undefined) {
    metrics.push({
      type: "Resource",
      resource: { name: "cpu", target: { type: "Utilization", averageUtilization: utilization as number } },
    });
  }
  if (metrics.length > 0) spec["metrics"] = metrics;
  const behavior = takeJson<unknown>(annotations, "behavior");
  if (behavior !== undefined) spec["behavior"] = behavior;
  const currentMetrics = takeJson<unknown[]>(annotations, "current-metrics") ?? [];
  const current = status["currentCPUUtilizationPercentage"];
  delete status["currentCPUUtilizationPercentage"];
  if (current !== undefined) {
    currentMetrics.push({
      type: "Resource",
      resource: { name: "cpu", current: { averageUtilization: current } },
    });
  }
  status["currentMetrics"] = currentMetrics.length === 0 ? null : currentMetrics;
  const conditions = takeJson<unknown[]>(annotations, "conditions");
  if (conditions !== undefined) status["conditions"] = conditions;
  const converted: KubeObject = { ...object, apiVersion: "autoscaling/v2", spec, status };
  converted.metadata = { ...object.metadata };
  if (Object.keys(annotations).length > 0) converted.metadata.annotations = annotations;
  else delete converted.metadata.annotations;
  return converted;
}

function takeJson<T>(annotations: Record<string, string>, name: string): T | undefined {
  const key = annotationPrefix + name;
  const text = annotations[key];
  if (text === undefined) return undefined;
  delete annotations[key];
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
