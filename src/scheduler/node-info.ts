/** What pods ask for, and nodes with their sums. */
import type * as core from "kubernetes-types/core/v1.d.ts";
import { deepEqual } from "#kinds/equality.ts";
import { quantityMilliValue, quantityValue } from "#kinds/quantity.ts";
import type { Amounts, Node, NodeInfo, Pod } from "./types.ts";

const guessedMilliCpu = 100;
const guessedMemory = 200 * 1024 * 1024;

interface Asked {
  requests: Record<string, number>;
  assumed: { milliCpu: number; memory: number };
}

const askedByPod = new WeakMap<Pod, Asked>();
const allocatableByNode = new WeakMap<Node, Amounts>();
const countsByNode = new WeakMap<NodeInfo, Map<string, number>>();
const maxCountsPerNode = 256;

export function makeNodeInfo(node: Node, pods: readonly Pod[]): NodeInfo {
  const requested: Record<string, number> = { pods: pods.length };
  const assumed = { milliCpu: 0, memory: 0 };
  for (const pod of pods) {
    const asked = askedBy(pod);
    add(requested, asked.requests);
    assumed.milliCpu += asked.assumed.milliCpu;
    assumed.memory += asked.assumed.memory;
  }
  return {
    node,
    name: node.metadata.name ?? "",
    pods: [...pods],
    podsThatRepel: pods.filter(repels),
    podsWithWishes: pods.filter(hasWishes),
    allocatable: allocatableOf(node),
    requested,
    assumed,
  };
}

/**
 * How many pods of the node pass the test. Equal keys must be equal tests: the answer is remembered as long
 * as nothing changes on the node, so that a thousand like pods don't look at every pod of every node again.
 */
export function countPods(info: NodeInfo, key: string, test: (pod: Pod) => boolean): number {
  if (info.pods.length === 0) return 0;
  let known = countsByNode.get(info);
  if (known === undefined) countsByNode.set(info, (known = new Map()));
  let count = known.get(key);
  if (count === undefined) {
    count = 0;
    for (const pod of info.pods) if (test(pod)) count++;
    // A quiet node must not collect the questions of years.
    if (known.size >= maxCountsPerNode) known.clear();
    known.set(key, count);
  }
  return count;
}

/**
 * True where no rule tells these states of a pod on a node apart: what it asks for, wants and is called is the
 * same, and whether it counts.
 */
export function isAlike(before: Pod, after: Pod): boolean {
  return (
    before.metadata.uid === after.metadata.uid &&
    before.metadata.deletionTimestamp === after.metadata.deletionTimestamp &&
    isOver(before) === isOver(after) &&
    deepEqual(before.metadata.labels, after.metadata.labels) &&
    deepEqual(before.spec, after.spec)
  );
}

/** Puts a newer state of a pod, which is alike, in the place of the one before. */
export function renewPod({ pods, podsThatRepel, podsWithWishes }: NodeInfo, before: Pod, after: Pod): void {
  for (const each of [pods, podsThatRepel, podsWithWishes] as Pod[][]) {
    const at = each.indexOf(before);
    if (at >= 0) each[at] = after;
  }
  keepAsked(before, after);
}

/** The pod as it will be on the node. */
export function assignedTo(pod: Pod, nodeName: string): Pod {
  const assigned = { ...pod, spec: { ...pod.spec, nodeName } };
  keepAsked(pod, assigned);
  return assigned;
}

/** What another state of the pod asks for is not added up again. */
function keepAsked(before: Pod, after: Pod): void {
  const asked = askedByPod.get(before);
  if (asked !== undefined) askedByPod.set(after, asked);
}

export function withPods(info: NodeInfo, pods: readonly Pod[]): NodeInfo {
  return makeNodeInfo(info.node, pods);
}

/** Containers run together, init containers one after the other beside the sidecars started before them. */
export function askedBy(pod: Pod): Asked {
  const known = askedByPod.get(pod);
  if (known !== undefined) return known;
  const asked = {
    requests: podTotal(pod, requestsOf),
    assumed: assumedOf(pod),
  };
  askedByPod.set(pod, asked);
  return asked;
}

export function requestsOfPod(pod: Pod): Amounts {
  return askedBy(pod).requests;
}

function allocatableOf(node: Node): Amounts {
  let known = allocatableByNode.get(node);
  if (known === undefined) {
    known = amounts(node.status.allocatable ?? node.status.capacity);
    allocatableByNode.set(node, known);
  }
  return known;
}

function isOver({ status }: Pod): boolean {
  return status.phase === "Succeeded" || status.phase === "Failed";
}

function repels({ spec: { affinity } }: Pod): boolean {
  return (affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).length > 0;
}

function hasWishes({ spec: { affinity } }: Pod): boolean {
  if (affinity?.podAffinity !== undefined) return true;
  return (affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).length > 0;
}

function podTotal(
  pod: Pod,
  requests: (container: core.Container) => Record<string, number>,
): Record<string, number> {
  const total: Record<string, number> = {};
  for (const container of pod.spec.containers) add(total, requests(container));
  const sidecars: Record<string, number> = {};
  const initial: Record<string, number> = {};
  for (const container of pod.spec.initContainers ?? []) {
    const needs = requests(container);
    if ((container as { restartPolicy?: string }).restartPolicy === "Always") {
      add(total, needs);
      add(sidecars, needs);
      raise(initial, sidecars);
    } else {
      const together = { ...sidecars };
      add(together, needs);
      raise(initial, together);
    }
  }
  raise(total, initial);
  add(total, amounts(pod.spec.overhead));
  return total;
}

function requestsOf(container: core.Container): Record<string, number> {
  return amounts(container.resources?.requests);
}

function assumedOf(pod: Pod): { milliCpu: number; memory: number } {
  const total = podTotal(pod, (container) => {
    const requests = requestsOf(container);
    return { cpu: requests["cpu"] ?? guessedMilliCpu, memory: requests["memory"] ?? guessedMemory };
  });
  return { milliCpu: total["cpu"] ?? 0, memory: total["memory"] ?? 0 };
}

function amounts(list: Record<string, unknown> | undefined): Record<string, number> {
  const result: Record<string, number> = {};
  for (const [name, quantity] of Object.entries(list ?? {})) {
    result[name] = name === "cpu" ? quantityMilliValue(String(quantity)) : quantityValue(String(quantity));
  }
  return result;
}

function add(total: Record<string, number>, more: Record<string, number>): void {
  for (const name in more) total[name] = (total[name] ?? 0) + more[name]!;
}

function raise(total: Record<string, number>, least: Record<string, number>): void {
  for (const [name, amount] of Object.entries(least)) total[name] = Math.max(total[name] ?? 0, amount);
}
