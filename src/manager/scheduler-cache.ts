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
import { makeNodeInfo, withPods } from "#scheduler/node-info.ts";
import { priorityOf } from "#scheduler/types.ts";
import type { CsiNode, NodeInfo, Pod, Snapshot } from "#scheduler/types.ts";
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
  readonly #infos = new Map<string, NodeInfo>();
  readonly #assumed = new Map<string, Pod>();
  /** Pods without node that a place is held for, by uid. */
  readonly #nominated = new Map<string, Pod>();

  constructor(view: SharedView) {
    this.#view = view;
  }

  onNode(name: string): void {
    this.#infos.delete(name);
  }

  onPod(pod: Pod | undefined, old: Pod | undefined): void {
    const uid = (pod ?? old)?.metadata.uid ?? "";
    for (const each of [pod, old]) if (nodeOf(each) !== "") this.onNode(nodeOf(each));
    if (pod === undefined || nodeOf(pod) !== "") this.#unassume(uid);
    const holds = pod !== undefined && nodeOf(pod) === "" && (pod.status.nominatedNodeName ?? "") !== "";
    if (holds) this.#nominated.set(uid, pod);
    else this.#nominated.delete(uid);
  }

  assume(pod: Pod, nodeName: string): void {
    this.#assumed.set(pod.metadata.uid ?? "", { ...pod, spec: { ...pod.spec, nodeName } });
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
    return {
      nodes: this.#nodesFor(pod),
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

  #nodesFor(pod: Pod): NodeInfo[] {
    const held = [...this.#nominated.values()].filter(
      (each) =>
        each.metadata.uid !== pod.metadata.uid &&
        priorityOf(each) >= priorityOf(pod) &&
        !this.isAssumed(each.metadata.uid ?? ""),
    );
    return this.#view.list(nodes).map((node) => {
      const name = node.metadata.name ?? "";
      let info = this.#infos.get(name);
      if (info === undefined) this.#infos.set(name, (info = makeNodeInfo(node, this.#podsOn(name))));
      const guests = held.filter((each) => each.status.nominatedNodeName === name);
      return guests.length === 0 ? info : withPods(info, [...info.pods, ...guests]);
    });
  }

  #podsOn(name: string): Pod[] {
    const running = this.#view.byIndex(pods, "node", name).filter((pod) => !isPodFinished(pod));
    const assumed = [...this.#assumed.values()].filter((pod) => pod.spec.nodeName === name);
    return [...running, ...assumed];
  }

  #unassume(uid: string): void {
    const pod = this.#assumed.get(uid);
    if (pod === undefined) return;
    this.#assumed.delete(uid);
    this.onNode(nodeOf(pod));
  }

  /** The pods of the same services and of the same controller. */
  #siblings(pod: Pod): ((other: Pod) => boolean) | undefined {
    const { namespace, labels } = pod.metadata;
    const tests: ((other: KubeObject) => boolean)[] = [];
    for (const { spec } of this.#view.list(services, namespace)) {
      if (selectsMap(spec.selector, labels))
        tests.push((other) => selectsMap(spec.selector, other.metadata.labels));
    }
    const owner = controllerOf(pod);
    if (owner?.kind === "ReplicationController") {
      const selector = this.#view.get(replicationControllers, namespace, owner.name)?.spec.selector;
      if (selector !== undefined) tests.push((other) => selectsMap(selector, other.metadata.labels));
    } else if (owner?.kind === "ReplicaSet" || owner?.kind === "StatefulSet") {
      const resource = owner.kind === "ReplicaSet" ? replicaSets : statefulSets;
      const selector = this.#view.get<KubeObject & { spec: { selector: object } }>(
        resource as never,
        namespace,
        owner.name,
      )?.spec.selector;
      if (selector !== undefined) tests.push((other) => selects(selector, other.metadata.labels));
    }
    return tests.length === 0 ? undefined : (other) => tests.every((each) => each(other));
  }
}

function nodeOf(pod: Pod | undefined): string {
  return pod?.spec.nodeName ?? "";
}
