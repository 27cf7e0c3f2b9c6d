/** Values as Go's %#v prints them: upstream's validation errors show lists, maps and structs this way. */
import { isGivenEmpty } from "./decode.ts";
import type { LabelSelector } from "./label-selector.ts";
import type { GoValue } from "./field-error.ts";

/** A map of strings that is this member of a decoded object: one that was given as empty is not nil. */
export function goStringMapOf(owner: object | undefined, key: string): GoValue {
  const map = (owner as Record<string, Readonly<Record<string, string>>> | undefined)?.[key];
  return goStringMap(map ?? (isGivenEmpty(owner, key) ? {} : undefined));
}

export function goStringMap(map: Readonly<Record<string, string>> | undefined): GoValue {
  return { goSyntax: stringMap(map) };
}

export function goStrings(list: readonly string[] | undefined): GoValue {
  return { goSyntax: strings(list) };
}

export function goLabelSelector(selector: LabelSelector): GoValue {
  const expressions =
    selector.matchExpressions ?? (isGivenEmpty(selector, "matchExpressions") ? [] : undefined);
  const labels = selector.matchLabels ?? (isGivenEmpty(selector, "matchLabels") ? {} : undefined);
  const list =
    expressions === undefined
      ? "[]v1.LabelSelectorRequirement(nil)"
      : `[]v1.LabelSelectorRequirement{${expressions
          .map(
            (each) =>
              `v1.LabelSelectorRequirement{Key:${JSON.stringify(each.key ?? "")}, Operator:${JSON.stringify(each.operator ?? "")}, Values:${strings(each.values ?? (isGivenEmpty(each, "values") ? [] : undefined))}}`,
          )
          .join(", ")}}`;
  return {
    goSyntax: `v1.LabelSelector{MatchLabels:${stringMap(labels)}, MatchExpressions:${list}}`,
  };
}

export function goIntOrString(value: number | string): GoValue {
  return {
    goSyntax:
      typeof value === "string"
        ? `intstr.IntOrString{Type:1, IntVal:0, StrVal:${JSON.stringify(value)}}`
        : `intstr.IntOrString{Type:0, IntVal:${value}, StrVal:""}`,
  };
}

/** A pointer or nil: `(*string)(nil)`; the address itself says nothing. */
export function goPointer(type: string, value: unknown): string {
  return `(*${type})(${value === undefined || value === null ? "nil" : "0xc000000000"})`;
}

function stringMap(map: Readonly<Record<string, string>> | undefined): string {
  if (map === undefined) return "map[string]string(nil)";
  const entries = Object.keys(map)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${JSON.stringify(map[key])}`);
  return `map[string]string{${entries.join(", ")}}`;
}

function strings(list: readonly string[] | undefined): string {
  return list === undefined
    ? "[]string(nil)"
    : `[]string{${list.map((each) => JSON.stringify(each)).join(", ")}}`;
}
