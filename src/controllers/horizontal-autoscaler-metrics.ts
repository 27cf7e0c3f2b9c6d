/**
 * What custom.metrics.k8s.io and external.metrics.k8s.io say of pods, of one object or of something outside of
 * the cluster, and how many replicas that asks for (upstream's documented algorithm and words).
 */
import { StatusError } from "#base/errors.ts";
import { formatLabelSelector } from "#kinds/label-selector.ts";
import type { LabelSelector } from "#kinds/label-selector.ts";
import { formatQuantity, quantityMilliValue } from "#kinds/quantity.ts";
import { list } from "./controller.ts";
import type { DiscoveredResource, Plan } from "./controller.ts";
import { isClose, replicasForMean, round } from "./horizontal-autoscaler-usage.ts";
import { pods } from "./kubernetes.ts";
import type { HorizontalPodAutoscaler, Pod } from "./kubernetes.ts";
import { isPodReady } from "./pod.ts";

export type Metric = NonNullable<HorizontalPodAutoscaler["spec"]["metrics"]>[number];

/** A metric that says nothing: `message` stands in events and conditions, `summary` in the sum of all problems. */
export class MetricError extends Error {
  readonly reason: string;
  readonly summary: string;

  constructor(reason: string, message: string, summary: string) {
    super(message);
    this.reason = reason;
    this.summary = summary;
  }
}

export interface Target {
  namespace: string | undefined;
  /** Of the target's pods, in its string form. */
  selector: string;
  specReplicas: number;
  statusReplicas: number;
}

export interface Asked {
  replicas: number;
  /** What the replicas follow from, for people. */
  metric: string;
  /** An entry of the autoscaler's status. */
  current: object;
}

interface Identifier {
  name: string;
  selector?: LabelSelector;
}

interface Goal {
  type?: string;
  value?: unknown;
  averageValue?: unknown;
}

interface ObjectReference {
  apiVersion?: string;
  kind: string;
  name: string;
}

/** Throws MetricError when nothing can be said. */
export function* askOtherMetric(metric: Metric, target: Target): Plan<Asked> {
  if (metric.pods !== undefined)
    return yield* askPods(metric.pods.metric as Identifier, metric.pods.target, target);
  if (metric.object !== undefined) {
    const { describedObject, metric: identifier, target: goal } = metric.object;
    return yield* askObject(identifier as Identifier, goal, describedObject, target);
  }
  if (metric.external !== undefined)
    return yield* askExternal(metric.external.metric as Identifier, metric.external.target, target);
  const text = `unknown metric source type ${JSON.stringify(metric.type)}`;
  throw new MetricError("InvalidMetricSourceType", text, text);
}

function* askPods(identifier: Identifier, goal: Goal, target: Target): Plan<Asked> {
  const fail = failing("FailedGetPodsMetric", "failed to get pods metric value");
  try {
    const path = yield* customPath(`namespaces/${target.namespace}/pods/*/${identifier.name}`);
    const items = yield* customValues(path, identifier, { labelSelector: target.selector });
    const usage = new Map(items.map((each) => [each.describedObject?.name ?? "", milli(each.value)]));
    const selected = yield* list(pods, target.namespace, target.selector);
    const verdict = replicasForMean(milli(goal.averageValue), target.specReplicas, selected, usage);
    return {
      replicas: verdict.replicas,
      metric: `pods metric ${identifier.name}`,
      current: {
        type: "Pods",
        pods: { metric: identifier, current: { averageValue: text(verdict.averageMilli) } },
      },
    };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw fail(error);
    throw fail(new Error(`unable to get metric ${identifier.name}: ${error.message}`));
  }
}

