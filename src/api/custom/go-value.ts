/** JSON values in Go's own notation (%#v), as upstream's validation prints objects and lists. */
import type { GoValue } from "#kinds/field-error.ts";
import { isObject } from "#api/patch/json.ts";

export function goSyntax(value: unknown): string {
  if (value === null || value === undefined) return "interface {}(nil)";
  if (Array.isArray(value)) return `[]interface {}{${value.map(goSyntax).join(", ")}}`;
  if (isObject(value)) {
    const members = Object.keys(value)
      .sort()
      .map((key) => `${JSON.stringify(key)}:${goSyntax(value[key])}`);
    return `map[string]interface {}{${members.join(", ")}}`;
  }
  return JSON.stringify(value);
}

/** The value for a field error: scalars as they are, objects and lists in Go's notation. */
export function goValue(value: unknown): unknown {
  return typeof value === "object" && value !== null
    ? ({ goSyntax: goSyntax(value) } satisfies GoValue)
    : value;
}
