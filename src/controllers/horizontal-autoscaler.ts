/**
 * HorizontalPodAutoscalers: every fifteen seconds the use of cpu and memory (metrics.k8s.io), and what other
 * metrics APIs tell (`horizontal-autoscaler-metrics.ts`), says how many replicas the target's scale should have.
 */
import { StatusError } from "#base/errors.ts";
import type { KubeObject } from "#kinds/object.ts";
import { formatQuantity, quantityMilliValue } from "#kinds/quantity.ts";
import { setCondition } from "./conditions.ts";
import type { Condition } from "./conditions.ts";
import { list, on, record, requeueAfter, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, DiscoveredResource, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { MetricError, askOtherMetric } from "./horizontal-autoscaler-metrics.ts";
import type { Metric } from "./horizontal-autoscaler-metrics.ts";
import { limitChange } from "./horizontal-autoscaler-limits.ts";
import type { ScalingHistory } from "./horizontal-autoscaler-limits.ts";
import { replicasForUsage } from "./horizontal-autoscaler-usage.ts";
import type { PodMetrics, UsageTarget } from "./horizontal-autoscaler-usage.ts";
import { horizontalPodAutoscalers, pods } from "./kubernetes.ts";
import type { HorizontalPodAutoscaler, Resource } from "./kubernetes.ts";
import { timestamp } from "./pod.ts";

interface Scale extends KubeObject {
  spec?: { replicas?: number };
  status?: { replicas?: number; selector?: string };
}

const periodMs = 15_000;
const podMetrics: Resource<PodMetrics> = {
  group: "metrics.k8s.io",
  version: "v1beta1",
  plural: "pods",
  kind: "PodMetrics",
  namespaced: true,
};

export function horizontalAutoscalerController(): Controller {
  const histories = new Map<string, ScalingHistory>();
  return {
    name: "horizontal-pod-autoscaler",
    triggers: [
      on(
        horizontalPodAutoscalers,
        self,
        (object, old) => object === undefined || !equal(object.spec, old?.spec),
      ),
    ],
    writes: [horizontalPodAutoscalers],
    *plan(view: View, key: string, nowMs: number): Plan {
      const { namespace, name } = splitKey(key);
      const autoscaler = view.get(horizontalPodAutoscalers, namespace, name);
      if (autoscaler === undefined || autoscaler.metadata.deletionTimestamp !== undefined) {
        histories.delete(key);
        return;
      }
      let history = histories.get(key);
      if (history === undefined) histories.set(key, (history = { recommendations: [], changes: [] }));
      yield* requeueAfter(periodMs);
      yield* new Autoscaling(autoscaler, history, nowMs).run();
    },
  };
}

/** One look at one autoscaler. The status grows while it runs. */
class Autoscaling {
  readonly #autoscaler: HorizontalPodAutoscaler;
  readonly #history: ScalingHistory;
  readonly #nowMs: number;
  #conditions: Condition[];
  #current: unknown[] = [];

  constructor(autoscaler: HorizontalPodAutoscaler, history: ScalingHistory, nowMs: number) {
    this.#autoscaler = autoscaler;
    this.#history = history;
    this.#nowMs = nowMs;
    this.#conditions = [...((autoscaler.status.conditions ?? []) as Condition[])];
  }

  *run(): Plan {
    const target = yield* this.#target();
    if (target === undefined) return;
    const { scale } = target;
    this.#set(
      "AbleToScale",
      "True",
      "SucceededGetScale",
      "the HPA controller was able to get the target's current scale",
    );
    const { maxReplicas: most, minReplicas: least = 1 } = this.#autoscaler.spec;
    const current = scale.spec?.replicas ?? 0;
    if (this.#history.recommendations.length === 0)
      this.#history.recommendations.push({ atMs: this.#nowMs, replicas: current });
    let wanted = current;
    let reason = "";
    if (current === 0 && least !== 0) {
      this.#set(
        "ScalingActive",
        "False",
        "ScalingDisabled",
        "scaling is disabled since the replica count of the target is zero",
      );
    } else if (current > most) {
      wanted = most;
      reason = "Current number of replicas above Spec.MaxReplicas";
    } else if (current < least) {
      wanted = least;
      reason = "Current number of replicas below Spec.MinReplicas";
    } else {
      const asked = yield* this.#askMetrics(scale, current);
      if (asked === undefined) {
        yield* this.#write(current, undefined);
        return;
      }
      if (asked.replicas > current) reason = `${asked.metric} above target`;
      if (asked.replicas < current) reason = "All metrics below target";
      wanted = this.#limit(current, asked.replicas, least, most);
    }
    if (wanted !== current && !(yield* this.#rescale(target, current, wanted, reason))) return;
    yield* this.#write(current, wanted, wanted !== current);
  }

  /** The target's scale, or a condition that says why there is none. */
  *#target(): Plan<{ resource: Resource; scale: Scale } | undefined> {
    const { scaleTargetRef } = this.#autoscaler.spec;
    const { namespace } = this.#autoscaler.metadata;
    try {
      const resource = findTarget((yield { type: "discover" }) as DiscoveredResource[], scaleTargetRef);
      const { name } = scaleTargetRef;
      const scale = (yield { type: "get", resource, namespace, name, subresource: "scale" }) as Scale;
      return { resource, scale };
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      yield* record(this.#autoscaler, "Warning", "FailedGetScale", error.message);
      this.#set(
        "AbleToScale",
        "False",
        "FailedGetScale",
        `the HPA controller was unable to get the target's current scale: ${error.message}`,
      );
      yield* this.#write(
        this.#autoscaler.status.currentReplicas ?? 0,
        this.#autoscaler.status.desiredReplicas,
      );
      return undefined;
    }
  }

  /** The most that any metric asks for; undefined when nothing can be said. */
  *#askMetrics(scale: Scale, current: number): Plan<{ replicas: number; metric: string } | undefined> {
    const selector = scale.status?.selector ?? "";
    if (selector === "") {
      yield* record(this.#autoscaler, "Warning", "SelectorRequired", "selector is required");
      this.#set("ScalingActive", "False", "InvalidSelector", "the HPA target's scale is missing a selector");
      return undefined;
    }
    const metrics = this.#autoscaler.spec.metrics ?? [];
    let best: { replicas: number; metric: string } | undefined;
    let firstProblem: string | undefined;
    let invalid = 0;
    for (const metric of metrics) {
      try {
        const asked = yield* this.#askMetric(metric, scale, selector, current);
        if (best === undefined || asked.replicas > best.replicas) best = asked;
      } catch (error) {
        if (!(error instanceof MetricError)) throw error;
        invalid++;
        if (firstProblem === undefined) {
          firstProblem = error.summary;
          this.#set(
            "ScalingActive",
            "False",
            error.reason,
            `the HPA was unable to compute the replica count: ${error.message}`,
          );
        }
        yield* record(this.#autoscaler, "Warning", error.reason, error.message);
      }
    }
    // Going down is left alone while any metric is unknown.
    if (firstProblem !== undefined && (best === undefined || best.replicas < current)) {
      const message = `invalid metrics (${invalid} invalid out of ${metrics.length}), first error is: ${firstProblem}`;
      yield* record(this.#autoscaler, "Warning", "FailedComputeMetricsReplicas", message);
      return undefined;
    }
    if (best !== undefined)
      this.#set(
        "ScalingActive",
        "True",
        "ValidMetricFound",
        `the HPA was able to successfully calculate a replica count from ${best.metric}`,
      );
    return best;
  }

  *#askMetric(
    metric: Metric,
    scale: Scale,
    selector: string,
    current: number,
  ): Plan<{ replicas: number; metric: string }> {
    const { namespace } = this.#autoscaler.metadata;
    const target = usageTarget(metric);
    if (target === undefined) {
      const statusReplicas = scale.status?.replicas ?? 0;
      const asked = yield* askOtherMetric(metric, {
        namespace,
        selector,
        specReplicas: current,
        statusReplicas,
      });
      this.#current.push(asked.current);
      return asked;
    }
    const value = target.utilization === undefined ? "metric value" : "utilization";
    const reason =
      target.container === undefined ? "FailedGetResourceMetric" : "FailedGetContainerResourceMetric";
    const failure = (why: string): MetricError => {
      const message = `failed to get ${target.resource} ${value}: ${why}`;
      const which =
        target.container === undefined ? `${target.resource} resource` : `${target.container} container`;
      return new MetricError(reason, message, `failed to get ${which} metric value: ${message}`);
    };
    let measured: PodMetrics[];
    try {
      measured = yield* list(podMetrics, namespace, selector);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      const why =
        error.code === 404
          ? "the server could not find the requested resource (get pods.metrics.k8s.io)"
          : error.message;
      throw failure(
        `unable to get metrics for resource ${target.resource}: unable to fetch metrics from resource metrics API: ${why}`,
      );
    }
    const selected = yield* list(pods, namespace, selector);
    let verdict;
    try {
      verdict = replicasForUsage(target, current, selected, measured, this.#nowMs);
    } catch (error) {
      throw failure((error as Error).message);
    }
    const averageValue = formatQuantity({
      nano: BigInt(verdict.averageMilli) * 1_000_000n,
      format: "DecimalSI",
    });
    const usage = {
      name: target.resource,
      ...(target.container === undefined ? {} : { container: target.container }),
      current: {
        averageValue,
        ...(verdict.utilization === undefined ? {} : { averageUtilization: verdict.utilization }),
      },
    };
    this.#current.push(
      target.container === undefined
        ? { type: "Resource", resource: usage }
        : { type: "ContainerResource", containerResource: usage },
    );
    const kind = target.container === undefined ? "resource" : "container resource";
    const unit = target.utilization === undefined ? "" : " utilization (percentage of request)";
    return { replicas: verdict.replicas, metric: `${target.resource} ${kind}${unit}` };
  }

  #limit(current: number, wanted: number, least: number, most: number): number {
    const { behavior } = this.#autoscaler.spec;
    const history = this.#history;
    const limited = limitChange({ current, wanted, least, most, behavior, history, nowMs: this.#nowMs });
    const { stabilization, limit } = limited;
    this.#set("AbleToScale", "True", stabilization.reason, stabilization.message);
    this.#set("ScalingLimited", limit.isLimited ? "True" : "False", limit.reason, limit.message);
    return limited.replicas;
  }

  *#rescale(
    { resource, scale }: { resource: Resource; scale: Scale },
    current: number,
    wanted: number,
    reason: string,
  ): Plan<boolean> {
    const object = { ...scale, spec: { ...scale.spec, replicas: wanted } };
    try {
      yield { type: "update", resource, object, subresource: "scale" };
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      const text = `New size: ${wanted}; reason: ${reason}; error: ${error.message}`;
      yield* record(this.#autoscaler, "Warning", "FailedRescale", text);
      this.#set(
        "AbleToScale",
        "False",
        "FailedUpdateScale",
        `the HPA controller was unable to update the target scale: ${error.message}`,
      );
      yield* this.#write(current, undefined);
      return false;
    }
    this.#history.changes.push({ atMs: this.#nowMs, by: wanted - current });
    this.#set(
      "AbleToScale",
      "True",
      "SucceededRescale",
      `the HPA controller was able to update the target scale to ${wanted}`,
    );
    yield* record(this.#autoscaler, "Normal", "SuccessfulRescale", `New size: ${wanted}; reason: ${reason}`);
    return true;
  }

  #set(type: string, status: string, reason: string, message: string): void {
    this.#conditions = setCondition(this.#conditions, { type, status, reason, message }, this.#nowMs);
  }

  /** `desired`: undefined leaves what the status says. */
  *#write(current: number, desired: number | undefined, rescaled = false): Plan {
    const old = this.#autoscaler.status;
    const status = {
      ...old,
      currentReplicas: current,
      desiredReplicas: desired ?? old.desiredReplicas ?? 0,
      currentMetrics: this.#current.length === 0 ? (old.currentMetrics ?? null) : this.#current,
      conditions: this.#conditions,
      ...(rescaled ? { lastScaleTime: timestamp(this.#nowMs) } : {}),
    };
    if (equal(status, old)) return;
    yield* updateStatus(horizontalPodAutoscalers, {
      ...this.#autoscaler,
      status,
    } as unknown as HorizontalPodAutoscaler);
  }
}

function findTarget(
  served: readonly DiscoveredResource[],
  { apiVersion = "", kind }: { apiVersion?: string; kind: string },
): Resource {
  const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
  const found = served.find((each) => each.group === group && each.kind === kind);
  if (found !== undefined) return found;
  throw new StatusError(
    "NotFound",
    `no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`,
  );
}

/** Undefined for metrics that are not the use of a resource. */
function usageTarget(metric: Metric): UsageTarget | undefined {
  const source = metric.resource ?? metric.containerResource;
  if (source === undefined) return undefined;
  const { averageUtilization, averageValue } = source.target;
  return {
    resource: source.name,
    container: metric.containerResource?.container,
    utilization: averageUtilization,
    averageMilli:
      averageValue === undefined ? undefined : quantityMilliValue(averageValue as unknown as string),
  };
}
