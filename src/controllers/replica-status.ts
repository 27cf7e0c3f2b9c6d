/** The status that ReplicaSets and ReplicationControllers share, and the order in which pods go. */
import { omitEmpty } from "./equality.ts";
import type { Pod } from "./kubernetes.ts";
import { isPodAvailable, isPodReady, podCondition, timestamp } from "./pod.ts";
import type { Condition } from "./pod.ts";

export interface ReplicaStatus {
  replicas: number;
  fullyLabeledReplicas?: number;
  readyReplicas?: number;
  availableReplicas?: number;
  observedGeneration?: number;
  conditions?: Condition[];
}

export function replicaStatus(options: {
  pods: readonly Pod[];
  templateLabels: Record<string, string>;
  minReadySeconds: number;
  generation: number;
  old: ReplicaStatus;
  failure: { reason: string; message: string } | undefined;
  nowMs: number;
}): ReplicaStatus {
  const { pods, templateLabels, minReadySeconds, generation, old, failure, nowMs } = options;
  const labels = Object.entries(templateLabels);
  const labeled = pods.filter((pod) =>
    labels.every(([name, value]) => pod.metadata.labels?.[name] === value),
  );
  const conditions = (old.conditions ?? []).filter((each) => each.type !== "ReplicaFailure");
  const known = (old.conditions ?? []).find((each) => each.type === "ReplicaFailure");
  if (failure !== undefined) {
    conditions.push(
      known ?? { type: "ReplicaFailure", status: "True", ...failure, lastTransitionTime: timestamp(nowMs) },
    );
  }
  return {
    replicas: pods.length,
    ...omitEmpty({
      fullyLabeledReplicas: labeled.length,
      readyReplicas: pods.filter(isPodReady).length,
      availableReplicas: pods.filter((pod) => isPodAvailable(pod, minReadySeconds, nowMs)).length,
      observedGeneration: generation,
      conditions,
    }),
  };
}

/**
 * The pods in the order in which they are deleted when fewer are wanted: those without a node first,
 * then pending, not ready, cheap, crowded, recently ready, often restarted, young. Ages count only by
 * their order of magnitude (upstream's LogarithmicScaleDown).
 */
export function deletionOrder(pods: readonly Pod[], related: readonly Pod[], nowMs: number): Pod[] {
  const onNode = new Map<string, number>();
  for (const { spec } of related) {
    if (spec.nodeName !== undefined) onNode.set(spec.nodeName, (onNode.get(spec.nodeName) ?? 0) + 1);
  }
  const rank = (pod: Pod): number => onNode.get(pod.spec.nodeName ?? "") ?? 0;
  return [...pods].sort(
    (a, b) =>
      Number(isAssigned(a)) - Number(isAssigned(b)) ||
      phaseOrder(a) - phaseOrder(b) ||
      Number(isPodReady(a)) - Number(isPodReady(b)) ||
      deletionCost(a) - deletionCost(b) ||
      rank(b) - rank(a) ||
      (isPodReady(a) && isPodReady(b) ? compareAges(readySinceMs(a), readySinceMs(b), a, b, nowMs) : 0) ||
      restarts(b) - restarts(a) ||
      compareAges(createdMs(a), createdMs(b), a, b, nowMs),
  );
}

function isAssigned(pod: Pod): boolean {
  return (pod.spec.nodeName ?? "") !== "";
}

function phaseOrder(pod: Pod): number {
  return pod.status.phase === "Pending" ? 0 : pod.status.phase === "Running" ? 2 : 1;
}

function deletionCost(pod: Pod): number {
  const cost = pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"];
  return cost === undefined || !/^(0|-?[1-9]\d*)$/.test(cost) ? 0 : Number(cost);
}

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status.containerStatuses ?? []).map((each) => each.restartCount));
}

function readySinceMs(pod: Pod): number {
  return Date.parse(podCondition(pod, "Ready")?.lastTransitionTime ?? "");
}

function createdMs(pod: Pod): number {
  return Date.parse(pod.metadata.creationTimestamp ?? "");
}

function compareAges(aMs: number, bMs: number, a: Pod, b: Pod, nowMs: number): number {
  if (aMs === bMs) return 0;
  const magnitude = (sinceMs: number): number =>
    nowMs - sinceMs > 0 ? Math.floor(Math.log2((nowMs - sinceMs) * 1e6)) : -1;
  const difference = magnitude(aMs) - magnitude(bMs);
  if (difference !== 0) return difference;
  return (a.metadata.uid ?? "") < (b.metadata.uid ?? "") ? -1 : 1;
}
