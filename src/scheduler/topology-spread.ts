/** Spreading over zones, hosts and other domains: a filter for DoNotSchedule, a score for ScheduleAnyway. */
import { matchesLabelSelector } from "#kinds/label-selector.ts";
import { countPods } from "./node-info.ts";
import { tallyOf } from "./pair-tally.ts";
import type { PairTally } from "./pair-tally.ts";
import { podWantsNode, untoleratedTaint } from "./node-selector.ts";
import type { FilterPlugin, Node, NodeInfo, Pod, ScorePlugin, Snapshot } from "./types.ts";

const hostname = "kubernetes.io/hostname";
const mismatch = "node(s) didn't match pod topology spread constraints";

interface Constraint {
  topologyKey: string;
  maxSkew: number;
  minDomains: number;
  /** Equal keys count the same pods. */
  key: string;
  counts(other: Pod): boolean;
  /** Equal keys include the same nodes. */
  nodesKey: string;
  includes(node: Node): boolean;
}

export const podTopologySpread: FilterPlugin = {
  name: "PodTopologySpread",
  prepare(pod, snapshot) {
    const constraints = constraintsOf(pod, "DoNotSchedule");
    if (constraints.length === 0) return undefined;
    const keys = constraints.map((each) => each.topologyKey);
    const counts = constraints.map((constraint) => {
      const byDomain = domainsOf(constraint, keys, snapshot);
      const own = Number(constraint.counts(pod));
      return {
        constraint,
        byDomain,
        own,
        least:
          byDomain.count(constraint.topologyKey) < constraint.minDomains
            ? 0
            : byDomain.least(constraint.topologyKey),
      };
    });
    return {
      filter({ node }) {
        for (const { constraint, byDomain, own, least } of counts) {
          const domain = node.metadata.labels?.[constraint.topologyKey];
          if (domain === undefined)
            return { reasons: [`${mismatch} (missing required label)`], resolvable: false };
          const skew = byDomain.of(constraint.topologyKey, domain) + own - least;
          if (skew > constraint.maxSkew) return { reasons: [mismatch], resolvable: true };
        }
        return undefined;
      },
    };
  },
};

export const podTopologySpreadScore: ScorePlugin = {
  name: "PodTopologySpread",
  weight: 2,
  score(pod, nodes, snapshot) {
    const own = (pod.spec.topologySpreadConstraints ?? []).length > 0;
    const constraints = own ? constraintsOf(pod, "ScheduleAnyway") : defaultConstraints(pod, snapshot);
    if (constraints.length === 0) return undefined;
    const keys = constraints.map((each) => each.topologyKey);
    const ignored = nodes.map(({ node }) => own && !hasAll(node, keys));
    const candidates = nodes.filter((_, index) => !ignored[index]);
    const measures = constraints.map((constraint) =>
      measure(constraint, candidates, snapshot, own ? keys : []),
    );
    const sums = nodes.map((info, index) => {
      if (ignored[index] === true) return 0;
      return Math.round(measures.reduce((sum, scoreOf) => sum + scoreOf(info), 0));
    });
    const counted = sums.filter((_, index) => !ignored[index]);
    const [least, most] = [Math.min(...counted), Math.max(...counted)];
    return sums.map((sum, index) => {
      if (ignored[index] === true) return 0;
      return most === 0 ? 100 : Math.trunc((100 * (most + least - sum)) / most);
    });
  },
};

function measure(
  constraint: Constraint,
  candidates: readonly NodeInfo[],
  snapshot: Snapshot,
  keys: readonly string[],
): (info: NodeInfo) => number {
  const { topologyKey, maxSkew } = constraint;
  const isHost = topologyKey === hostname;
  const size = isHost ? candidates.length : domainCount(candidates, topologyKey);
  const weight = Math.log(size + 2);
  const byDomain = isHost ? undefined : domainsOf(constraint, keys, snapshot);
  return (info) => {
    const domain = info.node.metadata.labels?.[topologyKey];
    if (domain === undefined) return 0;
    const count = byDomain === undefined ? countOf(constraint, info) : byDomain.of(topologyKey, domain);
    return count * weight + (maxSkew - 1);
  };
}

