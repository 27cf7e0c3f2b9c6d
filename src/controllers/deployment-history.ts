/** Old ReplicaSets beyond the history limit go, oldest revision first. */
import { StatusError } from "#base/errors.ts";
import { remove } from "./controller.ts";
import type { Plan } from "./controller.ts";
import { revisionOf } from "./deployment-revision.ts";
import type { Rollout } from "./deployment-revision.ts";
import { byCreation } from "./deployment-sizes.ts";
import { replicaSets } from "./kubernetes.ts";
import type { ReplicaSet } from "./kubernetes.ts";

const unlimited = 2 ** 31 - 1;

export function* cleanUp(rollout: Rollout, old: readonly ReplicaSet[]): Plan {
  const limit = rollout.deployment.spec.revisionHistoryLimit ?? unlimited;
  if (limit === unlimited) return;
  const alive = old.filter((each) => each.metadata.deletionTimestamp === undefined);
  const surplus = alive.length - limit;
  if (surplus <= 0) return;
  alive.sort((a, b) => revisionOf(a) - revisionOf(b) || byCreation(a, b));
  for (const each of alive.slice(0, surplus)) {
    const inUse = (each.status.replicas ?? 0) !== 0 || (each.spec.replicas ?? 0) !== 0;
    if (inUse || (each.metadata.generation ?? 0) > (each.status.observedGeneration ?? 0)) continue;
    try {
      yield* remove(replicaSets, each);
    } catch (error) {
      if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
    }
    rollout.all = rollout.all.filter((other) => other !== each);
  }
}
