/**
 * StatefulSets: pods with names, claims and an order. One step at a time unless pods are managed in
 * parallel; updates go from the last ordinal down to the partition.
 */
import { keyOf, on, record, remove, requeueAfter, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal, omitEmpty } from "./equality.ts";
import { resolveIntOrPercent } from "./int-or-percent.ts";
import { controllerRevisions, persistentVolumeClaims, pods, statefulSets } from "./kubernetes.ts";
import type { ControllerRevision, Pod, StatefulSet } from "./kubernetes.ts";
import { claim, claimable, controllerKeys, controllerOf } from "./owner.ts";
import { isPodAvailable, isPodFinished, isPodReady, nextAvailableInMs } from "./pod.ts";
import { syncHistory, templateOf, truncateHistory } from "./revision-history.ts";
import type { RevisionOwner } from "./revision-history.ts";
import { isEmptySelector, selects } from "./selector.ts";
import { createStatefulPod, ordinalOf, syncClaimOwners } from "./stateful-set-pods.ts";

export const revisionLabel = "controller-revision-hash";

export const statefulSetController: Controller = {
  name: "statefulset-controller",
  triggers: [
    on(statefulSets, self),
    on(pods, statefulSetsOfPod),
    on(controllerRevisions, (revision) => controllerKeys(statefulSets, revision)),
  ],
  reads: [persistentVolumeClaims],
  writes: [statefulSets, pods, controllerRevisions, persistentVolumeClaims],
  concurrency: 5,
  plan: planStatefulSet,
};

interface Work {
  set: StatefulSet;
  /** By ordinal. */
  pods: Map<number, Pod>;
  current: ControllerRevision;
  update: ControllerRevision;
  nowMs: number;
}

export function* planStatefulSet(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  const set = view.get(statefulSets, namespace, name);
  if (set === undefined || isEmptySelector(set.spec.selector)) return;
  const own = yield* ownPods(view, set);
  const owner = set as unknown as RevisionOwner;
  const history = yield* syncHistory({
    view,
    resource: statefulSets,
    owner,
    collisionCount: set.status.collisionCount ?? 0,
    labels: (hash) => ({ "controller.kubernetes.io/hash": hash }),
  });
  if (history === "collision") {
    const collisionCount = (set.status.collisionCount ?? 0) + 1;
    yield* updateStatus(statefulSets, { ...set, status: { ...set.status, collisionCount } });
    return;
  }
  const current =
    history.all.find((each) => each.metadata.name === set.status.currentRevision) ?? history.current;
  const work: Work = { set, pods: byOrdinal(own), current, update: history.current, nowMs };
  if (set.metadata.deletionTimestamp === undefined) {
    yield* syncClaimOwners(view, set, [...work.pods]);
    yield* step(view, work);
  }
  yield* writeStatus(view, work, own);
  const used = new Set(own.map((pod) => pod.metadata.labels?.[revisionLabel] ?? ""));
  used.add(current.metadata.name ?? "");
  yield* truncateHistory(owner, history, used);
  const nextMs = nextAvailableInMs(own, set.spec.minReadySeconds ?? 0, nowMs);
  if (nextMs !== undefined) yield* requeueAfter(nextMs);
}

function* ownPods(view: View, set: StatefulSet): Plan<Pod[]> {
  return yield* claim({
    ownerResource: statefulSets,
    owner: set,
    resource: pods,
    candidates: claimable(view, pods, set),
    matches: (pod) => ordinalOf(set, pod) >= 0 && selects(set.spec.selector, pod.metadata.labels),
  });
}

function byOrdinal(own: readonly Pod[]): Map<number, Pod> {
  const result = new Map<number, Pod>();
  for (const pod of own) {
    const ordinal = Number(/-(\d+)$/.exec(pod.metadata.name ?? "")?.[1] ?? -1);
    result.set(ordinal, pod);
  }
  return result;
}

