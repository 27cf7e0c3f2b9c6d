/**
 * The scheduler's picture of the cluster: nodes with the pods on them, kept up to date node by node, with
 * the pods that were just assigned but don't show yet, and those that a place is held for.
 */
import type { KubeObject } from "#kinds/object.ts";
import {
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  services,
  statefulSets,
  storageClasses,
} from "#controllers/kubernetes.ts";
import type { Resource } from "#controllers/kubernetes.ts";
import { controllerOf } from "#controllers/owner.ts";
import { isPodFinished } from "#controllers/pod.ts";
import { selects, selectsMap } from "#controllers/selector.ts";
import { assignedTo, isAlike, makeNodeInfo, renewPod, withPods } from "#scheduler/node-info.ts";
import { priorityOf } from "#scheduler/types.ts";
import type { CsiNode, Node, NodeInfo, Pod, Snapshot } from "#scheduler/types.ts";
import type { SharedView } from "./shared-view.ts";

export const csiNodes: Resource<CsiNode> = {
  group: "storage.k8s.io",
  version: "v1",
  plural: "csinodes",
  kind: "CSINode",
  namespaced: false,
};

export const schedulerReads: readonly Resource[] = [
  pods,
  nodes,
  namespaces,
  services,
  replicaSets,
  replicationControllers,
  statefulSets,
  persistentVolumes,
  persistentVolumeClaims,
  storageClasses,
  csiNodes,
  podDisruptionBudgets,
] as unknown as Resource[];

export class SchedulerCache {
  readonly #view: SharedView;
  /** Without those that have changed since they were asked for. */
  readonly #infos = new Map<string, NodeInfo>();
  /** In the order in which nodes are looked at; undefined when a node came or went. */
  #ordered: NodeInfo[] | undefined;
  /** How many of `#ordered` have pods that repel others, or wishes about them. */
  #repelling = 0;
  #wishing = 0;
  /** Where the nodes are in it. */
  readonly #places = new Map<string, number>();
  /** Nodes of `#ordered` that have changed since it was made. */
  readonly #stale = new Set<string>();
  readonly #tallies: Snapshot["tallies"] = new Map();
  readonly #assumed = new Map<string, Pod>();
  readonly #assumedByNode = new Map<string, Set<Pod>>();
  /** Pods without node that a place is held for, by uid. */
  readonly #nominated = new Map<string, Pod>();

  constructor(view: SharedView) {
    this.#view = view;
  }

  /** The node has changed, or what is on it. */
  onNode(name: string): void {
    this.#infos.delete(name);
    this.#stale.add(name);
  }

  /** The node has come, gone, or moved to another zone. */
  onNodeSet(): void {
    this.#ordered = undefined;
  }

  onPod(pod: Pod | undefined, old: Pod | undefined): void {
    const uid = (pod ?? old)?.metadata.uid ?? "";
    if (!this.#renews(pod, old)) {
      for (const each of [pod, old]) if (nodeOf(each) !== "") this.onNode(nodeOf(each));
      if (pod === undefined || nodeOf(pod) !== "") this.#unassume(uid);
    }
    const holds = pod !== undefined && nodeOf(pod) === "" && (pod.status.nominatedNodeName ?? "") !== "";
    if (holds) this.#nominated.set(uid, pod);
    else this.#nominated.delete(uid);
  }

