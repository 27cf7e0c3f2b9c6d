/**
 * HorizontalPodAutoscalers of autoscaling/v1, which are stored as v2: v1 has one metric, CPU utilization;
 * everything else travels in annotations, the metrics among it in v1's own words.
 */
import type { KubeObject } from "#kinds/object.ts";

const annotationPrefix = "autoscaling.alpha.kubernetes.io/";

type Fields = Record<string, unknown>;
interface Metric {
  type: string;
  [source: string]: unknown;
}

export function autoscalerFromV2(object: KubeObject): KubeObject {
  const spec = { ...(object["spec"] as Fields | undefined) };
  const status = { ...(object["status"] as Fields | undefined) };
  const annotations = { ...object.metadata.annotations };
  const metrics = (spec["metrics"] as Metric[] | undefined) ?? [];
  const isCpu = (metric: Metric): boolean => cpuUtilization(metric, "target") !== undefined;
  const cpu = metrics.find(isCpu);
  if (cpu !== undefined) spec["targetCPUUtilizationPercentage"] = cpuUtilization(cpu, "target");
  note(
    annotations,
    "metrics",
    metrics.filter((each) => !isCpu(each)).map((each) => metricToV1(each, "target")),
  );
  if (spec["behavior"] !== undefined) note(annotations, "behavior", spec["behavior"]);
  delete spec["metrics"];
  delete spec["behavior"];
  const current = (status["currentMetrics"] as Metric[] | undefined | null) ?? [];
  const currentCpu = current.findLast((each) => cpuUtilization(each, "current") !== undefined);
  if (currentCpu !== undefined)
    status["currentCPUUtilizationPercentage"] = cpuUtilization(currentCpu, "current");
  note(
    annotations,
    "current-metrics",
    current.map((each) => metricToV1(each, "current")),
  );
  note(annotations, "conditions", status["conditions"] ?? []);
  delete status["currentMetrics"];
  delete status["conditions"];
  status["currentReplicas"] ??= 0;
  status["desiredReplicas"] ??= 0;
  const { ownerReferences, finalizers, managedFields, ...before } = object.metadata;
  const after = { ownerReferences, finalizers, managedFields };
  const metadata = {
    ...before,
    ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    ...Object.fromEntries(Object.entries(after).filter(([, value]) => value !== undefined)),
  };
  return { ...object, apiVersion: "autoscaling/v1", metadata, spec, status };
}

export function autoscalerToV2(object: KubeObject): KubeObject {
  const spec = { ...(object["spec"] as Fields | undefined) };
  const status = { ...(object["status"] as Fields | undefined) };
  const annotations = { ...object.metadata.annotations };
  const metrics = (take<Metric[]>(annotations, "metrics") ?? []).map((each) => metricFromV1(each, "target"));
  const utilization = spec["targetCPUUtilizationPercentage"];
  delete spec["targetCPUUtilizationPercentage"];
  if (utilization !== undefined)
    metrics.push(cpuMetric({ target: { type: "Utilization", averageUtilization: utilization } }));
  if (metrics.length > 0) spec["metrics"] = metrics;
  const behavior = take<unknown>(annotations, "behavior");
  if (behavior !== undefined) spec["behavior"] = behavior;
  const noted = take<Metric[]>(annotations, "current-metrics");
  const current = status["currentCPUUtilizationPercentage"];
  delete status["currentCPUUtilizationPercentage"];
  const currentMetrics =
    noted?.map((each) => metricFromV1(each, "current")) ??
    (current === undefined ? [] : [cpuMetric({ current: { averageUtilization: current } })]);
  status["currentMetrics"] = currentMetrics.length === 0 ? null : currentMetrics;
  const conditions = take<unknown[]>(annotations, "conditions");
  if (conditions !== undefined) status["conditions"] = conditions;
  const { annotations: _annotations, ...metadata } = object.metadata;
  return {
    ...object,
    apiVersion: "autoscaling/v2",
    metadata: Object.keys(annotations).length > 0 ? { ...metadata, annotations } : metadata,
    spec,
    status,
  };
}

/** A metric's wanted (`target`) or measured (`current`) values. */
type Side = "target" | "current";

