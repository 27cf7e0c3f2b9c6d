/**
 * DaemonSets: one pod on every node that the template's affinity and tolerations allow, updated node by
 * node. The scheduler places the pods; each is tied to its node by affinity.
 */
import type { KubeObject } from "#kinds/object.ts";
import { keyOf, on, record, requeueAfter, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { nodesFor, podForNode, targetNode } from "./daemon-set-nodes.ts";
import type { NodeFit } from "./daemon-set-nodes.ts";
import { equal, omitEmpty } from "./equality.ts";
import { resolveIntOrPercent } from "./int-or-percent.ts";
import { controllerRevisions, daemonSets, nodes, pods } from "./kubernetes.ts";
import type { DaemonSet, Node, Pod } from "./kubernetes.ts";
import { claim, claimable, controllerKeys, controllerOf } from "./owner.ts";
import { isPodAvailable, isPodReady, nextAvailableInMs } from "./pod.ts";
import { createPod, deletePod } from "./pod-control.ts";
import { syncHistory, truncateHistory } from "./revision-history.ts";
import type { RevisionOwner } from "./revision-history.ts";
import { isEmptySelector, selects } from "./selector.ts";

const hashLabel = "controller-revision-hash";

export const daemonSetController: Controller = {
  name: "daemonset-controller",
  triggers: [
    on(daemonSets, self),
    on(pods, daemonSetsOfPod),
    on(nodes, everyDaemonSet, nodeMatters),
    on(controllerRevisions, (revision) => controllerKeys(daemonSets, revision)),
  ],
  writes: [daemonSets, pods, controllerRevisions],
  concurrency: 2,
  restMs: 20,
  plan: planDaemonSet,
};

interface Work {
  daemonSet: DaemonSet;
  hash: string;
  /** The live pods of each node. */
  byNode: Map<string, Pod[]>;
  fits: Map<string, NodeFit>;
  nowMs: number;
}

export function* planDaemonSet(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  let daemonSet = view.get(daemonSets, namespace, name);
  if (daemonSet === undefined) return;
  if (isEmptySelector(daemonSet.spec.selector)) {
    const message = "This daemon set is selecting all pods. A non-empty selector is required.";
    yield* record(daemonSet, "Warning", "SelectingAll", message);
    return;
  }
  if (daemonSet.metadata.deletionTimestamp !== undefined) return;
  const owner = daemonSet as unknown as RevisionOwner;
  const history = yield* syncHistory({
    view,
    resource: daemonSets,
    owner,
    collisionCount: daemonSet.status.collisionCount ?? 0,
    labels: (hash) => ({ [hashLabel]: hash }),
  });
  if (history === "collision") {
    const collisionCount = (daemonSet.status.collisionCount ?? 0) + 1;
    yield* updateStatus(daemonSets, { ...daemonSet, status: { ...daemonSet.status, collisionCount } });
    return;
  }
  const hash = history.current.metadata.labels?.[hashLabel] ?? "";
  const own = yield* ownPods(view, daemonSet);
  const fits = nodesFor(view.list(nodes), daemonSet);
  const work: Work = { daemonSet, hash, byNode: group(own), fits, nowMs };
  yield* manage(work);
  if (daemonSet.spec.updateStrategy?.type !== "OnDelete") yield* rollOver(work);
  const used = new Set(own.map((pod) => `${name}-${pod.metadata.labels?.[hashLabel]}`));
  yield* truncateHistory(owner, history, used);
  daemonSet = view.get(daemonSets, namespace, name) ?? daemonSet;
  yield* writeStatus({ ...work, daemonSet });
  const nextMs = nextAvailableInMs(own, daemonSet.spec.minReadySeconds ?? 0, nowMs);
  if (nextMs !== undefined) yield* requeueAfter(nextMs);
}

function* ownPods(view: View, daemonSet: DaemonSet): Plan<Pod[]> {
  return yield* claim({
    ownerResource: daemonSets,
    owner: daemonSet,
    resource: pods,
    candidates: claimable(view, pods, daemonSet),
    matches: (pod) => selects(daemonSet.spec.selector, pod.metadata.labels),
  });
}

function group(own: readonly Pod[]): Map<string, Pod[]> {
  const byNode = new Map<string, Pod[]>();
  for (const pod of own) {
    const node = targetNode(pod);
    if (node !== "") byNode.set(node, [...(byNode.get(node) ?? []), pod]);
  }
  return byNode;
}

/** Brings pods to nodes that lack one, and takes away what is finished, surplus or out of place. */
function* manage(work: Work): Plan {
  const { daemonSet, byNode, fits } = work;
  for (const [node, running] of byNode) {
    const fit = fits.get(node);
    if (fit === undefined) continue; // The node is gone: pod garbage collection takes its pods.
    if (!fit.mayStay) for (const pod of running) yield* drop(work, node, pod);
  }
  for (const [node, fit] of fits) {
    if (!fit.shouldRun) continue;
    const running = byNode.get(node) ?? [];
    for (const pod of running) {
      const finished = pod.status.phase;
      if (pod.metadata.deletionTimestamp !== undefined || (finished !== "Failed" && finished !== "Succeeded"))
        continue;
      const where = `${pod.metadata.namespace}/${pod.metadata.name} on node ${node}`;
      if (finished === "Failed") {
        yield* record(
          daemonSet,
          "Warning",
          "FailedDaemonPod",
          `Found failed daemon pod ${where}, will try to kill it`,
        );
      } else {
        const message = `Found succeeded daemon pod ${where}, will try to delete it`;
        yield* record(daemonSet, "Normal", "SucceededDaemonPod", message);
      }
      yield* drop(work, node, pod);
    }
    yield* dropSurplus(work, node);
    if ((byNode.get(node) ?? []).length === 0) yield* add(work, node);
  }
}

/** One pod per node; during an update with surge, one of each revision. */
function* dropSurplus(work: Work, node: string): Plan {
  const live = (work.byNode.get(node) ?? []).filter((pod) => pod.metadata.deletionTimestamp === undefined);
  const surges = surgeOf(work) > 0;
  const groups = surges
    ? [live.filter((pod) => isNew(work, pod)), live.filter((pod) => !isNew(work, pod))]
    : [live];
  for (const each of groups) {
    each.sort(
      (a, b) =>
        Number(isPodReady(b)) - Number(isPodReady(a)) ||
        ((a.metadata.creationTimestamp ?? "") < (b.metadata.creationTimestamp ?? "") ? -1 : 1),
    );
    for (const pod of each.slice(1)) yield* drop(work, node, pod);
  }
}

function* rollOver(work: Work): Plan {
  if (surgeOf(work) > 0) yield* rollWithSurge(work);
  else yield* rollInPlace(work);
}

function* rollInPlace(work: Work): Plan {
  const wanted = [...work.fits].filter(([, fit]) => fit.shouldRun).map(([node]) => node);
  const maxUnavailable = resolveIntOrPercent(
    work.daemonSet.spec.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1,
    wanted.length,
    true,
  );
  let unavailable = 0;
  const replaceable: [string, Pod][] = [];
  for (const node of wanted) {
    const running = work.byNode.get(node) ?? [];
    const old = running.find((pod) => !isNew(work, pod));
    const updated = running.find((pod) => isNew(work, pod));
    const pod = updated ?? old;
    const available = pod !== undefined && running.length === 1 && isAvailable(work, pod);
    if (!available) unavailable++;
    if (updated !== undefined || old === undefined || old.metadata.deletionTimestamp !== undefined) continue;
    if (!available) yield* drop(work, node, old);
    else replaceable.push([node, old]);
  }
  for (const [node, pod] of replaceable.slice(0, Math.max(0, maxUnavailable - unavailable))) {
    yield* drop(work, node, pod);
  }
}

function* rollWithSurge(work: Work): Plan {
  const wanted = [...work.fits].filter(([, fit]) => fit.shouldRun).map(([node]) => node);
  let surging = 0;
  const candidates: string[] = [];
  const urgent: string[] = [];
  for (const node of wanted) {
    const running = work.byNode.get(node) ?? [];
    const old = running.find((pod) => !isNew(work, pod) && pod.metadata.deletionTimestamp === undefined);
    const updated = running.find((pod) => isNew(work, pod));
    if (old === undefined) continue;
    if (updated === undefined) (isAvailable(work, old) ? candidates : urgent).push(node);
    else if (isAvailable(work, updated)) yield* drop(work, node, old);
    else surging++;
  }
  const room = Math.max(0, surgeOf(work) - surging);
  for (const node of [...urgent, ...candidates.slice(0, room)]) yield* add(work, node);
}

function* add(work: Work, node: string): Plan {
  const pod = yield* createPod(work.daemonSet, podForNode(work.daemonSet, node, work.hash));
  work.byNode.set(node, [...(work.byNode.get(node) ?? []), pod]);
}

function* drop(work: Work, node: string, pod: Pod): Plan {
  if (pod.metadata.deletionTimestamp !== undefined) return;
  yield* deletePod(work.daemonSet, pod);
  const deletionTimestamp = pod.metadata.creationTimestamp ?? "deleted";
  const left = (work.byNode.get(node) ?? []).map((each) =>
    each === pod ? { ...pod, metadata: { ...pod.metadata, deletionTimestamp } } : each,
  );
  work.byNode.set(node, left);
}

function surgeOf({ daemonSet, fits }: Work): number {
  const count = [...fits.values()].filter((fit) => fit.shouldRun).length;
  return resolveIntOrPercent(daemonSet.spec.updateStrategy?.rollingUpdate?.maxSurge, count, true);
}

function isNew({ daemonSet, hash }: Work, pod: Pod): boolean {
  const generation = daemonSet.metadata.annotations?.["deprecated.daemonset.template.generation"];
  const labels = pod.metadata.labels ?? {};
  return (
    labels[hashLabel] === hash ||
    (generation !== undefined && labels["pod-template-generation"] === generation)
  );
}

function isAvailable({ daemonSet, nowMs }: Work, pod: Pod): boolean {
  return (
    pod.metadata.deletionTimestamp === undefined &&
    isPodAvailable(pod, daemonSet.spec.minReadySeconds ?? 0, nowMs)
  );
}

function* writeStatus(work: Work): Plan {
  const { daemonSet, byNode, fits, nowMs } = work;
  const counts = { desired: 0, current: 0, misscheduled: 0, ready: 0, available: 0, updated: 0 };
  for (const [node, fit] of fits) {
    const running = byNode.get(node) ?? [];
    if (fit.shouldRun) {
      counts.desired++;
      const pod = [...running].sort((a, b) =>
        (a.metadata.creationTimestamp ?? "") < (b.metadata.creationTimestamp ?? "") ? -1 : 1,
      )[0];
      if (pod === undefined) continue;
      counts.current++;
      if (running.some(isPodReady)) counts.ready++;
      if (running.some((each) => isPodAvailable(each, daemonSet.spec.minReadySeconds ?? 0, nowMs)))
        counts.available++;
      if (running.some((each) => isNew(work, each))) counts.updated++;
    } else if (running.length > 0) counts.misscheduled++;
  }
  const status = {
    currentNumberScheduled: counts.current,
    desiredNumberScheduled: counts.desired,
    numberMisscheduled: counts.misscheduled,
    numberReady: counts.ready,
    ...omitEmpty({
      observedGeneration: daemonSet.metadata.generation ?? 0,
      updatedNumberScheduled: counts.updated,
      numberAvailable: counts.available,
      numberUnavailable: counts.desired - counts.available,
      collisionCount: daemonSet.status.collisionCount,
      conditions: daemonSet.status.conditions,
    }),
  };
  if (equal(status, daemonSet.status)) return;
  yield* updateStatus(daemonSets, { ...daemonSet, status } as DaemonSet);
}

function* daemonSetsOfPod(pod: Pod, view: View): Iterable<string> {
  if (controllerOf(pod) !== undefined) {
    yield* controllerKeys(daemonSets, pod);
    return;
  }
  for (const daemonSet of view.list(daemonSets, pod.metadata.namespace)) {
    if (selects(daemonSet.spec.selector, pod.metadata.labels)) yield keyOf(daemonSet);
  }
}

function* everyDaemonSet(_node: KubeObject, view: View): Iterable<string> {
  for (const daemonSet of view.list(daemonSets)) yield keyOf(daemonSet);
}

function nodeMatters(node: Node | undefined, old: Node | undefined): boolean {
  if (node === undefined || old === undefined) return true;
  return !equal(node.metadata.labels, old.metadata.labels) || !equal(node.spec, old.spec);
}