/** How many pods each domain has, of nodes with all of the keys that the constraint includes. */
function domainsOf(constraint: Constraint, keys: readonly string[], snapshot: Snapshot): PairTally {
  const { topologyKey } = constraint;
  const question = JSON.stringify([topologyKey, keys, constraint.key, constraint.nodesKey]);
  return tallyOf(snapshot, question, (info) => {
    const { node } = info;
    const domain = node.metadata.labels?.[topologyKey];
    if (domain === undefined || !hasAll(node, keys) || !constraint.includes(node)) return [];
    return [[topologyKey, domain, countOf(constraint, info)]];
  });
}

function domainCount(nodes: readonly NodeInfo[], topologyKey: string): number {
  const domains = new Set<string>();
  for (const { node } of nodes) {
    const domain = node.metadata.labels?.[topologyKey];
    if (domain !== undefined) domains.add(domain);
  }
  return domains.size;
}

function constraintsOf(pod: Pod, whenUnsatisfiable: string): Constraint[] {
  return (pod.spec.topologySpreadConstraints ?? [])
    .filter((each) => each.whenUnsatisfiable === whenUnsatisfiable)
    .map((each) => {
      const sameValues = (each.matchLabelKeys ?? [])
        .filter((key) => pod.metadata.labels?.[key] !== undefined)
        .map((key) => [key, pod.metadata.labels![key]!] as const);
      return {
        topologyKey: each.topologyKey,
        maxSkew: each.maxSkew,
        minDomains: each.minDomains ?? 1,
        key: JSON.stringify(["spread", pod.metadata.namespace, each.labelSelector, sameValues]),
        counts: (other) =>
          other.metadata.namespace === pod.metadata.namespace &&
          matchesLabelSelector(each.labelSelector, other.metadata.labels) &&
          sameValues.every(([key, value]) => other.metadata.labels?.[key] === value),
        nodesKey: JSON.stringify([
          each.nodeAffinityPolicy === "Ignore" ? "any" : wishesOf(pod),
          each.nodeTaintsPolicy === "Honor" ? (pod.spec.tolerations ?? []) : "any",
        ]),
        includes: (node) =>
          (each.nodeAffinityPolicy === "Ignore" || podWantsNode(pod, node)) &&
          (each.nodeTaintsPolicy !== "Honor" ||
            untoleratedTaint(pod, node, ["NoSchedule", "NoExecute"]) === undefined),
      };
    });
}

/** Pods of one service or controller prefer different hosts and zones even if nobody says so. */
function defaultConstraints(pod: Pod, snapshot: Snapshot): Constraint[] {
  const siblings = snapshot.siblings(pod);
  if (siblings === undefined) return [];
  const { namespace = "" } = pod.metadata;
  const key = JSON.stringify(["siblings", namespace, siblings.key]);
  const counts = (other: Pod): boolean => other.metadata.namespace === namespace && siblings.includes(other);
  const nodesKey = JSON.stringify(wishesOf(pod));
  const includes = (node: Node): boolean => podWantsNode(pod, node);
  return [
    { topologyKey: hostname, maxSkew: 3, minDomains: 1, key, counts, nodesKey, includes },
    {
      topologyKey: "topology.kubernetes.io/zone",
      maxSkew: 5,
      minDomains: 1,
      key,
      counts,
      nodesKey,
      includes,
    },
  ];
}

function countOf(constraint: Constraint, info: NodeInfo): number {
  return countPods(
    info,
    constraint.key,
    (pod) => pod.metadata.deletionTimestamp === undefined && constraint.counts(pod),
  );
}

function hasAll(node: Node, keys: readonly string[]): boolean {
  return keys.every((key) => node.metadata.labels?.[key] !== undefined);
}

/** What `podWantsNode` looks at. */
function wishesOf({ spec }: Pod): unknown {
  return [spec.nodeSelector, spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution];
}
