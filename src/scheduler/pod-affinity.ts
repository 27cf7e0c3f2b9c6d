/** Affinity and anti-affinity between pods: the hard rules as a filter, the soft ones as a score. */
import { matchesLabelSelector } from "#kinds/label-selector.ts";
import type { FilterPlugin, NodeInfo, Pod, PodAffinityTerm, ScorePlugin, Snapshot } from "./types.ts";

/** A required affinity of a pod that is already there counts this much for those it likes. */
const hardAffinityWeight = 1;

export const interPodAffinity: FilterPlugin = {
  name: "InterPodAffinity",
  prepare(pod, snapshot) {
    const affinity = required(pod, "podAffinity");
    const antiAffinity = required(pod, "podAntiAffinity");
    const repelling = pairsThatRepel(pod, snapshot);
    if (affinity.length === 0 && antiAffinity.length === 0 && repelling.size === 0) return undefined;
    const attracted = new Set<string>();
    const avoided = new Set<string>();
    for (const info of snapshot.nodes) {
      for (const other of info.pods) {
        if (affinity.length > 0 && affinity.every((term) => termSelects(term, pod, other, snapshot))) {
          for (const term of affinity) addPair(attracted, info, term);
        }
        for (const term of antiAffinity)
          if (termSelects(term, pod, other, snapshot)) addPair(avoided, info, term);
      }
    }
    const likesItself =
      affinity.length > 0 && affinity.every((term) => termSelects(term, pod, pod, snapshot));
    return {
      filter(info) {
        const pairs = affinity.map((term) => pairOf(info, term));
        if (pairs.includes(undefined)) return reject("node(s) didn't match pod affinity rules", false);
        const first = attracted.size === 0 && likesItself;
        if (!first && pairs.some((pair) => !attracted.has(pair!))) {
          return reject("node(s) didn't match pod affinity rules", false);
        }
        if (antiAffinity.some((term) => avoided.has(pairOf(info, term) ?? ""))) {
          return reject("node(s) didn't match pod anti-affinity rules", true);
        }
        for (const [key, value] of Object.entries(info.node.metadata.labels ?? {})) {
          if (repelling.has(`${key}=${value}`)) {
            return reject("node(s) didn't satisfy existing pods anti-affinity rules", true);
          }
        }
        return undefined;
      },
    };
  },
};

export const interPodAffinityScore: ScorePlugin = {
  name: "InterPodAffinity",
  weight: 2,
  score(pod, nodes, snapshot) {
    const weights = new Map<string, number>();
    const add = (info: NodeInfo, term: PodAffinityTerm, weight: number): void => {
      const pair = pairOf(info, term);
      if (pair !== undefined) weights.set(pair, (weights.get(pair) ?? 0) + weight);
    };
    for (const info of snapshot.nodes) {
      for (const other of info.pods) {
        for (const [term, weight] of preferred(pod))
          if (termSelects(term, pod, other, snapshot)) add(info, term, weight);
        for (const [term, weight] of preferred(other))
          if (termSelects(term, other, pod, snapshot)) add(info, term, weight);
        for (const term of required(other, "podAffinity")) {
          if (termSelects(term, other, pod, snapshot)) add(info, term, hardAffinityWeight);
        }
      }
    }
    if (weights.size === 0) return undefined;
    const sums = nodes.map(({ node }) => {
      let sum = 0;
      for (const [key, value] of Object.entries(node.metadata.labels ?? {}))
        sum += weights.get(`${key}=${value}`) ?? 0;
      return sum;
    });
    const [least, most] = [Math.min(...sums), Math.max(...sums)];
    return sums.map((sum) => (most === least ? 0 : Math.trunc((100 * (sum - least)) / (most - least))));
  },
};

function pairsThatRepel(pod: Pod, snapshot: Snapshot): Set<string> {
  const pairs = new Set<string>();
  for (const info of snapshot.nodes) {
    for (const other of info.pods) {
      for (const term of required(other, "podAntiAffinity")) {
        if (termSelects(term, other, pod, snapshot)) addPair(pairs, info, term);
      }
    }
  }
  return pairs;
}

/** Whether the term of `owner` means `other`. */
function termSelects(term: PodAffinityTerm, owner: Pod, other: Pod, snapshot: Snapshot): boolean {
  const namespace = other.metadata.namespace ?? "";
  if (!inNamespaces(term, owner, namespace, snapshot)) return false;
  if (!matchesLabelSelector(term.labelSelector, other.metadata.labels)) return false;
  for (const key of term.matchLabelKeys ?? []) {
    const value = owner.metadata.labels?.[key];
    if (value !== undefined && other.metadata.labels?.[key] !== value) return false;
  }
  for (const key of term.mismatchLabelKeys ?? []) {
    const value = owner.metadata.labels?.[key];
    if (value !== undefined && other.metadata.labels?.[key] === value) return false;
  }
  return true;
}

function inNamespaces(term: PodAffinityTerm, owner: Pod, namespace: string, snapshot: Snapshot): boolean {
  const { namespaces = [], namespaceSelector } = term;
  if (namespaces.length === 0 && namespaceSelector === undefined)
    return namespace === owner.metadata.namespace;
  if (namespaces.includes(namespace)) return true;
  return (
    namespaceSelector !== undefined &&
    matchesLabelSelector(namespaceSelector, snapshot.namespaceLabels(namespace))
  );
}

function required(pod: Pod, which: "podAffinity" | "podAntiAffinity"): PodAffinityTerm[] {
  return pod.spec.affinity?.[which]?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
}

function preferred(pod: Pod): [PodAffinityTerm, number][] {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  return [
    ...(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
      (each): [PodAffinityTerm, number] => [each.podAffinityTerm, each.weight],
    ),
    ...(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
      (each): [PodAffinityTerm, number] => [each.podAffinityTerm, -each.weight],
    ),
  ];
}

function pairOf({ node }: NodeInfo, { topologyKey }: PodAffinityTerm): string | undefined {
  const value = node.metadata.labels?.[topologyKey];
  return value === undefined ? undefined : `${topologyKey}=${value}`;
}

function addPair(pairs: Set<string>, info: NodeInfo, term: PodAffinityTerm): void {
  const pair = pairOf(info, term);
  if (pair !== undefined) pairs.add(pair);
}

function reject(reason: string, resolvable: boolean): { reasons: string[]; resolvable: boolean } {
  return { reasons: [reason], resolvable };
}