/** Replicas first, then those beyond, then the update. Each part says whether the next may follow. */
function* step(view: View, work: Work): Plan {
  if (!(yield* fillReplicas(view, work))) return;
  if (!(yield* removeCondemned(work))) return;
  if (work.set.spec.updateStrategy?.type !== "OnDelete") yield* rollOver(work);
}

function* fillReplicas(view: View, work: Work): Plan<boolean> {
  const { set } = work;
  const inOrder = set.spec.podManagementPolicy !== "Parallel";
  const start = startOf(set);
  for (let ordinal = start; ordinal < start + (set.spec.replicas ?? 1); ordinal++) {
    let pod = work.pods.get(ordinal);
    if (pod !== undefined && isPodFinished(pod)) {
      if (pod.metadata.deletionTimestamp === undefined) yield* removePod(set, pod);
      if (inOrder) return false;
      continue;
    }
    if (pod === undefined) {
      const revision = revisionFor(work, ordinal);
      pod = yield* createStatefulPod(view, set, ordinal, templateOf(revision), revision.metadata.name ?? "");
      work.pods.set(ordinal, pod);
      if (inOrder) return false;
      continue;
    }
    if (inOrder && (pod.metadata.deletionTimestamp !== undefined || !isUp(work, pod))) return false;
  }
  return true;
}

function* removeCondemned(work: Work): Plan<boolean> {
  const { set } = work;
  const inOrder = set.spec.podManagementPolicy !== "Parallel";
  const condemned = condemnedOf(work);
  const firstSick = [...work.pods].sort(([a], [b]) => a - b).find(([, pod]) => !isUp(work, pod))?.[1];
  for (const pod of condemned) {
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (inOrder) return false;
      continue;
    }
    if (inOrder && !isUp(work, pod) && pod !== firstSick) return false;
    yield* removePod(set, pod);
    if (inOrder) return false;
  }
  return true;
}

function* rollOver(work: Work): Plan {
  const { set } = work;
  const atOnce = mostUnavailable(set);
  if (atOnce !== undefined) {
    yield* rollOverSeveral(work, atOnce);
    return;
  }
  const start = startOf(set);
  const partition = set.spec.updateStrategy?.rollingUpdate?.partition ?? 0;
  for (let ordinal = start + (set.spec.replicas ?? 1) - 1; ordinal >= start + partition; ordinal--) {
    const pod = work.pods.get(ordinal);
    if (pod === undefined) return;
    const isOld = pod.metadata.labels?.[revisionLabel] !== work.update.metadata.name;
    if (isOld && pod.metadata.deletionTimestamp === undefined) {
      yield* removePod(set, pod);
      return;
    }
    if (!isUp(work, pod) || pod.metadata.deletionTimestamp !== undefined) return;
  }
}

/** Old pods go from the highest ordinal on, as long as no more than so many are not up. */
function* rollOverSeveral(work: Work, most: number): Plan {
  const { set } = work;
  const start = startOf(set);
  const partition = set.spec.updateStrategy?.rollingUpdate?.partition ?? 0;
  const ordinals = Array.from({ length: set.spec.replicas ?? 1 }, (_, index) => start + index);
  const isAway = (ordinal: number): boolean => {
    const pod = work.pods.get(ordinal);
    return pod === undefined || pod.metadata.deletionTimestamp !== undefined || !isUp(work, pod);
  };
  let left = most - ordinals.filter(isAway).length;
  for (const ordinal of ordinals.slice(partition).reverse()) {
    if (left <= 0) return;
    const pod = work.pods.get(ordinal);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    if (pod.metadata.labels?.[revisionLabel] === work.update.metadata.name) continue;
    yield* removePod(set, pod);
    left--;
  }
}

/** `maxUnavailable` as a number, at least 1; undefined where nobody asks for it. */
function mostUnavailable({ spec }: StatefulSet): number | undefined {
  const { maxUnavailable } = (spec.updateStrategy?.rollingUpdate ?? {}) as {
    maxUnavailable?: number | string | null;
  };
  if (maxUnavailable === undefined || maxUnavailable === null) return undefined;
  return Math.max(1, resolveIntOrPercent(maxUnavailable, spec.replicas ?? 1, false));
}

