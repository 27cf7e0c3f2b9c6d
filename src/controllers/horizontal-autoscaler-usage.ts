/**
 * How many replicas the use of cpu or memory asks for (upstream's documented algorithm): pods that are
 * starting or not measured are counted so that they can only make a change smaller.
 */
import { quantityMilliValue } from "#kinds/quantity.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Pod } from "./kubernetes.ts";
import { podCondition } from "./pod.ts";

export interface PodMetrics extends KubeObject {
  timestamp: string;
  window: string;
  containers: { name: string; usage: Record<string, string> }[];
}

export interface UsageTarget {
  resource: string;
  /** Only this container of each pod. */
  container: string | undefined;
  /** Either percent of the requests, or a mean per pod in thousandths. */
  utilization: number | undefined;
  averageMilli: number | undefined;
}

export interface UsageVerdict {
  replicas: number;
  utilization: number | undefined;
  averageMilli: number;
}

const tolerance = 0.1;
const initializationMs = 300_000;
const firstReadinessMs = 30_000;

/** Throws an Error with upstream's text when nothing can be said. */
export function replicasForUsage(
  target: UsageTarget,
  current: number,
  pods: readonly Pod[],
  metrics: readonly PodMetrics[],
  nowMs: number,
): UsageVerdict {
  const usage = usageByPod(target, metrics);
  if (usage.size === 0)
    throw new Error(
      `unable to get metrics for resource ${target.resource}: no metrics returned from resource metrics API`,
    );
  if (pods.length === 0) throw new Error("no pods returned by selector while calculating replica count");
  const goal = goalsOf(target, pods);
  const metricsOf = new Map(metrics.map((each) => [each.metadata.name, each]));
  const groups = groupPods(pods, usage, (pod) => {
    const found = metricsOf.get(pod.metadata.name);
    return target.resource === "cpu" && found !== undefined && isStarting(pod, found, nowMs);
  });
  return verdictOf(target.utilization, current, groups, usage, goal);
}

/** As many as bring the pods' own figures to this mean, in thousandths. Throws as `replicasForUsage` does. */
export function replicasForMean(
  averageMilli: number,
  current: number,
  pods: readonly Pod[],
  usage: ReadonlyMap<string, number>,
): UsageVerdict {
  if (pods.length === 0) throw new Error("no pods returned by selector while calculating replica count");
  const goal = new Map(pods.map((each) => [each.metadata.name ?? "", averageMilli]));
  return verdictOf(
    undefined,
    current,
    groupPods(pods, usage, () => false),
    usage,
    goal,
  );
}

function verdictOf(
  utilization: number | undefined,
  current: number,
  groups: Groups,
  usage: ReadonlyMap<string, number>,
  goal: ReadonlyMap<string, number>,
): UsageVerdict {
  const measured = new Map(groups.ready.map((name) => [name, usage.get(name) ?? 0]));
  if (measured.size === 0)
    throw new Error("did not receive metrics for targeted pods (pods might be unready)");
  const ratio = ratioOf(measured, goal);
  const verdict = {
    utilization: utilization === undefined ? undefined : Math.floor(ratio * utilization + 1e-9),
    averageMilli: Math.floor(sum(measured.values()) / measured.size),
  };
  const countsUnready = groups.unready.length > 0 && ratio > 1;
  if (!countsUnready && groups.missing.length === 0) {
    const replicas = isClose(ratio) ? current : Math.ceil(round(ratio * measured.size));
    return { ...verdict, replicas };
  }
  // Those that are not measured use all of their share when going down and nothing when going up.
  for (const name of groups.missing) {
    if (ratio < 1) measured.set(name, (goal.get(name) ?? 0) * Math.max(1, 100 / (utilization ?? 100)));
    else if (ratio > 1) measured.set(name, 0);
  }
  if (countsUnready) for (const name of groups.unready) measured.set(name, 0);
  const careful = ratioOf(measured, goal);
  const turned = (ratio < 1 && careful > 1) || (ratio > 1 && careful < 1);
  const replicas = Math.ceil(round(careful * measured.size));
  const wrongWay = (careful < 1 && replicas > current) || (careful > 1 && replicas < current);
  return { ...verdict, replicas: isClose(careful) || turned || wrongWay ? current : replicas };
}

