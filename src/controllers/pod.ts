/** What controllers ask of pods. */
import type { Pod } from "./kubernetes.ts";

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}

export function podCondition(pod: Pod, type: string): Condition | undefined {
  return (pod.status.conditions as Condition[] | undefined)?.find((each) => each.type === type);
}

export function isPodReady(pod: Pod): boolean {
  return readinessOf(pod).ready;
}

interface Readiness {
  ready: boolean;
  /** Since when it has been (not) ready; NaN when the pod doesn't say. */
  sinceMs: number;
}

const readinessByPod = new WeakMap<Pod, Readiness>();

/** Looked up once per pod as it is: plans ask it of thousands that haven't changed. */
function readinessOf(pod: Pod): Readiness {
  let known = readinessByPod.get(pod);
  if (known === undefined) {
    const condition = podCondition(pod, "Ready");
    known = {
      ready: condition?.status === "True",
      sinceMs: Date.parse(condition?.lastTransitionTime ?? ""),
    };
    readinessByPod.set(pod, known);
  }
  return known;
}

/** Neither finished nor being deleted. */
export function isPodActive(pod: Pod): boolean {
  return !isPodFinished(pod) && pod.metadata.deletionTimestamp === undefined;
}

export function isPodFinished(pod: Pod): boolean {
  return pod.status.phase === "Succeeded" || pod.status.phase === "Failed";
}

/** When a ready pod becomes (or became) available, in ms; undefined while it isn't ready. */
export function availableAtMs(pod: Pod, minReadySeconds: number): number | undefined {
  const { ready, sinceMs } = readinessOf(pod);
  if (!ready) return undefined;
  return minReadySeconds === 0 ? 0 : sinceMs + minReadySeconds * 1000;
}

export function isPodAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  const atMs = availableAtMs(pod, minReadySeconds);
  return atMs !== undefined && atMs <= nowMs;
}

/** How long until the next of these pods that are ready becomes available; undefined when none will. */
export function nextAvailableInMs(
  pods: readonly Pod[],
  minReadySeconds: number,
  nowMs: number,
): number | undefined {
  let nextMs: number | undefined;
  for (const pod of pods) {
    const atMs = availableAtMs(pod, minReadySeconds);
    if (atMs !== undefined && atMs > nowMs && (nextMs === undefined || atMs - nowMs < nextMs))
      nextMs = atMs - nowMs;
  }
  return nextMs;
}

export function timestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
}