function condemnedOf({ set, pods: byNumber }: Work): Pod[] {
  const start = startOf(set);
  const end = start + (set.spec.replicas ?? 1);
  return [...byNumber]
    .filter(([ordinal]) => ordinal < start || ordinal >= end)
    .sort(([a], [b]) => b - a)
    .map(([, pod]) => pod);
}

/** Ordinals below the partition, or not yet reached by the update, are made from the old revision. */
function revisionFor({ set, current, update }: Work, ordinal: number): ControllerRevision {
  if (set.spec.updateStrategy?.type === "OnDelete") return update;
  const partition = set.spec.updateStrategy?.rollingUpdate?.partition;
  const limit = partition === undefined ? (set.status.currentReplicas ?? 0) : partition;
  return ordinal < startOf(set) + limit ? current : update;
}

function isUp({ set, nowMs }: Work, pod: Pod): boolean {
  return (
    pod.status.phase === "Running" &&
    isPodReady(pod) &&
    isPodAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs)
  );
}

function startOf(set: StatefulSet): number {
  return (set.spec as { ordinals?: { start?: number } }).ordinals?.start ?? 0;
}

function* removePod(set: StatefulSet, pod: Pod): Plan {
  const what = `delete Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name}`;
  try {
    yield* remove(pods, pod);
  } catch (error) {
    yield* record(set, "Warning", "FailedDelete", `${what} failed error: ${(error as Error).message}`);
    throw error;
  }
  yield* record(set, "Normal", "SuccessfulDelete", `${what} successful`);
}

function* writeStatus(view: View, work: Work, before: readonly Pod[]): Plan {
  const { set, current, update, nowMs } = work;
  const own = [
    ...new Map([...before, ...work.pods.values()].map((pod) => [pod.metadata.uid, pod])).values(),
  ].map((pod) => view.get(pods, pod.metadata.namespace, pod.metadata.name ?? "") ?? pod);
  const live = own.filter((pod) => pod.metadata.deletionTimestamp === undefined);
  const ofRevision = (revision: ControllerRevision): number =>
    live.filter((pod) => pod.metadata.labels?.[revisionLabel] === revision.metadata.name).length;
  const ready = own.filter((pod) => pod.status.phase === "Running" && isPodReady(pod));
  const minReadySeconds = set.spec.minReadySeconds ?? 0;
  let currentRevision = current.metadata.name ?? "";
  let currentReplicas = ofRevision(current);
  const updatedReplicas = ofRevision(update);
  const replicas = own.length;
  const isRolling = set.spec.updateStrategy?.type !== "OnDelete";
  if (
    isRolling &&
    updatedReplicas === replicas &&
    ready.length === replicas &&
    replicas === (set.spec.replicas ?? 1)
  ) {
    currentRevision = update.metadata.name ?? "";
    currentReplicas = updatedReplicas;
  }
  const status = {
    replicas,
    availableReplicas: ready.filter((pod) => isPodAvailable(pod, minReadySeconds, nowMs)).length,
    collisionCount: set.status.collisionCount ?? 0,
    ...omitEmpty({
      observedGeneration: set.metadata.generation ?? 0,
      readyReplicas: ready.length,
      currentReplicas,
      updatedReplicas,
      currentRevision,
      updateRevision: update.metadata.name ?? "",
      conditions: set.status.conditions,
    }),
  };
  if (equal(status, set.status)) return;
  yield* updateStatus(statefulSets, { ...set, status } as StatefulSet);
}

function* statefulSetsOfPod(pod: Pod, view: View): Iterable<string> {
  if (controllerOf(pod) !== undefined) {
    yield* controllerKeys(statefulSets, pod);
    return;
  }
  for (const set of view.list(statefulSets, pod.metadata.namespace)) {
    if (selects(set.spec.selector, pod.metadata.labels)) yield keyOf(set);
  }
}