function usageByPod(target: UsageTarget, metrics: readonly PodMetrics[]): Map<string, number> {
  const usage = new Map<string, number>();
  for (const { metadata, containers } of metrics) {
    const chosen = containers.filter(
      (each) => target.container === undefined || each.name === target.container,
    );
    const amounts = chosen.map((each) => each.usage[target.resource]);
    if (amounts.length === 0 || amounts.includes(undefined)) continue;
    usage.set(metadata.name ?? "", sum(amounts.map((each) => quantityMilliValue(each ?? "0"))));
  }
  return usage;
}

/** What each pod should use, in thousandths. */
function goalsOf(target: UsageTarget, pods: readonly Pod[]): Map<string, number> {
  const { utilization, averageMilli = 0, resource, container } = target;
  const goals = new Map<string, number>();
  for (const pod of pods) {
    const name = pod.metadata.name ?? "";
    if (utilization === undefined) {
      goals.set(name, averageMilli);
      continue;
    }
    let requested = 0;
    for (const each of [...pod.spec.containers, ...sidecarsOf(pod)]) {
      if (container !== undefined && each.name !== container) continue;
      const amount = (each.resources?.requests as Record<string, string> | undefined)?.[resource];
      if (amount === undefined)
        throw new Error(`missing request for ${resource} in container ${each.name} of Pod ${name}`);
      requested += quantityMilliValue(amount);
    }
    goals.set(name, (requested * utilization) / 100);
  }
  return goals;
}

function sidecarsOf(pod: Pod): Pod["spec"]["containers"] {
  return (pod.spec.initContainers ?? []).filter(
    (each) => (each as { restartPolicy?: string }).restartPolicy === "Always",
  );
}

/** Names of pods. */
interface Groups {
  ready: string[];
  unready: string[];
  missing: string[];
}

function groupPods(
  pods: readonly Pod[],
  usage: ReadonlyMap<string, number>,
  isWarmingUp: (pod: Pod) => boolean,
): Groups {
  const groups: Groups = { ready: [], unready: [], missing: [] };
  for (const pod of pods) {
    const name = pod.metadata.name ?? "";
    if (pod.metadata.deletionTimestamp !== undefined || pod.status.phase === "Failed") continue;
    if (pod.status.phase === "Pending") groups.unready.push(name);
    else if (!usage.has(name)) groups.missing.push(name);
    else if (isWarmingUp(pod)) groups.unready.push(name);
    else groups.ready.push(name);
  }
  return groups;
}

/** What a starting pod burns says nothing about its later use. */
function isStarting(pod: Pod, metrics: PodMetrics, nowMs: number): boolean {
  const ready = podCondition(pod, "Ready");
  const startedAt = pod.status.startTime as unknown as string | undefined;
  if (ready === undefined || startedAt === undefined) return true;
  const startedMs = Date.parse(startedAt);
  const changedMs = Date.parse(ready.lastTransitionTime ?? "");
  if (startedMs + initializationMs > nowMs) {
    const windowMs = Number.parseFloat(metrics.window) * 1000 || 0;
    return ready.status === "False" || Date.parse(metrics.timestamp) < changedMs + windowMs;
  }
  return ready.status === "False" && startedMs + firstReadinessMs > changedMs;
}

function ratioOf(measured: ReadonlyMap<string, number>, goals: ReadonlyMap<string, number>): number {
  return sum(measured.values()) / sum([...measured.keys()].map((name) => goals.get(name) ?? 0));
}

export function isClose(ratio: number): boolean {
  return Math.abs(1 - ratio) <= tolerance + 1e-9;
}

/** Without what floating point adds: 3.0000000000000004 replicas are 3. */
export function round(replicas: number): number {
  return Math.round(replicas * 1e9) / 1e9;
}

function sum(amounts: Iterable<number>): number {
  let total = 0;
  for (const each of amounts) total += each;
  return total;
}
