/** How many replicas each ReplicaSet of a Deployment may have: surge, unavailability, proportions. */
import { resolveIntOrPercent } from "./int-or-percent.ts";
import type { Deployment, ReplicaSet } from "./kubernetes.ts";

export function isRolling(deployment: Deployment): boolean {
  return deployment.spec.strategy?.type !== "Recreate";
}

export function maxSurge(deployment: Deployment): number {
  return isRolling(deployment) ? bounds(deployment).surge : 0;
}

export function maxUnavailable(deployment: Deployment): number {
  const replicas = deployment.spec.replicas ?? 1;
  if (!isRolling(deployment) || replicas === 0) return 0;
  return Math.min(bounds(deployment).unavailable, replicas);
}

export function wantedOf(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce((sum, each) => sum + (each.spec.replicas ?? 0), 0);
}

export function availableOf(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce((sum, each) => sum + (each.status.availableReplicas ?? 0), 0);
}

/** As `availableOf`, but no more than are wanted: a status that is behind may still count pods that are on their way out. */
export function keptAvailableOf(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce(
    (sum, each) => sum + Math.min(each.status.availableReplicas ?? 0, each.spec.replicas ?? 0),
    0,
  );
}

/** How large the new ReplicaSet may become now. `others`: all of the Deployment but the new one. */
export function newSetReplicas(
  deployment: Deployment,
  others: readonly ReplicaSet[],
  newSize: number,
): number {
  const replicas = deployment.spec.replicas ?? 1;
  if (!isRolling(deployment)) return replicas;
  const total = wantedOf(others) + newSize;
  const limit = replicas + maxSurge(deployment);
  if (total >= limit) return newSize;
  return newSize + Math.min(limit - total, replicas - newSize);
}

export function byCreation(a: ReplicaSet, b: ReplicaSet): number {
  const [left, right] = [a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? ""];
  if (left !== right) return left < right ? -1 : 1;
  return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
}

/** Surge rounds up, unavailability down; both may not be nothing, or no rollout could ever move. */
function bounds(deployment: Deployment): { surge: number; unavailable: number } {
  const replicas = deployment.spec.replicas ?? 1;
  const rolling = deployment.spec.strategy?.rollingUpdate;
  const surge = resolveIntOrPercent(rolling?.maxSurge, replicas, true);
  const unavailable = resolveIntOrPercent(rolling?.maxUnavailable, replicas, false);
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}
