/**
 * Decoding of JSON values by schema, as Go's decoder fills upstream's types: wrong types are errors in
 * its wording, unknown fields are collected, nulls and zero values of optional fields vanish, required
 * scalars and embedded structs get their zero value, quantities and times become canonical.
 * It works on values; duplicate keys of a JSON text are found in `json-document.ts`.
 */
import { setMember } from "#base/member.ts";
import { omitsZero, packageOf, shortName, stringTypeOf, writesNull } from "./go-types.ts";
import { formatQuantity, parseQuantity, tryParseQuantity } from "./quantity.ts";
import type { Schema } from "./schema.ts";
import { referencedName, schemaOf } from "./schemas.ts";
import {
  intOrStringName,
  jsonSchemaProps,
  opaque,
  quantityName,
  schemaUnions,
  timeNames,
} from "./special-definitions.ts";
import { normalizeTime } from "./time.ts";
import { isRequired, zeroItem, zeroesOf } from "./zero-values.ts";

export interface Decoded {
  object: Record<string, unknown>;
  /** Paths of unknown fields, for example `spec.containers[0].foo`, in the order of the document. */
  unknownFields: string[];
  /** Texts of type errors, in the order of the document. Upstream answers the first one. */
  errors: string[];
}

/** Members that were given as empty maps or lists, which decoded objects leave out: by their owner. */
const emptied = new WeakMap<object, Set<string>>();

/**
 * True where a client gave this member of a decoded object as an empty map or list: upstream tells that from
 * none in a few errors and defaults. Copies of the owner do not know it.
 */
export function isGivenEmpty(owner: object | undefined, key: string): boolean {
  return owner !== undefined && (emptied.get(owner)?.has(key) ?? false);
}

/** Decodes a value as the definition `schemaName`. Never throws; the input is not changed. */
export function decode(schemaName: string, value: unknown): Decoded {
  return decodeWith(new Decoder(false), schemaName, value);
}

function decodeWith(decoder: Decoder, schemaName: string, value: unknown): Decoded {
  const object = decoder.definition(value, schemaName, { struct: "", goPath: "", path: "" });
  return {
    object: (object ?? {}) as Record<string, unknown>,
    unknownFields: decoder.unknownFields,
    errors: decoder.errors,
  };
}

/** The object as upstream would store it after changes: zero values left out or filled in. Idempotent. */
export function normalizeObject<T extends object>(schemaName: string, object: T): T {
  return decodeWith(new Decoder(true), schemaName, object).object as T;
}

interface Place {
  /** Go name of the struct that is being filled. */
  struct: string;
  /** Path without indexes, as Go's errors name it. */
  goPath: string;
  /** Path with indexes, as strict errors name it. */
  path: string;
}

class Decoder {
  readonly unknownFields: string[] = [];
  readonly errors: string[] = [];
  /** Whether the value is brought into the form in which upstream stores it. */
  readonly #stores: boolean;

  constructor(stores: boolean) {
    this.#stores = stores;
  }

  /** Decodes as a named definition. Returns undefined where the value is wrong (and notes the error). */
  definition(value: unknown, name: string, place: Place): unknown {
    const time = timeNames[name];
    if (time !== undefined) return this.#time(value, time, place);
    if (name === quantityName) return this.#quantity(value);
    if (name === intOrStringName) return this.#intOrString(value, place);
    if (opaque.has(name)) return value;
    if (schemaUnions.has(name)) return this.#schemaUnion(value, name, place);
    const schema = schemaOf(name);
    if (schema.type === "object" && schema.properties !== undefined)
      return this.#struct(value, name, schema, place);
    // A definition without properties: an empty struct, or anything.
    if (schema.type === "object" && (typeof value !== "object" || Array.isArray(value)))
      return this.#mismatch(value, place, `${packageOf(name)}.${shortName(name)}`);
    return value;
  }

