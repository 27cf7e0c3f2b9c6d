/**
 * What upstream's types write for what is absent: zero values of required scalars and embedded structs,
 * null for lists, times and a few strings. Found once for each definition, for decoding fills every struct.
 */
import { isNullString, isNullTime, writesNull } from "./go-types.ts";
import type { Schema } from "./schema.ts";
import { findSchema, referencedName } from "./schemas.ts";
import { intOrStringName, opaque, quantityName, timeNames } from "./special-definitions.ts";

/** Makes a value of its own at each call. */
type Zero = () => unknown;

const known = new Map<string, ReadonlyMap<string, Zero>>();

/** The properties of a definition that are written even where they are absent, in the schema's order. */
export function zeroesOf(definition: string): ReadonlyMap<string, Zero> {
  let zeroes = known.get(definition);
  if (zeroes === undefined) {
    const schema = findSchema(definition) ?? {};
    const found = new Map<string, Zero>();
    for (const [key, property] of Object.entries(schema.properties ?? {})) {
      const zero = zeroOfProperty(property, schema, definition, key);
      if (zero !== undefined) found.set(key, zero);
    }
    known.set(definition, (zeroes = found));
  }
  return zeroes;
}

/** What an absent struct of this definition is written as, for example the `status` of a new object. */
export function zeroOf(definition: string): Record<string, unknown> {
  return Object.fromEntries([...zeroesOf(definition)].map(([key, zero]) => [key, zero()]));
}

/** What stands for null, or for something wrong, in a list or map of such items. */
export function zeroItem(items: Schema): unknown {
  const reference = referencedName(items);
  if (reference === quantityName) return "0";
  if (reference !== undefined) return zeroOf(reference);
  return items.default ?? (items.type === "array" || items.type === "object" ? null : "");
}

export function isRequired(owner: Schema, key: string): boolean {
  return owner.required?.includes(key) ?? false;
}

function zeroOfProperty(property: Schema, owner: Schema, definition: string, key: string): Zero | undefined {
  const reference = referencedName(property);
  if (reference !== undefined) {
    if (Object.hasOwn(timeNames, reference)) return isNullTime(definition, key) ? () => null : undefined;
    if (property.default === undefined) return undefined;
    if (reference === quantityName) return () => "0";
    if (reference === intOrStringName) return () => 0;
    if (opaque.has(reference)) return () => null;
    return () => zeroOf(reference);
  }
  if (property.type === "array" || property.type === "object" || property.format === "byte")
    return isRequired(owner, key) || writesNull(definition, key) ? () => null : undefined;
  if (isNullString(definition, key)) return () => null;
  const { default: value } = property;
  return value === undefined ? undefined : () => value;
}
