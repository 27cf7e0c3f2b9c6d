/**
 * Walking down a schema beside a value: references resolved, members and elements found, the list and
 * map kinds that merging needs. Resolved schemas are cached by the schema object, so a walk costs a few
 * map look-ups per field.
 */
import type { Schema } from "#kinds/schema.ts";
import { own } from "#api/patch/json.ts";

/** Finds a named schema ("io.k8s.api.core.v1.Pod"). */
export type SchemaLookup = (name: string) => Schema | undefined;

const referencePrefix = "#/components/schemas/";

/** Follows `$ref` (also in the one-element `allOf` form). Extensions beside the reference win over the target's. */
export function resolveSchema(schema: Schema | undefined, lookup: SchemaLookup): Schema | undefined {
  if (schema === undefined) return undefined;
  const reference = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  if (reference === undefined) return schema;
  let perLookup = resolved.get(lookup);
  if (perLookup === undefined) resolved.set(lookup, (perLookup = new WeakMap()));
  const known = perLookup.get(schema);
  if (known !== undefined) return known;
  const target = resolveSchema(lookup(reference.slice(referencePrefix.length)), lookup);
  if (target === undefined) return undefined;
  const overrides = Object.entries(schema).filter(([key]) => key.startsWith("x-kubernetes-"));
  const result = overrides.length === 0 ? target : { ...target, ...Object.fromEntries(overrides) };
  perLookup.set(schema, result);
  return result;
}

const resolved = new WeakMap<SchemaLookup, WeakMap<Schema, Schema>>();

/** Schema of a member of an object, resolved; undefined where the schema says nothing about it. */
export function memberSchema(
  schema: Schema | undefined,
  key: string,
  lookup: SchemaLookup,
): Schema | undefined {
  if (schema === undefined) return undefined;
  const property = own(schema.properties, key);
  if (property !== undefined) return resolveSchema(property, lookup);
  return typeof schema.additionalProperties === "object"
    ? resolveSchema(schema.additionalProperties, lookup)
    : undefined;
}

/** Schema of a list's elements, resolved. */
export function elementSchema(schema: Schema | undefined, lookup: SchemaLookup): Schema | undefined {
  return resolveSchema(schema?.items, lookup);
}

const openSchemas = new WeakSet<Schema>();

/** Marks schemas of custom resources, whose objects are maps, not structs: nothing exists unless it is written. */
export function markOpen(schema: Schema): void {
  openSchemas.add(schema);
}

export function isOpen(schema: Schema): boolean {
  return openSchemas.has(schema);
}
