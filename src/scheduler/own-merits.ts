/**
 * What a node's own state says about a pod, without a look at other nodes: whether it could take the pod, and
 * how free it would be. Pods of one template ask the same question, and of a thousand nodes one changes
 * between two pods: the answers are remembered for each shape of pod, as long as a node stays what it is.
 */
import { nodeAffinity, nodeName, nodeUnschedulable, taintToleration } from "./node-filters.ts";
import { askedBy } from "./node-info.ts";
import { tolerates } from "./node-selector.ts";
import { hostPorts, nodePorts, nodeResourcesFit } from "./resource-filters.ts";
import type { Filter, FilterPlugin, NodeInfo, Objection, Pod, Refusal, Snapshot, Taint } from "./types.ts";

export interface Merits {
  /** The first objection in upstream's order. */
  objection: Objection | undefined;
  /** 0 to 100: how much of the node would be free. */
  free: number;
  /** 0 to 100: how evenly its resources would be used. */
  balance: number;
  /** PreferNoSchedule taints that the pod does not tolerate. */
  taints: number;
}

/** A rule made ready for a pod. */
export interface Rule {
  name: string;
  filter: Filter;
}

/** Those that ask nothing but the pod and the node. In upstream's order. */
export const ownFilters: readonly FilterPlugin[] = [
  nodeUnschedulable,
  nodeName,
  taintToleration,
  nodeAffinity,
  nodePorts,
  nodeResourcesFit,
];

/** What was answered to pods of one shape, by the nodes' places in the snapshots. */
interface Known {
  infos: NodeInfo[];
  merits: Merits[];
}

const knownByShape = new Map<string, Known>();
const knownByPod = new WeakMap<Pod, Known>();
const maxShapes = 64;
const noTaints: readonly Taint[] = [];

/** How good a node is for the pod. `place`: where the node is in the snapshot; undefined for a changed copy of it. */
export type Judge = (info: NodeInfo, place: number | undefined) => Merits;

/** The pod's judge of single nodes, unless it fits nowhere at all. */
export function meritsFor(pod: Pod, snapshot: Snapshot): Judge | Refusal {
  const filters: Rule[] = [];
  for (const plugin of ownFilters) {
    const prepared = plugin.prepare(pod, snapshot);
    if (typeof prepared === "string") return { reason: prepared, rule: plugin.name };
    if (prepared !== undefined) filters.push({ name: plugin.name, filter: prepared.filter });
  }
  const { infos, merits } = knownFor(pod);
  return (info, place) => {
    if (place === undefined) return judge(pod, info, filters);
    if (infos[place] !== info) {
      merits[place] = judge(pod, info, filters);
      infos[place] = info;
    }
    return merits[place]!;
  };
}

/** The sum of upstream's scores NodeResourcesFit, NodeResourcesBalancedAllocation and TaintToleration (weight 3). */
export function ownScores(candidates: readonly Merits[]): number[] {
  let mostTaints = 0;
  for (const { taints } of candidates) if (taints > mostTaints) mostTaints = taints;
  return candidates.map(({ free, balance, taints }) => {
    const tolerated = mostTaints === 0 ? 100 : 100 - Math.trunc((100 * taints) / mostTaints);
    return free + balance + 3 * tolerated;
  });
}

/** What was answered to pods of this shape. */
function knownFor(pod: Pod): Known {
  let known = knownByPod.get(pod);
  if (known !== undefined) return known;
  const { tolerations, nodeSelector, affinity, nodeName: wanted } = pod.spec;
  const asked = askedBy(pod);
  const shape = JSON.stringify([
    asked,
    tolerations,
    nodeSelector,
    affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution,
    wanted,
    hostPorts(pod),
  ]);
  known = knownByShape.get(shape) ?? { infos: [], merits: [] };
  knownByShape.delete(shape);
  knownByShape.set(shape, known);
  if (knownByShape.size > maxShapes) knownByShape.delete(knownByShape.keys().next().value!);
  knownByPod.set(pod, known);
  return known;
}

/** The first objection of these rules. */
export function firstObjection(rules: readonly Rule[], info: NodeInfo): Objection | undefined {
  for (const { name, filter } of rules) {
    const rejection = filter(info);
    if (rejection !== undefined) return { ...rejection, rule: name };
  }
  return undefined;
}

function judge(pod: Pod, info: NodeInfo, filters: readonly Rule[]): Merits {
  const objection = firstObjection(filters, info);
  return { objection, free: freeOf(pod, info), balance: balanceOf(pod, info), taints: taintsOf(pod, info) };
}

/** Emptier nodes first. */
function freeOf(pod: Pod, info: NodeInfo): number {
  const { assumed } = askedBy(pod);
  const cpu = freeShare(info.assumed.milliCpu + assumed.milliCpu, info.allocatable["cpu"] ?? 0);
  const memory = freeShare(info.assumed.memory + assumed.memory, info.allocatable["memory"] ?? 0);
  if (cpu === undefined || memory === undefined) return cpu ?? memory ?? 0;
  return Math.trunc((cpu + memory) / 2);
}

function freeShare(used: number, capacity: number): number | undefined {
  if (capacity === 0) return undefined;
  return used > capacity ? 0 : Math.trunc(((capacity - used) * 100) / capacity);
}

function balanceOf(pod: Pod, { allocatable, requested }: NodeInfo): number {
  const { requests } = askedBy(pod);
  const share = (name: string): number | undefined => {
    const capacity = allocatable[name] ?? 0;
    if (capacity === 0) return undefined;
    return Math.min(1, ((requested[name] ?? 0) + (requests[name] ?? 0)) / capacity);
  };
  const cpu = share("cpu");
  const memory = share("memory");
  const deviation = cpu === undefined || memory === undefined ? 0 : Math.abs(cpu - memory) / 2;
  return Math.trunc((1 - deviation) * 100);
}

function taintsOf(pod: Pod, { node }: NodeInfo): number {
  let count = 0;
  for (const taint of node.spec.taints ?? noTaints) {
    if (taint.effect === "PreferNoSchedule" && !tolerates(pod.spec.tolerations, taint)) count++;
  }
  return count;
}