function* askObject(
  identifier: Identifier,
  goal: Goal,
  described: ObjectReference,
  target: Target,
): Plan<Asked> {
  const prefix = "failed to get object metric value";
  const isMean = goal.type === "AverageValue";
  const fail = failing(
    "FailedGetObjectMetric",
    isMean ? `${prefix}: failed to get ${identifier.name} object metric` : prefix,
  );
  if (!isMean && goal.type !== "Value")
    throw fail(
      new Error("invalid object metric source: neither a value target nor an average value target was set"),
    );
  const status = (current: object): object => ({
    type: "Object",
    object: { metric: identifier, current, describedObject: described },
  });
  try {
    const usage = yield* objectValue(identifier, described, target.namespace);
    if (isMean) {
      const verdict = perPod(usage, milli(goal.averageValue), target.statusReplicas);
      // Upstream calls it so.
      const metric = `external metric ${identifier.name}(${goSelector(identifier.selector)})`;
      return {
        replicas: verdict.replicas,
        metric,
        current: status({ averageValue: text(verdict.averageMilli) }),
      };
    }
    const replicas = yield* byRatio(usage / milli(goal.value), target);
    const metric = `${described.kind} metric ${identifier.name}`;
    return { replicas, metric, current: status({ value: text(usage) }) };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw fail(error);
    const { kind, name } = described;
    // Upstream's words, in which the error stands at the end by mistake.
    throw fail(
      new Error(
        `unable to get metric ${identifier.name}: ${kind} on ${target.namespace} ${name}/${error.message}`,
      ),
    );
  }
}

function* askExternal(identifier: Identifier, goal: Goal, target: Target): Plan<Asked> {
  const prefix = `failed to get ${identifier.name} external metric value`;
  const hasGoal = goal.averageValue !== undefined || goal.value !== undefined;
  const fail = failing(
    "FailedGetExternalMetric",
    hasGoal ? `${prefix}: failed to get ${identifier.name} external metric` : prefix,
  );
  if (!hasGoal)
    throw fail(
      new Error("invalid external metric source: neither a value target nor an average value target was set"),
    );
  const status = (current: object): object => ({
    type: "External",
    external: { metric: identifier, current },
  });
  const metric = `external metric ${identifier.name}(${goSelector(identifier.selector)})`;
  try {
    const usage = yield* externalValue(identifier, target.namespace);
    if (goal.averageValue !== undefined) {
      const verdict = perPod(usage, milli(goal.averageValue), target.statusReplicas);
      return {
        replicas: verdict.replicas,
        metric,
        current: status({ averageValue: text(verdict.averageMilli) }),
      };
    }
    const replicas = yield* byRatio(usage / milli(goal.value), target);
    return { replicas, metric, current: status({ value: text(usage) }) };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw fail(error);
    const which = `${target.namespace}/${identifier.name}/${formatLabelSelector(identifier.selector)}`;
    throw fail(new Error(`unable to get external metric ${which}: ${error.message}`));
  }
}

/** A metrics API that does not answer, or has nothing to tell. */
class Unavailable extends Error {}

function failing(reason: string, summary: string): (error: unknown) => MetricError {
  return (error) => {
    const { message } = error as Error;
    return new MetricError(reason, message, `${summary}: ${message}`);
  };
}

interface MetricValue {
  describedObject?: { name?: string };
  value: unknown;
}

function* objectValue(
  identifier: Identifier,
  { apiVersion = "", kind, name }: ObjectReference,
  namespace: string | undefined,
): Plan<number> {
  const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
  const served = (yield { type: "discover" }) as readonly DiscoveredResource[];
  const resource = served.find((each) => each.group === group && each.kind === kind);
  if (resource === undefined)
    throw new Unavailable(
      `unable to fetch metrics from custom metrics API: no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`,
    );
  const plural = group === "" ? resource.plural : `${resource.plural}.${group}`;
  const place =
    group === "" && kind === "Namespace"
      ? `namespaces/${name}/metrics`
      : `${resource.namespaced ? `namespaces/${namespace}/` : ""}${plural}/${name}`;
  const items = yield* customValues(yield* customPath(`${place}/${identifier.name}`), identifier, {});
  return milli(items[0]!.value);
}

