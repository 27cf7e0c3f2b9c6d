/** What the scheduler sees: the pod, the nodes with what runs on them, and the objects that its rules ask about. */
import type { PairTally } from "./pair-tally.ts";
import type * as core from "kubernetes-types/core/v1.d.ts";
import type * as policy from "kubernetes-types/policy/v1.d.ts";
import type * as storage from "kubernetes-types/storage/v1.d.ts";
import type { ObjectMeta } from "#kinds/object.ts";

/** An object as the server stores it. */
type Stored<T> = Omit<T, "metadata" | "spec" | "status"> & { metadata: ObjectMeta } & (T extends {
    spec?: infer S;
  }
    ? { spec: NonNullable<S> }
    : unknown) &
  (T extends { status?: infer S } ? { status: NonNullable<S> } : unknown);

export type Pod = Stored<core.Pod>;
export type Node = Stored<core.Node>;
export type Taint = core.Taint;
export type Toleration = core.Toleration;
export type NodeSelector = core.NodeSelector;
export type NodeSelectorTerm = core.NodeSelectorTerm;
export type PodAffinityTerm = core.PodAffinityTerm & {
  matchLabelKeys?: string[];
  mismatchLabelKeys?: string[];
};
export type PersistentVolume = Stored<core.PersistentVolume>;
export type PersistentVolumeClaim = Stored<core.PersistentVolumeClaim>;
export type StorageClass = Stored<storage.StorageClass>;
export type CsiNode = Stored<storage.CSINode>;
export type PodDisruptionBudget = Stored<policy.PodDisruptionBudget>;

export interface Snapshot {
  nodes: readonly NodeInfo[];
  /** Whether any node has `podsThatRepel`, or `podsWithWishes`. */
  repels: boolean;
  wishes: boolean;
  /** Sums that are kept from one snapshot of the same cluster to the next, see `tallyOf`. */
  tallies: Map<string, PairTally>;
  claim(namespace: string, name: string): PersistentVolumeClaim | undefined;
  volume(name: string): PersistentVolume | undefined;
  /** All volumes of a storage class. */
  volumesOfClass(className: string): readonly PersistentVolume[];
  storageClass(name: string): StorageClass | undefined;
  csiNode(nodeName: string): CsiNode | undefined;
  namespaceLabels(name: string): Record<string, string>;
  disruptionBudgets(namespace: string): readonly PodDisruptionBudget[];
  /**
   * Whether a pod belongs to the same services and controllers, for spreading by default; undefined when it
   * has none. Equal keys are equal tests.
   */
  siblings(pod: Pod): { key: string; includes(other: Pod): boolean } | undefined;
}

/** A node and what is on it. Immutable, but for newer states of its pods that rules can't tell from the ones before. */
export interface NodeInfo {
  node: Node;
  name: string;
  pods: readonly Pod[];
  /** Those of `pods` that refuse to be near some others. Few, where there are many pods. */
  podsThatRepel: readonly Pod[];
  /** Those of `pods` that make nodes more or less welcome to others. */
  podsWithWishes: readonly Pod[];
  allocatable: Amounts;
  requested: Amounts;
  /** Requested cpu (milli) and memory (bytes), with a guess for containers that ask for nothing. For scores. */
  assumed: { milliCpu: number; memory: number };
}

/** By resource name. cpu in thousandths, the rest in units or bytes. */
export type Amounts = Readonly<Record<string, number>>;

export interface Rejection {
  reasons: readonly string[];
  /** Removing pods from the node could help. */
  resolvable: boolean;
}

/** A rejection, and the name of the rule that it comes from. */
export type Objection = Rejection & { rule: string };

/** Why a pod fits on no node at all, and the name of the rule that says so. */
export interface Refusal {
  reason: string;
  rule: string;
}

/** A rule made ready for one pod and one snapshot. */
export type Filter = (node: NodeInfo) => Rejection | undefined;

export interface FilterPlugin {
  name: string;
  /** Undefined: the rule does not concern the pod. A string: the pod fits nowhere, and why. */
  prepare(pod: Pod, snapshot: Snapshot): undefined | string | { filter: Filter };
}

export interface ScorePlugin {
  name: string;
  weight: number;
  /** Scores from 0 to 100 for the nodes in their order; undefined: the rule does not concern the pod. */
  score(pod: Pod, nodes: readonly NodeInfo[], snapshot: Snapshot): readonly number[] | undefined;
}

export function priorityOf(pod: Pod): number {
  return pod.spec.priority ?? 0;
}
