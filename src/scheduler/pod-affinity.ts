/** Affinity and anti-affinity between pods: the hard rules as a filter, the soft ones as a score. */
import { matchesLabelSelector } from "#kinds/label-selector.ts";
import { countPods } from "./node-info.ts";
import { PairTally, tallyOf } from "./pair-tally.ts";
import type { Parts } from "./pair-tally.ts";
import type { FilterPlugin, NodeInfo, Pod, PodAffinityTerm, ScorePlugin, Snapshot } from "./types.ts";

/** A required affinity of a pod that is already there counts this much for those it likes. */
const hardAffinityWeight = 1;

const nothing = new PairTally();

export const interPodAffinity: FilterPlugin = {
  name: "InterPodAffinity",
  prepare(pod, snapshot) {
    const affinity = required(pod, "podAffinity");
    const antiAffinity = required(pod, "podAntiAffinity");
    const repelling = snapshot.repels ? pairsThatRepel(pod, snapshot) : nothing;
    if (affinity.length === 0 && antiAffinity.length === 0 && repelling.isEmpty) return undefined;
    const attracted = affinity.length === 0 ? nothing : pairsThatAttract(affinity, pod, snapshot);
    const avoided = antiAffinity.length === 0 ? nothing : pairsToAvoid(antiAffinity, pod, snapshot);
    const isFirst = attracted.isEmpty && affinity.every((term) => termSelects(term, pod, pod, snapshot));
    return {
      filter({ node: { metadata } }) {
        const { labels } = metadata;
        for (const { topologyKey } of affinity) {
          const value = labels?.[topologyKey];
          if (value === undefined || (!isFirst && !attracted.has(topologyKey, value)))
            return reject("node(s) didn't match pod affinity rules", false);
        }
        if (avoided.hasAny(labels)) return reject("node(s) didn't match pod anti-affinity rules", true);
        if (repelling.hasAny(labels))
          return reject("node(s) didn't satisfy existing pods anti-affinity rules", true);
        return undefined;
      },
    };
  },
};

export const interPodAffinityScore: ScorePlugin = {
  name: "InterPodAffinity",
  weight: 2,
  score(pod, nodes, snapshot) {
    const wishes = preferred(pod);
    if (wishes.length === 0 && !snapshot.wishes) return undefined;
    const weights = weightsOfPairs(pod, wishes, snapshot);
    if (weights.isEmpty) return undefined;
    const sums = nodes.map(({ node }) => weights.ofAll(node.metadata.labels));
    const [least, most] = [Math.min(...sums), Math.max(...sums)];
    return sums.map((sum) => (most === least ? 0 : Math.trunc((100 * (sum - least)) / (most - least))));
  },
};

/** Where there is a pod that all required affinity terms mean. */
function pairsThatAttract(terms: readonly PodAffinityTerm[], pod: Pod, snapshot: Snapshot): PairTally {
  const countOn = counter(terms, pod, snapshot);
  return tallyOf(snapshot, questionOf("attract", terms, pod), (info) =>
    countOn(info) === 0 ? [] : partsOf(info, terms, 1),
  );
}

/** Where there is a pod that a required anti-affinity term means. */
function pairsToAvoid(terms: readonly PodAffinityTerm[], pod: Pod, snapshot: Snapshot): PairTally {
  const counters = terms.map((term) => ({ term, countOn: counter([term], pod, snapshot) }));
  return tallyOf(snapshot, questionOf("avoid", terms, pod), (info) =>
    counters.flatMap(({ term, countOn }) => (countOn(info) > 0 ? partsOf(info, [term], 1) : [])),
  );
}

/** Where there is a pod with a required anti-affinity term that means this one. */
function pairsThatRepel(pod: Pod, snapshot: Snapshot): PairTally {
  const means = selectsThis(pod, snapshot);
  return tallyOf(snapshot, JSON.stringify(["repel", identityOf(pod, snapshot)]), (info) =>
    info.podsThatRepel.flatMap((other) =>
      required(other, "podAntiAffinity").flatMap((term) =>
        means(term, other) ? partsOf(info, [term], 1) : [],
      ),
    ),
  );
}

