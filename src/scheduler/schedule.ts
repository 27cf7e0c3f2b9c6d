/** The decision for one pod: which node, or why none, and whom to send away for it. */
import { failureMessage } from "./failure-message.ts";
import { interPodAffinity, interPodAffinityScore } from "./pod-affinity.ts";
import { namedNodes } from "./node-filters.ts";
import { firstObjection, meritsFor, ownScores } from "./own-merits.ts";
import type { Judge, Merits, Rule } from "./own-merits.ts";
import { preempt } from "./preempt.ts";
import type { Preemption } from "./preempt.ts";
import { imageLocality, nodeAffinityScore } from "./scores.ts";
import { podTopologySpread, podTopologySpreadScore } from "./topology-spread.ts";
import type {
  FilterPlugin,
  NodeInfo,
  Objection,
  Pod,
  Refusal,
  Rejection,
  ScorePlugin,
  Snapshot,
} from "./types.ts";
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

/** Besides `ownScores`. */
const scores: readonly ScorePlugin[] = [
  nodeAffinityScore,
  podTopologySpreadScore,
  interPodAffinityScore,
  imageLocality,
];

export type Decision =
  | { type: "bind"; nodeName: string; volumes: VolumeBindings }
  | {
      type: "unschedulable";
      message: string;
      preemption: Preemption | undefined;
      /** The rules that have refused nodes; none where there are no nodes. */
      refusedBy: ReadonlySet<string>;
    };

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
    return {
      type: "unschedulable",
      message: "no nodes available to schedule pods",
      preemption: undefined,
      refusedBy: new Set(),
    };
  }
  if (found.feasible.length > 0) {
    const info = best(pod, found, snapshot, choose);
    return { type: "bind", nodeName: info.name, volumes: bindingsFor(pod, info, snapshot) };
  }
  const { preemption, message } = preempt(pod, snapshot, found.rejections, (changed, node) =>
    checkNode(pod, changed, node),
  );
  return {
    type: "unschedulable",
    message: failureMessage(snapshot.nodes.length, found.everywhere, found.rejections, message),
    preemption,
    refusedBy: new Set([...found.rejections.values()].map((each) => each.rule)),
  };
}

interface Feasibility {
  feasible: NodeInfo[];
  /** Of each of them. */
  merits: Merits[];
  rejections: Map<NodeInfo, Objection>;
  /** Why the pod fits nowhere at all. */
  everywhere: string | undefined;
  /** So many nodes were looked at. */
  examined: number;
}

function feasibleNodes(pod: Pod, snapshot: Snapshot, begin: number): Feasibility {
  const { nodes } = snapshot;
  const prepared = prepare(pod, snapshot);
  const rejections = new Map<NodeInfo, Objection>();
  if (isRefusal(prepared)) {
    const { reason, rule } = prepared;
    for (const info of nodes) rejections.set(info, { reasons: [reason], resolvable: false, rule });
    return { feasible: [], merits: [], rejections, everywhere: reason, examined: 0 };
  }
  const feasible: NodeInfo[] = [];
  const merits: Merits[] = [];
  const enough = enoughNodes(nodes.length);
  let examined = 0;
  while (examined < nodes.length && feasible.length < enough) {
    const place = (begin + examined++) % nodes.length;
    const info = nodes[place]!;
    const merit = prepared.judge(info, place);
    const rejection = objection(prepared, info, merit);
    if (rejection === undefined) {
      feasible.push(info);
      merits.push(merit);
    } else rejections.set(info, rejection);
  }
  return { feasible, merits, rejections, everywhere: undefined, examined };
}

function checkNode(pod: Pod, snapshot: Snapshot, node: NodeInfo): Rejection | undefined {
  const prepared = prepare(pod, snapshot);
  if (isRefusal(prepared)) return { reasons: [prepared.reason], resolvable: false };
  return objection(prepared, node, prepared.judge(node, undefined));
}

/** All rules, made ready for one pod. */
interface Rules {
  /** Where the pod names its nodes: only these come into question. */
  named: ReadonlySet<string> | undefined;
  judge: Judge;
  others: readonly Rule[];
}

/** Or why the pod fits nowhere. */
function prepare(pod: Pod, snapshot: Snapshot): Rules | Refusal {
  const judge = meritsFor(pod, snapshot);
  if (typeof judge !== "function") return judge;
  const others: Rule[] = [];
  for (const plugin of filters) {
    const prepared = plugin.prepare(pod, snapshot);
    if (typeof prepared === "string") return { reason: prepared, rule: plugin.name };
    if (prepared === undefined) continue;
    others.push({ name: plugin.name, filter: prepared.filter });
  }
  return { named: namedNodes(pod), judge, others };
}

function isRefusal(prepared: Rules | Refusal): prepared is Refusal {
  return "reason" in prepared;
}

/** A node's first objection. */
function objection({ named, others }: Rules, info: NodeInfo, merits: Merits): Objection | undefined {
  if (named?.has(info.name) === false) return notNamed;
  return merits.objection ?? firstObjection(others, info);
}

const notNamed: Objection = {
  rule: "NodeAffinity",
  reasons: ["node(s) didn't satisfy plugin(s) [NodeAffinity]"],
  resolvable: false,
};

function best(
  pod: Pod,
  { feasible, merits }: Feasibility,
  snapshot: Snapshot,
  choose: (count: number) => number,
): NodeInfo {
  if (feasible.length === 1) return feasible[0]!;
  const totals = ownScores(merits);
  for (const plugin of scores) {
    const given = plugin.score(pod, feasible, snapshot);
    if (given === undefined) continue;
    for (let at = 0; at < given.length; at++) totals[at]! += given[at]! * plugin.weight;
  }
  const most = Math.max(...totals);
  const winners = feasible.filter((_, index) => totals[index] === most);
  return winners[choose(winners.length)]!;
}
