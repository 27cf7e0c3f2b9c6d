/**
 * The schemas of all built-in definitions, derived from OpenAPI by scripts/derive-schemas.ts, looked
 * up by name. A property without `default` is a pointer or omitted when empty in upstream's Go types;
 * one with `default` is always written: decoding relies on that.
 */
import definitions from "./schema/definitions.json" with { type: "json" };
import type { Schema } from "./schema.ts";

const schemas = definitions as unknown as Readonly<Record<string, Schema>>;
const prefix = "#/components/schemas/";

/** All definition names, sorted. */
export const schemaNames: readonly string[] = Object.keys(schemas);

/** The definition with this name ("io.k8s.api.apps.v1.Deployment"), or undefined. */
export function findSchema(name: string): Schema | undefined {
  return Object.hasOwn(schemas, name) ? schemas[name] : undefined;
}

/** The definition with this name, which must exist. */
export function schemaOf(name: string): Schema {
  const schema = findSchema(name);
  if (schema === undefined) throw new RangeError(`no schema ${name}`);
  return schema;
}

/** By reference: a name cut out anew at each look would be hashed anew at each look-up. */
const namesByReference: ReadonlyMap<string, string> = new Map(
  schemaNames.map((name) => [prefix + name, name]),
);

/** The name that a `$ref` points at, or undefined where the schema has none. */
export function referencedName({ $ref }: Schema): string | undefined {
  return $ref === undefined ? undefined : (namesByReference.get($ref) ?? $ref.slice(prefix.length));
}
