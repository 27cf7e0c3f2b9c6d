/** The fieldPath of a rule: ".name" and "['name']" steps to a field below the one that has the rule. */
import type { Schema } from "#kinds/schema.ts";
import { own } from "#api/patch/json.ts";

const step = /^(?:\.([A-Za-z_][A-Za-z0-9_-]*)|\['((?:[^'\\]|\\.)*)'\])/;

/** As the end of an error's field: ".name" for a property, "[name]" for an entry. Undefined: there is no such field. */
export function resolveFieldPath(path: string, schema: Schema): string | undefined {
  let rest = path.trim();
  let current: Schema | undefined = schema;
  let resolved = "";
  while (rest !== "") {
    const match = step.exec(rest);
    if (match === null || current === undefined) return undefined;
    const name = match[1] ?? (match[2] ?? "").replaceAll(/\\(.)/g, "$1");
    const property: Schema | undefined = own(current.properties, name);
    const entry: Schema | undefined =
      typeof current.additionalProperties === "object" ? current.additionalProperties : undefined;
    if (property === undefined && entry === undefined) return undefined;
    resolved += property === undefined ? `[${name}]` : `.${name}`;
    current = property ?? entry;
    rest = rest.slice(match[0].length);
  }
  return resolved === "" ? undefined : resolved;
}
