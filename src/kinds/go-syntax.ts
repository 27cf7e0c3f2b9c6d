/** Values as Go's %#v prints them: upstream's validation errors show lists, maps and structs this way. */
import type { LabelSelector } from "./label-selector.ts";
import type { GoValue } from "./field-error.ts";

export function goStringMap(map: Readonly<Record<string, string>> | undefined): GoValue {
  return { goSyntax: stringMap(map) };
}

export function goStrings(list: readonly string[] | undefined): GoValue {
  return { goSyntax: strings(list) };
}

export function goLabelSelector(selector: LabelSelector): GoValue {
  const expressions = selector.matchExpressions;
  const list =
    expressions === undefined
      ? "[]v1.LabelSelectorRequirement(nil)"
      : `[]v1.LabelSelectorRequirement{${expressions
          .map(
            (each) =>
              `v1.LabelSelectorRequirement{Key:${JSON.stringify(each.key ?? "")}, Operator:${JSON.stringify(each.operator ?? "")}, Values:${strings(each.values)}}`,
          )
          .join(", ")}}`;
  return {
    goSyntax: `v1.LabelSelector{MatchLabels:${stringMap(selector.matchLabels)}, MatchExpressions:${list}}`,
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
