/** The schemas that a document needs, in the form in which OpenAPI v3 wants references: alone, or in `allOf`. */
import type { Schema } from "#kinds/schema.ts";
import { described } from "./descriptions.ts";

type Json = Record<string, unknown>;

const prefix = "#/components/schemas/";

/** Everything that the paths refer to, and what that refers to, sorted by name. */
export function publishedSchemas(paths: unknown, lookup: (name: string) => Schema | undefined): Json {
  const found = new Map<string, unknown>();
  const pending: string[] = [];
  collectReferences(paths, pending);
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (found.has(name)) continue;
    const schema = lookup(name);
    if (schema === undefined) continue;
    found.set(name, published(described(name, schema)));
    collectReferences(schema, pending);
  }
  return Object.fromEntries([...found].sort(([left], [right]) => (left < right ? -1 : 1)));
}

function collectReferences(value: unknown, into: string[]): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, each] of Object.entries(value)) {
    if (key === "$ref" && typeof each === "string") into.push(each.slice(prefix.length));
    else collectReferences(each, into);
  }
}

/** A schema with references as OpenAPI v3 allows them: what stands beside one needs it in `allOf`. */
export function published(schema: Schema, isProperty = false): Json {
  const { $ref, properties, items, additionalProperties, allOf, anyOf, oneOf, not, ...rest } = schema;
  const result: Json = { ...rest };
  if ($ref !== undefined) {
    if (!isProperty && Object.keys(rest).length === 0) return { $ref };
    result["allOf"] = [{ $ref }];
  }
  if (properties !== undefined)
    result["properties"] = Object.fromEntries(
      Object.entries(properties).map(([name, property]) => [name, published(property, true)]),
    );
  if (items !== undefined) result["items"] = published(items);
  if (additionalProperties !== undefined)
    result["additionalProperties"] =
      typeof additionalProperties === "object" ? published(additionalProperties) : additionalProperties;
  if (allOf !== undefined) result["allOf"] = allOf.map((each) => published(each));
  if (anyOf !== undefined) result["anyOf"] = anyOf.map((each) => published(each));
  if (oneOf !== undefined) result["oneOf"] = oneOf.map((each) => published(each));
  if (not !== undefined) result["not"] = published(not);
  return result;
}