function cpuMetric(values: Fields): Metric {
  return { type: "Resource", resource: { name: "cpu", ...values } };
}

function cpuUtilization(metric: Metric, side: Side): number | undefined {
  const resource = metric["resource"] as Fields | undefined;
  if (metric.type !== "Resource" || resource?.["name"] !== "cpu") return undefined;
  return (resource[side] as { averageUtilization?: number } | undefined)?.averageUtilization;
}

/** Names of v1 for the values of each type of metric: [v2's, v1's of a target, v1's of a current value]. */
const valueNames: Readonly<Record<string, readonly (readonly [string, string, string])[]>> = {
  resource: [
    ["averageUtilization", "targetAverageUtilization", "currentAverageUtilization"],
    ["averageValue", "targetAverageValue", "currentAverageValue"],
  ],
  pods: [["averageValue", "targetAverageValue", "currentAverageValue"]],
  object: [
    ["value", "targetValue", "currentValue"],
    ["averageValue", "averageValue", "averageValue"],
  ],
  external: [
    ["value", "targetValue", "currentValue"],
    ["averageValue", "targetAverageValue", "currentAverageValue"],
  ],
};
/** Values that v1 always writes: its quantities are not pointers there. */
const alwaysWritten = new Set([
  "pods.targetAverageValue",
  "pods.currentAverageValue",
  "object.targetValue",
  "object.currentValue",
  "external.currentValue",
  "resource.currentAverageValue",
  "containerResource.currentAverageValue",
]);

function sourceOf(metric: Metric): string {
  return metric.type.slice(0, 1).toLowerCase() + metric.type.slice(1);
}

function metricToV1(metric: Metric, side: Side): Metric {
  const source = sourceOf(metric);
  const given = metric[source] as Fields | undefined;
  if (given === undefined) return metric;
  const values = (given[side] ?? {}) as Fields;
  const out: Fields = {};
  if (source === "resource" || source === "containerResource") out["name"] = given["name"];
  if (source === "containerResource") out["container"] = given["container"];
  if (source === "object") out["target"] = given["describedObject"];
  const named = given["metric"] as { name?: string; selector?: unknown } | undefined;
  if (named !== undefined) {
    out["metricName"] = named.name;
    if (named.selector !== undefined)
      out[source === "external" ? "metricSelector" : "selector"] = named.selector;
  }
  for (const [name, target, current] of valueNames[source === "containerResource" ? "resource" : source] ??
    []) {
    const v1Name = side === "target" ? target : current;
    const value = values[name] ?? (alwaysWritten.has(`${source}.${v1Name}`) ? "0" : undefined);
    if (value !== undefined) out[v1Name] = value;
  }
  return { type: metric.type, [source]: out };
}

function metricFromV1(metric: Metric, side: Side): Metric {
  const source = sourceOf(metric);
  const given = metric[source] as Fields | undefined;
  // Trivet's first releases noted metrics as v2 has them.
  if (given === undefined || given[side] !== undefined) return metric;
  const values: Fields = {};
  for (const [name, target, current] of valueNames[source === "containerResource" ? "resource" : source] ??
    []) {
    const value = given[side === "target" ? target : current];
    if (value !== undefined) values[name] = value;
  }
  if (side === "target") values["type"] = targetType(values);
  const out: Fields = { [side]: values };
  if (given["name"] !== undefined) out["name"] = given["name"];
  if (given["container"] !== undefined) out["container"] = given["container"];
  if (source === "object") out["describedObject"] = given["target"];
  if (given["metricName"] !== undefined) {
    const selector = given["selector"] ?? given["metricSelector"];
    out["metric"] = { name: given["metricName"], ...(selector === undefined ? {} : { selector }) };
  }
  return { type: metric.type, [source]: out };
}

function targetType(values: Fields): string {
  if (values["averageUtilization"] !== undefined) return "Utilization";
  return values["averageValue"] !== undefined ? "AverageValue" : "Value";
}

function note(annotations: Record<string, string>, name: string, value: unknown): void {
  if (Array.isArray(value) && value.length === 0) return;
  annotations[annotationPrefix + name] = JSON.stringify(value);
}

function take<T>(annotations: Record<string, string>, name: string): T | undefined {
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