function* customPath(rest: string): Plan<string> {
  const group = "/apis/custom.metrics.k8s.io";
  let served: { versions?: { version: string }[] } = {};
  try {
    served = (yield { type: "getPath", path: group, query: {} }) as typeof served;
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    if (error.code !== 404)
      throw new Unavailable(`unable to fetch metrics from custom metrics API: ${error.message}`);
  }
  const versions = (served.versions ?? []).map((each) => each.version);
  const version = ["v1beta2", "v1beta1"].find((each) => versions.includes(each));
  if (version === undefined)
    throw new Unavailable(
      "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered",
    );
  return `${group}/${version}/${rest}`;
}

function* customValues(
  path: string,
  { selector }: Identifier,
  query: Record<string, string>,
): Plan<MetricValue[]> {
  const metricLabelSelector = selector === undefined ? "" : formatLabelSelector(selector);
  return yield* values(path, "custom", {
    ...query,
    ...(metricLabelSelector === "" ? {} : { metricLabelSelector }),
  });
}

/** Of all that the selector means, together. */
function* externalValue({ name, selector }: Identifier, namespace: string | undefined): Plan<number> {
  const path = `/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/${name}`;
  const query: Record<string, string> =
    selector === undefined ? {} : { labelSelector: formatLabelSelector(selector) };
  const items = yield* values(path, "external", query, name);
  return items.reduce((sum, each) => sum + milli(each.value), 0);
}

function* values(
  path: string,
  api: "custom" | "external",
  query: Record<string, string>,
  resource?: string,
): Plan<MetricValue[]> {
  let answer: { items?: MetricValue[] };
  try {
    answer = (yield { type: "getPath", path, query }) as typeof answer;
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    const why =
      error.code === 404 && resource !== undefined
        ? `the server could not find the requested resource (get ${resource}.external.metrics.k8s.io)`
        : error.message;
    throw new Unavailable(`unable to fetch metrics from ${api} metrics API: ${why}`);
  }
  const items = answer.items ?? [];
  if (items.length === 0) throw new Unavailable(`no metrics returned from ${api} metrics API`);
  return items;
}

/** So many times the ready pods, where that is far enough from what there is. */
function* byRatio(ratio: number, { namespace, selector, specReplicas }: Target): Plan<number> {
  if (specReplicas === 0) return Math.ceil(round(ratio));
  if (isClose(ratio)) return specReplicas;
  const selected: Pod[] = yield* list(pods, namespace, selector);
  if (selected.length === 0)
    throw new Error(
      "unable to calculate ready pods: no pods returned by selector while calculating replica count",
    );
  const ready = selected.filter((each) => each.status.phase === "Running" && isPodReady(each)).length;
  return Math.ceil(round(ratio * ready));
}

function perPod(usage: number, mean: number, replicas: number): { replicas: number; averageMilli: number } {
  return {
    replicas: isClose(usage / (mean * replicas)) ? replicas : Math.ceil(round(usage / mean)),
    averageMilli: Math.ceil(usage / replicas),
  };
}

function milli(quantity: unknown): number {
  return quantityMilliValue(String(quantity));
}

function text(amountMilli: number): string {
  return formatQuantity({ nano: BigInt(Math.trunc(amountMilli)) * 1_000_000n, format: "DecimalSI" });
}

/** As Go prints a pointer to a selector. */
function goSelector(selector: LabelSelector | undefined): string {
  if (selector === undefined) return "<nil>";
  const labels = Object.entries(selector.matchLabels ?? {})
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, value]) => `${key}: ${value},`)
    .join("");
  const expressions = (selector.matchExpressions ?? [])
    .map(
      (each) =>
        `LabelSelectorRequirement{Key:${each.key},Operator:${each.operator},Values:[${(each.values ?? []).join(" ")}],},`,
    )
    .join("");
  return `&LabelSelector{MatchLabels:map[string]string{${labels}},MatchExpressions:[]LabelSelectorRequirement{${expressions}},}`;
}