/** How much the pod would like to be near each pair, and how much those who are there would like it. */
function weightsOfPairs(pod: Pod, wishes: readonly Wish[], snapshot: Snapshot): PairTally {
  const own = wishes.map(([term, weight]) => ({
    term,
    weight,
    countOn: counter([term], pod, snapshot),
  }));
  const means = selectsThis(pod, snapshot);
  const terms = wishes.map(([term]) => term);
  const question = questionOf("prefer", terms, pod);
  const key =
    question === undefined
      ? undefined
      : JSON.stringify([question, own.map((each) => each.weight), identityOf(pod, snapshot)]);
  return tallyOf(snapshot, key, (info) => {
    const parts: Parts[number][] = [];
    for (const { term, weight, countOn } of own) {
      const count = countOn(info);
      if (count > 0) parts.push(...partsOf(info, [term], weight * count));
    }
    for (const other of info.podsWithWishes) {
      for (const [term, weight] of preferred(other))
        if (means(term, other)) parts.push(...partsOf(info, [term], weight));
      for (const term of required(other, "podAffinity"))
        if (means(term, other)) parts.push(...partsOf(info, [term], hardAffinityWeight));
    }
    return parts;
  });
}

function partsOf(info: NodeInfo, terms: readonly PodAffinityTerm[], amount: number): Parts {
  return terms.flatMap(({ topologyKey }) => {
    const value = info.node.metadata.labels?.[topologyKey];
    return value === undefined ? [] : [[topologyKey, value, amount] as const];
  });
}

/** Undefined: the answer depends on labels of namespaces as well, which change without the nodes. */
function questionOf(what: string, terms: readonly PodAffinityTerm[], owner: Pod): string | undefined {
  if (terms.some((term) => term.namespaceSelector !== undefined)) return undefined;
  return JSON.stringify([what, terms.map((term) => [term.topologyKey, termKey(term, owner)])]);
}

/** All that other pods' terms can ask about this one. */
function identityOf({ metadata: { namespace = "", labels } }: Pod, snapshot: Snapshot): unknown {
  return [namespace, labels, snapshot.namespaceLabels(namespace)];
}

/** How many pods of a node are meant by all of the owner's terms together. */
function counter(
  terms: readonly PodAffinityTerm[],
  owner: Pod,
  snapshot: Snapshot,
): (info: NodeInfo) => number {
  const test = (other: Pod): boolean => terms.every((term) => termSelects(term, owner, other, snapshot));
  // What a selector of namespaces means changes with them and not with the node.
  if (terms.some((term) => term.namespaceSelector !== undefined)) {
    return ({ pods }) => pods.filter(test).length;
  }
  const key = terms.map((term) => termKey(term, owner)).join();
  return (info) => countPods(info, key, test);
}

/** Whether a term of another pod means this one. Like pods have like terms: each is looked at once. */
function selectsThis(pod: Pod, snapshot: Snapshot): (term: PodAffinityTerm, owner: Pod) => boolean {
  const answers = new Map<string, boolean>();
  return (term, owner) => {
    const key = termKey(term, owner);
    let answer = answers.get(key);
    if (answer === undefined) answers.set(key, (answer = termSelects(term, owner, pod, snapshot)));
    return answer;
  };
}

const keysByTerm = new WeakMap<PodAffinityTerm, string>();

/** Equal for terms that mean the same pods. A term object belongs to one pod. */
function termKey(term: PodAffinityTerm, owner: Pod): string {
  let key = keysByTerm.get(term);
  if (key === undefined) {
    const { topologyKey: _, ...selection } = term;
    const labelKeys = [...(term.matchLabelKeys ?? []), ...(term.mismatchLabelKeys ?? [])];
    key = JSON.stringify([
      "affinity",
      owner.metadata.namespace,
      selection,
      labelKeys.map((each) => owner.metadata.labels?.[each] ?? null),
    ]);
    keysByTerm.set(term, key);
  }
  return key;
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

type Wish = readonly [term: PodAffinityTerm, weight: number];

function preferred(pod: Pod): Wish[] {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  return [
    ...(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((each): Wish => [
      each.podAffinityTerm,
      each.weight,
    ]),
    ...(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((each): Wish => [
      each.podAffinityTerm,
      -each.weight,
    ]),
  ];
}

function reject(reason: string, resolvable: boolean): { reasons: string[]; resolvable: boolean } {
  return { reasons: [reason], resolvable };
}