  #struct(value: unknown, name: string, schema: Schema, place: Place): unknown {
    const properties = schema.properties ?? {};
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return this.#mismatch(value, place, `${packageOf(name)}.${shortName(name)}`);
    const source = value as Record<string, unknown>;
    const struct = shortName(name);
    const result: Record<string, unknown> = {};
    const zeroes = zeroesOf(name);
    if (place.path === "" && source["kind"] !== undefined) {
      // Upstream writes the type first.
      result["kind"] = source["kind"];
      if (source["apiVersion"] !== undefined) result["apiVersion"] = source["apiVersion"];
    }
    // Stored objects have their fields in the order of upstream's types, which error texts show.
    const keys = this.#stores
      ? Object.keys(properties).filter((key) => Object.hasOwn(source, key) || zeroes.has(key))
      : Object.keys(source);
    for (const key of keys) {
      const each = source[key];
      const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
      const inner: Place = { struct, goPath: join(place.goPath, key), path: join(place.path, key) };
      if (property === undefined) {
        this.unknownFields.push(inner.path);
        continue;
      }
      if (each === null || each === undefined) {
        const zero = this.#stores ? zeroes.get(key) : undefined;
        if (zero !== undefined) result[key] = zero();
        continue;
      }
      const decoded = this.#value(each, property, inner, name, key);
      if (decoded === undefined || this.#isOmitted(decoded, property, schema, name, key)) {
        delete result[key];
        if (typeof decoded === "object" && !this.#stores) noteEmpty(result, key);
        continue;
      }
      // Stored as protocol buffers, upstream's empty lists come back as nil.
      result[key] = this.#stores && isEmptyList(decoded) && !name.includes("apiextensions") ? null : decoded;
    }
    for (const [key, zero] of zeroes) if (result[key] === undefined) result[key] = zero();
    return result;
  }

  #value(value: unknown, schema: Schema, place: Place, definition: string, property: string): unknown {
    const reference = referencedName(schema);
    if (reference !== undefined) return this.definition(value, reference, place);
    switch (schema.type) {
      case "string":
        if (schema.format === "byte") return this.#bytes(value, place);
        if (typeof value === "string") return value;
        return this.#mismatch(value, place, stringTypeOf(definition, property));
      case "boolean":
        return typeof value === "boolean" ? value : this.#mismatch(value, place, "bool");
      case "integer":
        return this.#integer(value, schema, place);
      case "number":
        return typeof value === "number" ? value : this.#mismatch(value, place, "float64");
      case "array":
        return this.#array(value, schema, place, definition, property);
      case "object":
        return this.#map(value, schema, place, definition, property);
      default:
        return value;
    }
  }

  #array(value: unknown, schema: Schema, place: Place, definition: string, property: string): unknown {
    if (!Array.isArray(value)) return this.#mismatch(value, place, goTypeOf(schema, definition, property));
    const items = schema.items ?? {};
    return value.map((each, index) => {
      const inner = { ...place, path: `${place.path}[${index}]` };
      if (each === null) return zeroItem(items);
      return this.#value(each, items, inner, definition, property) ?? zeroItem(items);
    });
  }

  #map(value: unknown, schema: Schema, place: Place, definition: string, property: string): unknown {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return this.#mismatch(value, place, goTypeOf(schema, definition, property));
    const items = typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
    const result: Record<string, unknown> = {};
    const isQuantity = referencedName(items) === quantityName;
    const members = Object.entries(value);
    if (this.#stores) members.sort(([left], [right]) => (left < right ? -1 : 1));
    for (const [key, each] of members) {
      const inner = { ...place, path: `${place.path}.${key}` };
      let decoded = each === null ? undefined : this.#value(each, items, inner, definition, property);
      decoded ??= zeroItem(items);
      // Lists of resources know nothing finer than thousandths.
      if (isQuantity && typeof decoded === "string") decoded = roundToMilli(decoded);
      setMember(result, key, decoded);
    }
    return result;
  }

  #integer(value: unknown, schema: Schema, place: Place): unknown {
    const type = schema.format === "int64" ? "int64" : "int32";
    if (typeof value !== "number") return this.#mismatch(value, place, type);
    const limit = type === "int64" ? 2 ** 63 : 2 ** 31;
    if (Number.isInteger(value) && value >= -limit && value < limit) return value;
    this.errors.push(
      `json: cannot unmarshal number ${numberText(value)} into Go struct field ${place.struct}.${place.goPath} of type ${type}`,
    );
    return undefined;
  }

  #bytes(value: unknown, place: Place): unknown {
    if (typeof value !== "string") return this.#mismatch(value, place, "[]uint8");
    const wrong = wrongBase64At(value);
    if (wrong === undefined) return value;
    this.errors.push(`illegal base64 data at input byte ${wrong}`);
    return undefined;
  }

  #time(value: unknown, format: "date-time" | "micro-time", place: Place): unknown {
    if (value === null) return undefined;
    if (typeof value !== "string") return this.#mismatch(value, place, "string");
    const time = normalizeTime(value, format);
    if ("value" in time) return time.value;
    this.errors.push(time.error);
    return undefined;
  }

  #quantity(value: unknown): unknown {
    const quantity =
      typeof value === "string"
        ? tryParseQuantity(value.trim())
        : tryParseQuantity(typeof value === "number" ? numberText(value) : JSON.stringify(value));
    if (typeof quantity === "object") return formatQuantity(quantity);
    this.errors.push(quantity);
    return undefined;
  }

  #intOrString(value: unknown, place: Place): unknown {
    if (typeof value === "string") return value;
    if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= 2 ** 31 - 1) return value;
    return typeof value === "number"
      ? this.#integer(value, {}, place)
      : this.#mismatch(value, place, "int32");
  }

  #schemaUnion(value: unknown, name: string, place: Place): unknown {
    const inner = { ...place };
    if (Array.isArray(value) && name.endsWith("OrArray"))
      return value.map((each) => this.definition(each, jsonSchemaProps, inner));
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return this.definition(value, jsonSchemaProps, inner);
    if (name.endsWith("OrBool") && typeof value === "boolean") return value;
    if (name.endsWith("OrStringArray") && Array.isArray(value)) return value;
    this.errors.push(name.endsWith("OrBool") ? "boolean or JSON schema expected" : "JSON schema expected");
    return undefined;
  }

  #mismatch(value: unknown, place: Place, type: string): undefined {
    if (value === null) return undefined;
    this.errors.push(
      place.goPath === ""
        ? `json: cannot unmarshal ${kindOf(value)} into Go value of type ${type}`
        : `json: cannot unmarshal ${kindOf(value)} into Go struct field ${place.struct}.${place.goPath} of type ${type}`,
    );
    return undefined;
  }

  #isOmitted(value: unknown, property: Schema, owner: Schema, definition: string, key: string): boolean {
    if (typeof value === "object" && value !== null) {
      if (property.$ref !== undefined) return false;
      if (isRequired(owner, key) || writesNull(definition, key)) return false;
      return Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0;
    }
    if (property.default !== undefined || property.type === undefined) return false;
    if (value !== "" && value !== 0 && value !== false) return false;
    if (property.format === "byte") return !isRequired(owner, key);
    return omitsZero(definition, key, property.type);
  }
}

