/** Changing the sizes of a Deployment's ReplicaSets when the Deployment itself was scaled. */
import { record, update } from "./controller.ts";
import type { Plan } from "./controller.ts";
import {
  desiredReplicasAnnotation,
  maxReplicasAnnotation,
  replaceSet,
  sizeAnnotations,
} from "./deployment-revision.ts";
import type { Rollout, Sets } from "./deployment-revision.ts";
import { availableOf, byCreation, isRolling, maxSurge, wantedOf } from "./deployment-sizes.ts";
import { equal } from "./equality.ts";
import { replicaSets } from "./kubernetes.ts";
import type { Deployment, ReplicaSet } from "./kubernetes.ts";

/** An active ReplicaSet remembers another size of the Deployment than it has now. */
export function isScalingEvent(rollout: Rollout): boolean {
  const wanted = rollout.deployment.spec.replicas ?? 1;
  return rollout.all.some((each) => {
    const remembered = each.metadata.annotations?.[desiredReplicasAnnotation];
    return (each.spec.replicas ?? 0) > 0 && remembered !== undefined && Number(remembered) !== wanted;
  });
}

/** True when the size changed. */
export function* scaleReplicaSet(rollout: Rollout, replicaSet: ReplicaSet, size: number): Plan<boolean> {
  const { deployment } = rollout;
  const before = replicaSet.spec.replicas ?? 0;
  const annotations = { ...replicaSet.metadata.annotations, ...sizeAnnotations(deployment) };
  if (before === size && equal(annotations, replicaSet.metadata.annotations)) return false;
  const updated = yield* update(replicaSets, {
    ...replicaSet,
    metadata: { ...replicaSet.metadata, annotations },
    spec: { ...replicaSet.spec, replicas: size },
  });
  replaceSet(rollout, updated);
  if (before === size) return false;
  const direction = before < size ? "up" : "down";
  const message = `Scaled ${direction} replica set ${replicaSet.metadata.name} from ${before} to ${size}`;
  yield* record(deployment, "Normal", "ScalingReplicaSet", message);
  return true;
}

/** One active set takes the whole change, a finished rollout shrinks the old ones, else all change in proportion. */
export function* scaleForEvent(rollout: Rollout, sets: Sets): Plan {
  const { deployment } = rollout;
  const wanted = deployment.spec.replicas ?? 1;
  const only = activeOrLatest(sets);
  if (only !== undefined) {
    if ((only.spec.replicas ?? 0) !== wanted) yield* scaleReplicaSet(rollout, only, wanted);
    return;
  }
  if (isSaturated(deployment, sets.newSet)) {
    for (const old of sets.old) if ((old.spec.replicas ?? 0) > 0) yield* scaleReplicaSet(rollout, old, 0);
    return;
  }
  if (isRolling(deployment)) yield* scaleInProportion(rollout);
}

function* scaleInProportion(rollout: Rollout): Plan {
  const { deployment } = rollout;
  const wanted = deployment.spec.replicas ?? 1;
  const active = rollout.all.filter((each) => (each.spec.replicas ?? 0) > 0);
  const toAdd = (wanted > 0 ? wanted + maxSurge(deployment) : 0) - wantedOf(active);
  // Larger sets first; of equal ones the newer grows and the older shrinks.
  active.sort(
    (a, b) =>
      (b.spec.replicas ?? 0) - (a.spec.replicas ?? 0) || (toAdd > 0 ? byCreation(b, a) : byCreation(a, b)),
  );
  let added = 0;
  const sizes = active.map((each) => {
    const share = toAdd === 0 ? 0 : proportion(deployment, each, toAdd, added);
    added += share;
    return (each.spec.replicas ?? 0) + share;
  });
  for (const [index, each] of active.entries()) {
    const leftover = index === 0 ? toAdd - added : 0;
    yield* scaleReplicaSet(rollout, each, Math.max(0, sizes[index]! + leftover));
  }
}

function proportion(deployment: Deployment, replicaSet: ReplicaSet, toAdd: number, added: number): number {
  const size = replicaSet.spec.replicas ?? 0;
  if (size === 0 || toAdd === 0 || toAdd === added) return 0;
  const wanted = deployment.spec.replicas ?? 1;
  const limitBefore =
    Number(replicaSet.metadata.annotations?.[maxReplicasAnnotation] ?? 0) ||
    (deployment.status.replicas ?? 0);
  const fraction =
    wanted === 0 ? -size : roundAwayFromZero((size * (wanted + maxSurge(deployment))) / limitBefore) - size;
  return toAdd > 0 ? Math.min(fraction, toAdd - added) : Math.max(fraction, toAdd - added);
}

function roundAwayFromZero(value: number): number {
  return Math.sign(value) * Math.round(Math.abs(value));
}

function activeOrLatest({ newSet, old }: Sets): ReplicaSet | undefined {
  const all = newSet === undefined ? old : [...old, newSet];
  const active = all.filter((each) => (each.spec.replicas ?? 0) > 0);
  if (active.length === 1) return active[0];
  if (active.length > 1) return undefined;
  return newSet ?? [...old].sort((a, b) => byCreation(b, a))[0];
}

function isSaturated(deployment: Deployment, newSet: ReplicaSet | undefined): boolean {
  if (newSet === undefined) return false;
  const wanted = deployment.spec.replicas ?? 1;
  const remembered = Number(newSet.metadata.annotations?.[desiredReplicasAnnotation] ?? -1);
  return newSet.spec.replicas === wanted && remembered === wanted && availableOf([newSet]) === wanted;
}
