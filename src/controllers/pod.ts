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
  return podCondition(pod, "Ready")?.status === "True";
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
  const ready = podCondition(pod, "Ready");
  if (ready?.status !== "True") return undefined;
  if (minReadySeconds === 0) return 0;
  return Date.parse(ready.lastTransitionTime ?? "") + minReadySeconds * 1000;
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