  /** True where the node stays what it is: the pod is there as assumed, or only its agent's news of it differ. */
  #renews(pod: Pod | undefined, old: Pod | undefined): boolean {
    if (pod === undefined || nodeOf(pod) === "") return false;
    const assumed = this.#assumed.get(pod.metadata.uid ?? "");
    const before = assumed ?? old;
    if (before === undefined || nodeOf(before) !== nodeOf(pod) || !isAlike(before, pod)) return false;
    const info = this.#infos.get(nodeOf(pod));
    if (info !== undefined) renewPod(info, before, pod);
    if (assumed !== undefined) this.#dropAssumed(assumed);
    return true;
  }

  assume(pod: Pod, nodeName: string): void {
    const assumed = assignedTo(pod, nodeName);
    this.#assumed.set(pod.metadata.uid ?? "", assumed);
    const there = this.#assumedByNode.get(nodeName);
    if (there === undefined) this.#assumedByNode.set(nodeName, new Set([assumed]));
    else there.add(assumed);
    this.onNode(nodeName);
  }

  unassume(pod: Pod): void {
    this.#unassume(pod.metadata.uid ?? "");
  }

  isAssumed(uid: string): boolean {
    return this.#assumed.has(uid);
  }

  snapshot(pod: Pod): Snapshot {
    const view = this.#view;
    const claims = persistentVolumeClaims;
    const all = this.#allNodes();
    const guests = this.#guestsBeside(pod);
    return {
      nodes: guests.length === 0 ? all : withGuests(all, guests),
      repels: this.#repelling > 0 || guests.length > 0,
      wishes: this.#wishing > 0 || guests.length > 0,
      tallies: this.#tallies,
      claim: (namespace, name) => view.get(claims, namespace, name),
      volume: (name) => view.get(persistentVolumes, undefined, name),
      volumesOfClass: (className) =>
        view.list(persistentVolumes).filter((each) => (each.spec.storageClassName ?? "") === className),
      storageClass: (name) => view.get(storageClasses, undefined, name),
      csiNode: (name) => view.get(csiNodes, undefined, name),
      namespaceLabels: (name) => view.get(namespaces, undefined, name)?.metadata.labels ?? {},
      disruptionBudgets: (namespace) => view.list(podDisruptionBudgets, namespace),
      siblings: (each) => this.#siblings(each),
    };
  }

  /** Pods without node whose places this one must not take. */
  #guestsBeside(pod: Pod): Pod[] {
    if (this.#nominated.size === 0) return [];
    return [...this.#nominated.values()].filter(
      (each) =>
        each.metadata.uid !== pod.metadata.uid &&
        priorityOf(each) >= priorityOf(pod) &&
        !this.isAssumed(each.metadata.uid ?? ""),
    );
  }

  #allNodes(): NodeInfo[] {
    const ordered = this.#ordered;
    if (ordered === undefined) return this.#order();
    if (this.#stale.size === 0) return ordered;
    // Who has the old list keeps an unchanged one.
    const renewed = [...ordered];
    for (const name of this.#stale) {
      const node = this.#view.get(nodes, undefined, name);
      const place = this.#places.get(name);
      // A pod may name a node that doesn't exist.
      if (node === undefined || place === undefined) continue;
      this.#count(renewed[place]!, -1);
      this.#count((renewed[place] = this.#infoOf(node)), 1);
    }
    this.#stale.clear();
    this.#ordered = renewed;
    return renewed;
  }

  #order(): NodeInfo[] {
    const ordered = zoneByZone(this.#view.list(nodes)).map((node) => this.#infoOf(node));
    this.#stale.clear();
    this.#places.clear();
    ordered.forEach(({ name }, place) => this.#places.set(name, place));
    this.#repelling = this.#wishing = 0;
    for (const info of ordered) this.#count(info, 1);
    this.#ordered = ordered;
    return ordered;
  }

  #count({ podsThatRepel, podsWithWishes }: NodeInfo, amount: 1 | -1): void {
    if (podsThatRepel.length > 0) this.#repelling += amount;
    if (podsWithWishes.length > 0) this.#wishing += amount;
  }

  #infoOf(node: Node): NodeInfo {
    const name = node.metadata.name ?? "";
    let info = this.#infos.get(name);
    if (info === undefined) this.#infos.set(name, (info = makeNodeInfo(node, this.#podsOn(name))));
    return info;
  }

  #podsOn(name: string): Pod[] {
    const running = this.#view.byIndex(pods, "node", name).filter((pod) => !isPodFinished(pod));
    return [...running, ...(this.#assumedByNode.get(name) ?? [])];
  }

  #unassume(uid: string): void {
    const pod = this.#assumed.get(uid);
    if (pod === undefined) return;
    this.#dropAssumed(pod);
    this.onNode(nodeOf(pod));
  }

  #dropAssumed(pod: Pod): void {
    this.#assumed.delete(pod.metadata.uid ?? "");
    const there = this.#assumedByNode.get(nodeOf(pod));
    there?.delete(pod);
    if (there?.size === 0) this.#assumedByNode.delete(nodeOf(pod));
  }

  /** The pods of the same services and of the same controller. */
  #siblings(pod: Pod): { key: string; includes(other: Pod): boolean } | undefined {
    const { namespace, labels } = pod.metadata;
    const tests: ((other: KubeObject) => boolean)[] = [];
    const selectors: unknown[] = [];
    for (const { spec } of this.#view.list(services, namespace)) {
      if (!selectsMap(spec.selector, labels)) continue;
      selectors.push(spec.selector);
      tests.push((other) => selectsMap(spec.selector, other.metadata.labels));
    }
    const owner = controllerOf(pod);
    if (owner?.kind === "ReplicationController") {
      const selector = this.#view.get(replicationControllers, namespace, owner.name)?.spec.selector;
      if (selector !== undefined) {
        selectors.push(selector);
        tests.push((other) => selectsMap(selector, other.metadata.labels));
      }
    } else if (owner?.kind === "ReplicaSet" || owner?.kind === "StatefulSet") {
      const resource = owner.kind === "ReplicaSet" ? replicaSets : statefulSets;
      const selector = this.#view.get<KubeObject & { spec: { selector: object } }>(
        resource as never,
        namespace,
        owner.name,
      )?.spec.selector;
      if (selector !== undefined) {
        selectors.push(selector);
        tests.push((other) => selects(selector, other.metadata.labels));
      }
    }
    if (tests.length === 0) return undefined;
    return { key: JSON.stringify(selectors), includes: (other) => tests.every((each) => each(other)) };
  }
}

/** The nodes with those on them that a place is held for. */
function withGuests(all: readonly NodeInfo[], guests: readonly Pod[]): NodeInfo[] {
  return all.map((info) => {
    const here = guests.filter((each) => each.status.nominatedNodeName === info.name);
    return here.length === 0 ? info : withPods(info, [...info.pods, ...here]);
  });
}

/** One node of each zone in turn, as upstream goes through them: a part of the list is a part of every zone. */
function zoneByZone(all: readonly Node[]): Node[] {
  const zones = [...Map.groupBy(all, zoneOf).values()];
  const longest = Math.max(0, ...zones.map((each) => each.length));
  const ordered: Node[] = [];
  for (let turn = 0; turn < longest; turn++) {
    for (const zone of zones) {
      const node = zone[turn];
      if (node !== undefined) ordered.push(node);
    }
  }
  return ordered;
}

export function zoneOf({ metadata: { labels } }: Node): string {
  return `${labels?.["topology.kubernetes.io/region"] ?? ""}/${labels?.["topology.kubernetes.io/zone"] ?? ""}`;
}

function nodeOf(pod: Pod | undefined): string {
  return pod?.spec.nodeName ?? "";
}
