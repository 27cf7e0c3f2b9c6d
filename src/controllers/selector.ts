/** Label selectors. */
import type { LabelSelector } from "./kubernetes.ts";

type Labels = Record<string, string>;

/** An empty selector matches everything, an absent one nothing. */
export function selects(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  if (selector === undefined) return false;
  const have = labels ?? {};
  for (const [name, value] of Object.entries(selector.matchLabels ?? {}))
    if (have[name] !== value) return false;
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const value = have[key];
    const listed = value !== undefined && (values ?? []).includes(value);
    if (operator === "In" && !listed) return false;
    if (operator === "NotIn" && listed) return false;
    if (operator === "Exists" && value === undefined) return false;
    if (operator === "DoesNotExist" && value !== undefined) return false;
  }
  return true;
}

/** A plain map, as services and replication controllers have. An empty one matches nothing. */
export function selectsMap(selector: Labels | undefined, labels: Labels | undefined): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([name, value]) => labels?.[name] === value);
}

export function isEmptySelector(selector: LabelSelector | undefined): boolean {
  return (
    Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0
  );
}
