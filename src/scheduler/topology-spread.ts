/** Spreading over zones, hosts and other domains: a filter for DoNotSchedule, a score for ScheduleAnyway. */
import { matchesLabelSelector } from "#kinds/label-selector.ts";
import { countPods } from "./node-info.ts";
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
  includes(node: Node): boolean;
}

export const podTopologySpread: FilterPlugin = {
  name: "PodTopologySpread",
  prepare(pod, snapshot) {
    const constraints = constraintsOf(pod, "DoNotSchedule");
    if (constraints.length === 0) return undefined;
    const keys = constraints.map((each) => each.topologyKey);
    const counts = constraints.map((constraint) => {
      const byDomain = new Map<string, number>();
      for (const info of snapshot.nodes) {
        const { node } = info;
        if (!hasAll(node, keys) || !constraint.includes(node)) continue;
        const domain = node.metadata.labels![constraint.topologyKey]!;
        byDomain.set(domain, (byDomain.get(domain) ?? 0) + countOf(constraint, info));
      }
      const least = byDomain.size < constraint.minDomains ? 0 : Math.min(...byDomain.values());
      return { constraint, byDomain, least: byDomain.size === 0 ? 0 : least };
    });
    return {
      filter({ node }) {
        for (const { constraint, byDomain, least } of counts) {
          const domain = node.metadata.labels?.[constraint.topologyKey];
          if (domain === undefined)
            return { reasons: [`${mismatch} (missing required label)`], resolvable: false };
          const skew = (byDomain.get(domain) ?? 0) + Number(constraint.counts(pod)) - least;
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
  const byDomain = new Map<string, number>();
  for (const { node } of candidates) {
    const domain = node.metadata.labels?.[topologyKey];
    if (domain !== undefined) byDomain.set(domain, 0);
  }
  const size = topologyKey === hostname ? candidates.length : byDomain.size;
  const weight = Math.log(size + 2);
  if (topologyKey !== hostname) {
    for (const info of snapshot.nodes) {
      const { node } = info;
      const domain = node.metadata.labels?.[topologyKey];
      if (domain === undefined || !byDomain.has(domain) || !hasAll(node, keys) || !constraint.includes(node))
        continue;
      byDomain.set(domain, byDomain.get(domain)! + countOf(constraint, info));
    }
  }
  return (info) => {
    const domain = info.node.metadata.labels?.[topologyKey];
    if (domain === undefined) return 0;
    const count = topologyKey === hostname ? countOf(constraint, info) : byDomain.get(domain)!;
    return count * weight + (maxSkew - 1);
  };
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
  const includes = (node: Node): boolean => podWantsNode(pod, node);
  return [
    { topologyKey: hostname, maxSkew: 3, minDomains: 1, key, counts, includes },
    { topologyKey: "topology.kubernetes.io/zone", maxSkew: 5, minDomains: 1, key, counts, includes },
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
