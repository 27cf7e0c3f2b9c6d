/**
 * How fast a HorizontalPodAutoscaler may follow its metrics: recommendations of the last minutes are
 * weighed, and a change has a largest size, by the rules of `spec.behavior` or upstream's older ones.
 */
import type { HorizontalPodAutoscaler } from "./kubernetes.ts";

type Behavior = NonNullable<HorizontalPodAutoscaler["spec"]["behavior"]>;
type Rules = NonNullable<Behavior["scaleUp"]>;

/** What was recommended and done lately. Forgotten with the leadership, as upstream forgets it. */
export interface ScalingHistory {
  recommendations: { atMs: number; replicas: number }[];
  /** Positive: replicas were added. */
  changes: { atMs: number; by: number }[];
}

export interface Limited {
  replicas: number;
  /** For the condition AbleToScale. */
  stabilization: { reason: string; message: string };
  /** For the condition ScalingLimited. */
  limit: { isLimited: boolean; reason: string; message: string };
}

const downWindowSeconds = 300;
const defaultUp: Rules = {
  stabilizationWindowSeconds: 0,
  selectPolicy: "Max",
  policies: [
    { type: "Percent", value: 100, periodSeconds: 15 },
    { type: "Pods", value: 4, periodSeconds: 15 },
  ],
};
const defaultDown: Rules = {
  stabilizationWindowSeconds: downWindowSeconds,
  selectPolicy: "Max",
  policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
};
const longestMs = 3600_000;

export function limitChange(options: {
  current: number;
  wanted: number;
  least: number;
  most: number;
  behavior: Behavior | undefined;
  history: ScalingHistory;
  nowMs: number;
}): Limited {
  const { current, wanted, least, most, behavior, history, nowMs } = options;
  const up: Rules = { ...defaultUp, ...behavior?.scaleUp };
  const down: Rules = { ...defaultDown, ...behavior?.scaleDown };
  history.recommendations = history.recommendations.filter((each) => nowMs - each.atMs < longestMs);
  history.recommendations.push({ atMs: nowMs, replicas: wanted });
  history.changes = history.changes.filter((each) => nowMs - each.atMs < longestMs);
  const recent = (rules: Rules): number[] =>
    history.recommendations
      .filter((each) => nowMs - each.atMs <= (rules.stabilizationWindowSeconds ?? 0) * 1000)
      .map((each) => each.replicas);
  const lowest = Math.min(wanted, ...recent(up));
  const highest = Math.max(wanted, ...recent(down));
  // Without rules only going down is slowed.
  const stable = behavior === undefined ? highest : Math.min(Math.max(current, lowest), highest);
  const stabilization =
    stable === wanted
      ? { reason: "ReadyForNewScale", message: "recommended size matches current size" }
      : behavior !== undefined && wanted >= current
        ? {
            reason: "ScaleUpStabilized",
            message:
              "recent recommendations were lower than current one, applying the lowest recent recommendation",
          }
        : {
            reason: "ScaleDownStabilized",
            message:
              "recent recommendations were higher than current one, applying the highest recent recommendation",
          };
  const bounds = {
    up: behavior === undefined ? Math.max(2 * current, 4) : upperBound(current, up, history, nowMs),
    down: behavior === undefined ? least : lowerBound(current, down, history, nowMs),
  };
  return { stabilization, ...bounded(current, stable, least, most, bounds) };
}

function bounded(
  current: number,
  wanted: number,
  least: number,
  most: number,
  bounds: { up: number; down: number },
): Pick<Limited, "replicas" | "limit"> {
  const limited = (
    replicas: number,
    reason: string,
    message: string,
  ): Pick<Limited, "replicas" | "limit"> => ({
    replicas,
    limit: { isLimited: replicas !== wanted, reason, message },
  });
  const ceiling = Math.min(most, bounds.up);
  if (wanted > current && wanted > ceiling) {
    return most > bounds.up
      ? limited(
          ceiling,
          "ScaleUpLimit",
          "the desired replica count is increasing faster than the maximum scale rate",
        )
      : limited(
          ceiling,
          "TooManyReplicas",
          "the desired replica count is more than the maximum replica count",
        );
  }
  const floor = Math.max(least, bounds.down);
  if (wanted < floor) {
    return least < bounds.down
      ? limited(
          floor,
          "ScaleDownLimit",
          "the desired replica count is decreasing faster than the maximum scale rate",
        )
      : limited(floor, "TooFewReplicas", "the desired replica count is less than the minimum replica count");
  }
  return limited(wanted, "DesiredWithinRange", "the desired count is within the acceptable range");
}

/** Replicas when the period of a policy began. */
function startOf(current: number, periodSeconds: number, history: ScalingHistory, nowMs: number): number {
  const within = history.changes.filter((each) => nowMs - each.atMs < periodSeconds * 1000);
  return within.reduce((replicas, { by }) => replicas - by, current);
}

function upperBound(current: number, rules: Rules, history: ScalingHistory, nowMs: number): number {
  if (rules.selectPolicy === "Disabled") return current;
  const bounds = (rules.policies ?? []).map(({ type, value, periodSeconds }) => {
    const start = startOf(current, periodSeconds, history, nowMs);
    return type === "Pods" ? start + value : Math.ceil(start * (1 + value / 100));
  });
  const bound = rules.selectPolicy === "Min" ? Math.min(...bounds) : Math.max(...bounds);
  return Math.max(bound, current);
}

function lowerBound(current: number, rules: Rules, history: ScalingHistory, nowMs: number): number {
  if (rules.selectPolicy === "Disabled") return current;
  const bounds = (rules.policies ?? []).map(({ type, value, periodSeconds }) => {
    const start = startOf(current, periodSeconds, history, nowMs);
    return type === "Pods" ? start - value : Math.trunc(start * (1 - value / 100));
  });
  const bound = rules.selectPolicy === "Min" ? Math.max(...bounds) : Math.min(...bounds);
  return Math.min(bound, current);
}
