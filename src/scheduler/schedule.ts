/** The decision for one pod: which node, or why none, and whom to send away for it. */
import { failureMessage } from "./failure-message.ts";
import { interPodAffinity, interPodAffinityScore } from "./pod-affinity.ts";
import { namedNodes } from "./node-filters.ts";
import { meritsFor } from "./own-merits.ts";
import { preempt } from "./preempt.ts";
import type { Preemption } from "./preempt.ts";
import {
  balancedAllocation,
  imageLocality,
  leastAllocated,
  nodeAffinityScore,
  taintTolerationScore,
} from "./scores.ts";
import { podTopologySpread, podTopologySpreadScore } from "./topology-spread.ts";
import type { Filter, FilterPlugin, NodeInfo, Pod, Rejection, ScorePlugin, Snapshot } from "./types.ts";
import { bindingsFor, nodeVolumeLimits, volumeBinding, volumeRestrictions, volumeZone } from "./volumes.ts";
import type { VolumeBindings } from "./volumes.ts";

/** After those of `own-merits.ts`, in upstream's order: a node's first objection is the one that is told. */
const filters: readonly FilterPlugin[] = [
  volumeRestrictions,
  nodeVolumeLimits,
  volumeBinding,
  volumeZone,
  podTopologySpread,
  interPodAffinity,
];

const scores: readonly ScorePlugin[] = [
  taintTolerationScore,
  nodeAffinityScore,
  leastAllocated,
  podTopologySpreadScore,
  interPodAffinityScore,
  balancedAllocation,
  imageLocality,
];

export type Decision =
  | { type: "bind"; nodeName: string; volumes: VolumeBindings }
  | { type: "unschedulable"; message: string; preemption: Preemption | undefined };

/**
 * `choose`: picks one of so many equally good nodes. `begin`: the node to look at first, where there are so
 * many that not all are looked at; a caller that goes on behind the last one treats all alike.
 */
export function schedule(
  pod: Pod,
  snapshot: Snapshot,
  choose: (count: number) => number,
  begin = 0,
): Decision & { examined: number } {
  const found = feasibleNodes(pod, snapshot, begin);
  return { ...decide(pod, snapshot, choose, found), examined: found.examined };
}

/**
 * How many nodes that fit are enough. All of fewer than 100; else a share that shrinks from half of the
 * nodes by one percent per 125 of them down to 5 %, but never fewer than 100: upstream's percentageOfNodesToScore.
 */
export function enoughNodes(count: number): number {
  if (count < leastEnough) return count;
  const percent = Math.max(5, 50 - Math.trunc(count / 125));
  return Math.max(leastEnough, Math.trunc((count * percent) / 100));
}

const leastEnough = 100;

function decide(
  pod: Pod,
  snapshot: Snapshot,
  choose: (count: number) => number,
  found: Feasibility,
): Decision {
  if (snapshot.nodes.length === 0) {
    return { type: "unschedulable", message: "no nodes available to schedule pods", preemption: undefined };
  }
  if (found.feasible.length > 0) {
    const info = best(pod, found.feasible, snapshot, choose);
    return { type: "bind", nodeName: info.name, volumes: bindingsFor(pod, info, snapshot) };
  }
  const { preemption, message } = preempt(pod, snapshot, found.rejections, (changed, node) =>
    checkNode(pod, changed, node),
  );
  return {
    type: "unschedulable",
    message: failureMessage(snapshot.nodes.length, found.everywhere, found.rejections, message),
    preemption,
  };
}

interface Feasibility {
  feasible: NodeInfo[];
  rejections: Map<NodeInfo, Rejection>;
  /** Why the pod fits nowhere at all. */
  everywhere: string | undefined;
  /** So many nodes were looked at. */
  examined: number;
}

function feasibleNodes(pod: Pod, snapshot: Snapshot, begin: number): Feasibility {
  const { nodes } = snapshot;
  const prepared = prepare(pod, snapshot);
  const rejections = new Map<NodeInfo, Rejection>();
  if (typeof prepared === "string") {
    for (const info of nodes) rejections.set(info, { reasons: [prepared], resolvable: false });
    return { feasible: [], rejections, everywhere: prepared, examined: 0 };
  }
  const feasible: NodeInfo[] = [];
  const enough = enoughNodes(nodes.length);
  let examined = 0;
  while (examined < nodes.length && feasible.length < enough) {
    const info = nodes[(begin + examined++) % nodes.length]!;
    const rejection = prepared(info);
    if (rejection === undefined) feasible.push(info);
    else rejections.set(info, rejection);
  }
  return { feasible, rejections, everywhere: undefined, examined };
}

function checkNode(pod: Pod, snapshot: Snapshot, node: NodeInfo): Rejection | undefined {
  const prepared = prepare(pod, snapshot);
  return typeof prepared === "string" ? { reasons: [prepared], resolvable: false } : prepared(node);
}

/** All rules as one, or why the pod fits nowhere. */
function prepare(pod: Pod, snapshot: Snapshot): Filter | string {
  const merits = meritsFor(pod, snapshot);
  if (typeof merits === "string") return merits;
  const ready: Filter[] = [(info) => merits(info).rejection];
  const named = namedNodes(pod);
  if (named !== undefined) ready.unshift(onlyNamed(named));
  for (const plugin of filters) {
    const prepared = plugin.prepare(pod, snapshot);
    if (typeof prepared === "string") return prepared;
    if (prepared === undefined) continue;
    ready.push(prepared.filter);
  }
  return (info) => {
    for (const filter of ready) {
      const rejection = filter(info);
      if (rejection !== undefined) return rejection;
    }
    return undefined;
  };
}

function onlyNamed(names: ReadonlySet<string>): Filter {
  const reasons = ["node(s) didn't satisfy plugin(s) [NodeAffinity]"];
  return (info) => (names.has(info.name) ? undefined : { reasons, resolvable: false });
}

function best(
  pod: Pod,
  nodes: readonly NodeInfo[],
  snapshot: Snapshot,
  choose: (count: number) => number,
): NodeInfo {
  if (nodes.length === 1) return nodes[0]!;
  const totals = nodes.map(() => 0);
  for (const plugin of scores) {
    const given = plugin.score(pod, nodes, snapshot);
    if (given === undefined) continue;
    for (let at = 0; at < given.length; at++) totals[at]! += given[at]! * plugin.weight;
  }
  const most = Math.max(...totals);
  const winners = nodes.filter((_, index) => totals[index] === most);
  return winners[choose(winners.length)]!;
}
