/** Rolling updates: the new ReplicaSet grows within the surge, the old ones shrink within what may be unavailable. */
import type { Plan } from "./controller.ts";
import { cleanUp } from "./deployment-history.ts";
import { getReplicaSets } from "./deployment-revision.ts";
import type { Rollout, Sets } from "./deployment-revision.ts";
import { scaleReplicaSet } from "./deployment-scale.ts";
import { keptAvailableOf, byCreation, maxUnavailable, newSetReplicas, wantedOf } from "./deployment-sizes.ts";
import { deploymentComplete, syncRolloutStatus } from "./deployment-status.ts";
import type { ReplicaSet } from "./kubernetes.ts";

export function* rollOver(rollout: Rollout): Plan {
  const sets = yield* getReplicaSets(rollout, true);
  const moved = (yield* growNew(rollout, sets)) || (yield* shrinkOld(rollout, sets));
  if (!moved && deploymentComplete(rollout.deployment, rollout.deployment.status))
    yield* cleanUp(rollout, sets.old);
  yield* syncRolloutStatus(rollout, fresh(rollout, sets));
}

/** The same sets as the rollout knows them now. */
function fresh(rollout: Rollout, sets: Sets): Sets {
  const newest = (each: ReplicaSet): ReplicaSet =>
    rollout.all.find((other) => other.metadata.uid === each.metadata.uid) ?? each;
  return {
    newSet: sets.newSet === undefined ? undefined : newest(sets.newSet),
    old: sets.old
      .filter((each) => rollout.all.some((other) => other.metadata.uid === each.metadata.uid))
      .map(newest),
  };
}

function* growNew(rollout: Rollout, { newSet, old }: Sets): Plan<boolean> {
  if (newSet === undefined) return false;
  const wanted = rollout.deployment.spec.replicas ?? 1;
  const size = newSet.spec.replicas ?? 0;
  if (size === wanted) return false;
  const next = size > wanted ? wanted : newSetReplicas(rollout.deployment, old, size);
  return yield* scaleReplicaSet(rollout, newSet, next);
}

function* shrinkOld(rollout: Rollout, { newSet, old }: Sets): Plan<boolean> {
  const oldCount = wantedOf(old);
  if (oldCount === 0) return false;
  const { deployment } = rollout;
  const minAvailable = (deployment.spec.replicas ?? 1) - maxUnavailable(deployment);
  const newSize = newSet?.spec.replicas ?? 0;
  const newUnavailable = newSize - (newSet === undefined ? 0 : keptAvailableOf([newSet]));
  const limit = oldCount + newSize - minAvailable - newUnavailable;
  if (limit <= 0) return false;
  const ordered = [...old].sort(byCreation);
  const unhealthy = yield* shrink(
    rollout,
    ordered,
    limit,
    (each) => (each.spec.replicas ?? 0) - keptAvailableOf([each]),
  );
  const current = ordered.map(
    (each) => rollout.all.find((other) => other.metadata.uid === each.metadata.uid) ?? each,
  );
  const available = keptAvailableOf(current) + (newSet === undefined ? 0 : keptAvailableOf([newSet]));
  const healthy = yield* shrink(
    rollout,
    current,
    available - minAvailable,
    (each) => each.spec.replicas ?? 0,
  );
  return unhealthy + healthy > 0;
}

/** Takes at most `limit` replicas away in all, at most `removable` from each set. */
function* shrink(
  rollout: Rollout,
  sets: readonly ReplicaSet[],
  limit: number,
  removable: (replicaSet: ReplicaSet) => number,
): Plan<number> {
  let total = 0;
  for (const each of sets) {
    const count = Math.min(limit - total, removable(each));
    if (count <= 0) continue;
    yield* scaleReplicaSet(rollout, each, (each.spec.replicas ?? 0) - count);
    total += count;
  }
  return total;
}