function roundToMilli(text: string): string {
  const { nano, format } = parseQuantity(text);
  const rest = nano % 1_000_000n;
  return rest === 0n || nano < 0n ? text : formatQuantity({ nano: nano - rest + 1_000_000n, format });
}

function noteEmpty(owner: object, key: string): void {
  const keys = emptied.get(owner);
  if (keys === undefined) emptied.set(owner, new Set([key]));
  else keys.add(key);
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function goTypeOf(schema: Schema, definition: string, property: string): string {
  const reference = referencedName(schema);
  if (reference !== undefined) return `${packageOf(reference)}.${shortName(reference)}`;
  switch (schema.type) {
    case "array":
      return `[]${goTypeOf(schema.items ?? {}, definition, property)}`;
    case "object": {
      const items = typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
      if (referencedName(items) === quantityName) return "v1.ResourceList";
      return `map[string]${goTypeOf(items, definition, "")}`;
    }
    case "string":
      return schema.format === "byte" ? "[]uint8" : stringTypeOf(definition, property);
    case "boolean":
      return "bool";
    case "integer":
      return schema.format === "int64" ? "int64" : "int32";
    default:
      return "interface {}";
  }
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

/** A number as it would stand in the JSON text. */
function numberText(value: number): string {
  return Math.abs(value) >= 1e21 ? value.toExponential().replace("e+", "e+") : String(value);
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

/** Index of the first byte that is not base64, or undefined. Line breaks are skipped, as in Go. */
function wrongBase64At(text: string): number | undefined {
  const match = /^[A-Za-z0-9+/\r\n]*/.exec(text);
  const body = match?.[0].length ?? 0;
  const rest = text.slice(body);
  const count = text.slice(0, body).replace(/[\r\n]/g, "").length;
  if (rest === "") return count % 4 === 0 ? undefined : Math.floor(count / 4) * 4;
  if (/^=[\r\n]*$/.test(rest) && count % 4 === 3) return undefined;
  if (/^=[\r\n]*=[\r\n]*$/.test(rest) && count % 4 === 2) return undefined;
  if (rest.startsWith("=") && count % 4 >= 2) return rest.length > 1 ? body + 1 : text.length;
  return body;
}
