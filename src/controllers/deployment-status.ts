/** A Deployment's status: counts, availability, progress and its deadline. */
import { requeueAfter, updateStatus } from "./controller.ts";
import type { Plan } from "./controller.ts";
import type { Rollout, Sets } from "./deployment-revision.ts";
import { availableOf, maxUnavailable, wantedOf } from "./deployment-sizes.ts";
import { equal, omitEmpty } from "./equality.ts";
import { deployments } from "./kubernetes.ts";
import type { Deployment, ReplicaSet } from "./kubernetes.ts";
import { timestamp } from "./pod.ts";

export interface DeploymentCondition {
  type: string;
  status: string;
  lastUpdateTime?: string;
  lastTransitionTime?: string;
  reason?: string;
  message?: string;
}

type Status = Deployment["status"];

export function progressCondition(deployment: Deployment): DeploymentCondition | undefined {
  return conditionsOf(deployment.status).find((each) => each.type === "Progressing");
}

export function deploymentComplete(deployment: Deployment, status: Status): boolean {
  const wanted = deployment.spec.replicas ?? 1;
  return (
    (status.updatedReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted &&
    (status.availableReplicas ?? 0) === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

/** Writes the counts only. */
export function* syncStatus(rollout: Rollout, sets: Sets): Plan {
  yield* writeIfChanged(rollout, statusOf(rollout, sets));
}

/** Writes the counts and how the rollout gets on. */
export function* syncRolloutStatus(rollout: Rollout, sets: Sets): Plan {
  const { deployment, nowMs } = rollout;
  const status = statusOf(rollout, sets);
  let conditions = conditionsOf(status);
  const hasDeadline = deployment.spec.progressDeadlineSeconds !== undefined;
  const current = progressCondition(deployment);
  if (!hasDeadline) conditions = conditions.filter((each) => each.type !== "Progressing");
  const wasComplete =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && current?.reason === "NewReplicaSetAvailable";
  if (hasDeadline && !wasComplete) {
    const subject =
      sets.newSet === undefined
        ? `Deployment "${deployment.metadata.name}"`
        : `ReplicaSet "${sets.newSet.metadata.name}"`;
    if (deploymentComplete(deployment, status)) {
      conditions = withCondition(
        conditions,
        progressing("True", "NewReplicaSetAvailable", `${subject} has successfully progressed.`, nowMs),
      );
    } else if (hasProgressed(deployment.status, status)) {
      const next = progressing("True", "ReplicaSetUpdated", `${subject} is progressing.`, nowMs);
      if (current?.status === "True" && current.lastTransitionTime !== undefined) {
        next.lastTransitionTime = current.lastTransitionTime;
      }
      conditions = [...conditions.filter((each) => each.type !== "Progressing"), next];
    } else if (hasTimedOut(deployment, nowMs)) {
      conditions = withCondition(
        conditions,
        progressing("False", "ProgressDeadlineExceeded", `${subject} has timed out progressing.`, nowMs),
      );
    }
  }
  conditions = conditions.filter((each) => each.type !== "ReplicaFailure");
  const failure = replicaFailure(sets);
  if (failure !== undefined) conditions.push(failure);
  const next = { ...status, conditions } as Status;
  if (!(yield* writeIfChanged(rollout, next))) yield* requeueForDeadline(deployment, next, nowMs);
}

/** Writes a Progressing condition at once: something happened that isn't a count. */
export function* setProgress(rollout: Rollout, status: string, reason: string, message: string): Plan {
  const { deployment } = rollout;
  rollout.deployment = yield* updateStatus(deployments, {
    ...deployment,
    status: { ...deployment.status, conditions: withProgress(rollout, status, reason, message) } as Status,
  });
}

export function withProgress(
  rollout: Rollout,
  status: string,
  reason: string,
  message: string,
): Status["conditions"] {
  const condition = progressing(status, reason, message, rollout.nowMs);
  return withCondition(conditionsOf(rollout.deployment.status), condition) as Status["conditions"];
}

function statusOf(rollout: Rollout, { newSet, old }: Sets): Status {
  const { deployment, nowMs } = rollout;
  const all = newSet === undefined ? old : [...old, newSet];
  const available = availableOf(all);
  const enough = available >= (deployment.spec.replicas ?? 1) - maxUnavailable(deployment);
  const availability = enough
    ? condition(
        "Available",
        "True",
        "MinimumReplicasAvailable",
        "Deployment has minimum availability.",
        nowMs,
      )
    : condition(
        "Available",
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
        nowMs,
      );
  const count = (field: "replicas" | "readyReplicas"): number =>
    all.reduce((sum, each) => sum + (each.status[field] ?? 0), 0);
  return omitEmpty({
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: count("replicas"),
    updatedReplicas: newSet?.status.replicas ?? 0,
    readyReplicas: count("readyReplicas"),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, wantedOf(all) - available),
    collisionCount: deployment.status.collisionCount,
    conditions: withCondition(conditionsOf(deployment.status), availability),
  }) as Status;
}

/** True when there was something to write. */
function* writeIfChanged(rollout: Rollout, status: Status): Plan<boolean> {
  if (equal(status, rollout.deployment.status)) return false;
  rollout.deployment = yield* updateStatus(deployments, { ...rollout.deployment, status });
  return true;
}

function hasProgressed(before: Status, after: Status): boolean {
  const old = (status: Status): number => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function hasTimedOut(deployment: Deployment, nowMs: number): boolean {
  const current = progressCondition(deployment);
  if (current === undefined || current.reason === "NewReplicaSetAvailable") return false;
  return current.reason === "ProgressDeadlineExceeded" || nowMs > deadlineMs(deployment, current);
}

function* requeueForDeadline(deployment: Deployment, status: Status, nowMs: number): Plan {
  const current = progressCondition(deployment);
  if (current === undefined || deployment.spec.progressDeadlineSeconds === undefined) return;
  if (deploymentComplete(deployment, status) || current.reason === "ProgressDeadlineExceeded") return;
  const leftMs = deadlineMs(deployment, current) - nowMs;
  yield* requeueAfter(leftMs < 1000 ? 1000 : leftMs + 1000);
}

function deadlineMs(deployment: Deployment, current: DeploymentCondition): number {
  return Date.parse(current.lastUpdateTime ?? "") + (deployment.spec.progressDeadlineSeconds ?? 0) * 1000;
}

/** The newest ReplicaSet's trouble comes first. */
function replicaFailure({ newSet, old }: Sets): DeploymentCondition | undefined {
  for (const each of newSet === undefined ? old : [newSet, ...old]) {
    const found = failureOf(each);
    if (found !== undefined) return { ...found, lastUpdateTime: found.lastTransitionTime ?? "" };
  }
  return undefined;
}

function failureOf(replicaSet: ReplicaSet): DeploymentCondition | undefined {
  return (replicaSet.status.conditions as DeploymentCondition[] | undefined)?.find(
    (each) => each.type === "ReplicaFailure",
  );
}

/** Same status and reason: nothing changes, not even the message. */
function withCondition(
  list: readonly DeploymentCondition[],
  next: DeploymentCondition,
): DeploymentCondition[] {
  const current = list.find((each) => each.type === next.type);
  if (current?.status === next.status && current.reason === next.reason) return [...list];
  if (current?.status === next.status && current.lastTransitionTime !== undefined) {
    next.lastTransitionTime = current.lastTransitionTime;
  }
  return [...list.filter((each) => each.type !== next.type), next];
}

function progressing(status: string, reason: string, message: string, nowMs: number): DeploymentCondition {
  return condition("Progressing", status, reason, message, nowMs);
}

function condition(
  type: string,
  status: string,
  reason: string,
  message: string,
  nowMs: number,
): DeploymentCondition {
  const at = timestamp(nowMs);
  return { type, status, lastUpdateTime: at, lastTransitionTime: at, reason, message };
}

function conditionsOf(status: Status): DeploymentCondition[] {
  return (status.conditions ?? []) as DeploymentCondition[];
}
