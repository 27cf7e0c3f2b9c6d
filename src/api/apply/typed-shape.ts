/**
 * What merging needs to know of a schema at one place: is the value a scalar, a map or a list, merged
 * member by member or replaced as a whole, and what identifies a list's elements.
 */
import type { Schema } from "#kinds/schema.ts";
import { isObject, own } from "#api/patch/json.ts";
import { elementSchema } from "./schema-tree.ts";
import type { SchemaLookup } from "./schema-tree.ts";

export type Shape = "scalar" | "granular-map" | "atomic" | "set" | "keyed-list";

/** `value` decides only where the schema leaves the type open but asks to preserve what is unknown. */
export function shapeOf(schema: Schema | undefined, value: unknown): Shape {
  if (schema === undefined) return "atomic";
  switch (schema.type) {
    case "object":
      if (schema["x-kubernetes-map-type"] === "atomic") return "atomic";
      if (
        schema.properties === undefined &&
        schema.additionalProperties === undefined &&
        schema["x-kubernetes-preserve-unknown-fields"] !== true &&
        schema["x-kubernetes-embedded-resource"] !== true
      )
        return "atomic";
      return "granular-map";
    case "array":
      if (schema["x-kubernetes-list-type"] === "map") return "keyed-list";
      return schema["x-kubernetes-list-type"] === "set" ? "set" : "atomic";
    case undefined:
      if (schema["x-kubernetes-preserve-unknown-fields"] === true && isObject(value)) return "granular-map";
      return schema.oneOf !== undefined || schema["x-kubernetes-int-or-string"] === true
        ? "scalar"
        : "atomic";
    default:
      return "scalar";
  }
}

/** Whether the key is one of the object's own fields, not a key of a map. */
export function isNamedField(schema: Schema | undefined, key: string): boolean {
  return own(schema?.properties, key) !== undefined;
}

/** Schema of what is unknown below a schema that preserves it: maps merge, lists are replaced. */
export const deducedSchema: Schema = { "x-kubernetes-preserve-unknown-fields": true };

export class PathElementError extends Error {}

/**
 * The path element of a list's element; throws PathElementError where it has none. Missing keys take
 * the schema's default.
 */
export function listElement(
  schema: Schema,
  shape: "set" | "keyed-list",
  element: unknown,
  lookup: SchemaLookup,
): string {
  if (shape === "set") {
    if (typeof element === "object" && element !== null)
      throw new PathElementError(
        Array.isArray(element)
          ? "only scalars allowed in associative lists"
          : "associative list without keys has an element that's a map type",
      );
    return `v:${JSON.stringify(element)}`;
  }
  if (element === null) throw new PathElementError("associative list with keys may not have a null element");
  if (!isObject(element))
    throw new PathElementError("associative list with keys may not have non-map elements");
  const items = elementSchema(schema, lookup);
  const names = schema["x-kubernetes-list-map-keys"] ?? [];
  const [single] = names;
  if (names.length === 1 && single !== undefined)
    return `k:{${JSON.stringify(single)}:${JSON.stringify(keyValue(element, single, items))}}`;
  const parts = [...names]
    .sort()
    .map((name) => `${JSON.stringify(name)}:${JSON.stringify(keyValue(element, name, items))}`);
  return `k:{${parts.join(",")}}`;
}

function keyValue(element: Record<string, unknown>, name: string, items: Schema | undefined): unknown {
  const value = own(element, name) ?? own(items?.properties, name)?.default;
  if (value === undefined)
    throw new PathElementError(
      `associative list with keys has an element that omits key field ${JSON.stringify(name)} (and doesn't have default value)`,
    );
  return value;
}
