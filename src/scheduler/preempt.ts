/** Preemption: which less important pods to send away, and from which node, so that a pod fits. */
import { matchesLabelSelector } from "#kinds/label-selector.ts";
import { countReasons } from "./failure-message.ts";
import { withPods } from "./node-info.ts";
import { priorityOf } from "./types.ts";
import type { NodeInfo, Pod, Rejection, Snapshot } from "./types.ts";

export interface Preemption {
  nodeName: string;
  victims: Pod[];
}

interface Candidate extends Preemption {
  violations: number;
}

type Check = (snapshot: Snapshot, node: NodeInfo) => Rejection | undefined;

/** A tenth of the nodes to choose from is enough, but not fewer than these: upstream's defaults. */
const leastEnough = 100;

const notHelpful = "Preemption is not helpful for scheduling";
const noVictims = "No preemption victims found for incoming pod";

/** `message` is empty when there is a preemption. */
export function preempt(
  pod: Pod,
  snapshot: Snapshot,
  rejections: ReadonlyMap<NodeInfo, Rejection>,
  check: Check,
): { preemption: Preemption | undefined; message: string } {
  const refusal = ineligible(pod, snapshot, rejections);
  if (refusal !== undefined) return { preemption: undefined, message: refusal };
  const candidates: Candidate[] = [];
  const reasons: string[] = [];
  const enough = Math.max(leastEnough, Math.trunc(snapshot.nodes.length / 10));
  for (const [info, rejection] of rejections) {
    const found = rejection.resolvable ? selectVictims(pod, info, snapshot, check) : notHelpful;
    if (typeof found === "string") reasons.push(found);
    else if (Array.isArray(found)) reasons.push(...found);
    else candidates.push(found);
    if (candidates.length >= enough && candidates.some((each) => each.violations === 0)) break;
  }
  const chosen = pickCandidate(candidates);
  if (chosen !== undefined) {
    return { preemption: { nodeName: chosen.nodeName, victims: chosen.victims }, message: "" };
  }
  return {
    preemption: undefined,
    message: `0/${snapshot.nodes.length} nodes are available: ${countReasons(reasons)}.`,
  };
}

/** A pod that waits for its victims to stop must not choose others. */
function ineligible(
  pod: Pod,
  snapshot: Snapshot,
  rejections: ReadonlyMap<NodeInfo, Rejection>,
): string | undefined {
  if (pod.spec.preemptionPolicy === "Never") return "not eligible due to preemptionPolicy=Never.";
  const nominated = pod.status.nominatedNodeName ?? "";
  if (nominated === "") return undefined;
  const info = snapshot.nodes.find((each) => each.name === nominated);
  if (info === undefined || rejections.get(info)?.resolvable === false) return undefined;
  const stopping = info.pods.some(
    (each) =>
      each.metadata.deletionTimestamp !== undefined &&
      priorityOf(each) < priorityOf(pod) &&
      (each.status.conditions ?? []).some(
        (condition) => condition.type === "DisruptionTarget" && condition.reason === "PreemptionByScheduler",
      ),
  );
  return stopping ? "not eligible due to terminating pod on the nominated node." : undefined;
}

/** Sends all less important pods away, then lets back whom it can, those with exhausted budgets first. */
function selectVictims(
  pod: Pod,
  info: NodeInfo,
  snapshot: Snapshot,
  check: Check,
): Candidate | string | string[] {
  const potential = info.pods.filter((each) => priorityOf(each) < priorityOf(pod));
  if (potential.length === 0) return noVictims;
  let kept = info.pods.filter((each) => !potential.includes(each));
  const fits = (pods: readonly Pod[]): Rejection | undefined => {
    const changed = withPods(info, pods);
    const nodes = snapshot.nodes.map((each) => (each === info ? changed : each));
    return check({ ...snapshot, nodes }, changed);
  };
  const stillNot = fits(kept);
  if (stillNot !== undefined) return [...stillNot.reasons];
  const ordered = [...potential].sort(moreImportantFirst);
  const violating = breakingBudgets(ordered, snapshot);
  const victims: Pod[] = [];
  let violations = 0;
  for (const each of [
    ...ordered.filter((other) => violating.has(other)),
    ...ordered.filter((other) => !violating.has(other)),
  ]) {
    if (fits([...kept, each]) === undefined) {
      kept = [...kept, each];
      continue;
    }
    victims.push(each);
    if (violating.has(each)) violations++;
  }
  return { nodeName: info.name, victims: victims.sort(moreImportantFirst), violations };
}

function breakingBudgets(pods: readonly Pod[], snapshot: Snapshot): Set<Pod> {
  const left = new Map<unknown, number>();
  const violating = new Set<Pod>();
  for (const pod of pods) {
    for (const budget of snapshot.disruptionBudgets(pod.metadata.namespace ?? "")) {
      const { selector } = budget.spec;
      if (selector === undefined || !matchesLabelSelector(selector, pod.metadata.labels)) continue;
      if (budget.status.disruptedPods?.[pod.metadata.name ?? ""] !== undefined) continue;
      const allowed = (left.get(budget) ?? budget.status.disruptionsAllowed ?? 0) - 1;
      left.set(budget, allowed);
      if (allowed < 0) violating.add(pod);
    }
  }
  return violating;
}

/** Fewest broken budgets, least important victims, smallest sum of priorities, fewest, youngest. */
function pickCandidate(candidates: readonly Candidate[]): Candidate | undefined {
  const highest = ({ victims }: Candidate): number => Math.max(-Infinity, ...victims.map(priorityOf));
  // Priorities may be negative: each victim must still make the sum larger.
  const sum = ({ victims }: Candidate): number =>
    victims.reduce((total, victim) => total + priorityOf(victim) + 2 ** 31, 0);
  const startMs = (candidate: Candidate): number =>
    Math.min(
      ...candidate.victims
        .filter((each) => priorityOf(each) === highest(candidate))
        .map((each) => startedMs(each)),
    );
  return [...candidates].sort(
    (a, b) =>
      a.violations - b.violations ||
      highest(a) - highest(b) ||
      sum(a) - sum(b) ||
      a.victims.length - b.victims.length ||
      startMs(b) - startMs(a),
  )[0];
}

function moreImportantFirst(a: Pod, b: Pod): number {
  return priorityOf(b) - priorityOf(a) || startedMs(a) - startedMs(b);
}

function startedMs(pod: Pod): number {
  return Date.parse(pod.status.startTime ?? pod.metadata.creationTimestamp ?? "") || 0;
}
