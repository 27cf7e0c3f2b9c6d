/**
 * How a pod is ended: with how much time, and in which order. App and ephemeral containers stop together;
 * then the sidecars, one after another, last one first, so that each outlives those that were started
 * after it. The grace period is one for the whole pod.
 */
import type { Pod } from "../types.ts";
import { isSidecar } from "./containers.ts";
import { isRunning } from "./runtime-view.ts";
import type { ContainerView, PodView } from "./runtime-view.ts";

export const defaultGraceSeconds = 30;

/** Seconds that the pod's containers are given. `overrideSeconds`: eviction or a failed probe brings its own. */
export function gracePeriodSeconds(pod: Pod, overrideSeconds?: number): number {
  const seconds =
    overrideSeconds ??
    pod.metadata.deletionGracePeriodSeconds ??
    pod.spec.terminationGracePeriodSeconds ??
    defaultGraceSeconds;
  // Zero comes from a forced deletion: even then a container is asked before it is killed.
  return Math.max(seconds, 1);
}

/** Groups of containers to stop, one group after another, each group at once. */
export function stopOrder(pod: Pod, view: PodView): ContainerView[][] {
  const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar).map((each) => each.name);
  const live = view.containers.filter((each) => isRunning(each) || each.phase === "unknown");
  const first = live.filter((each) => !sidecars.includes(each.name));
  const groups = first.length > 0 ? [first] : [];
  for (const name of sidecars.reverse()) {
    const group = live.filter((each) => each.name === name);
    if (group.length > 0) groups.push(group);
  }
  return groups;
}
