/**
 * What a structural schema says about the values that a rule sees: their CEL types, and how large they can
 * get in a request (k8s.io/apiserver, pkg/cel/common/schemas.go). Costs are estimated from the sizes.
 */
import type { Schema } from "#kinds/schema.ts";
import { escapeName } from "./values.ts";

export interface DeclaredType {
  kind: "object" | "list" | "map" | "scalar";
  /** As the CEL library names it; for an object a name that tells it from all others of its root. */
  cel: string;
  /** Elements of a list, entries of a map, characters or bytes of text, at most. 0: size is no matter. */
  maxElements: number;
  /** The fewest bytes of its JSON. */
  minBytes: number;
  /** Of an object, by escaped name. */
  fields?: ReadonlyMap<string, DeclaredType>;
  /** Of a list and of a map. */
  element?: DeclaredType;
}

const requestBytesMax = 3 * 1024 * 1024;
const stringMinBytes = 2;

const formats: Readonly<Record<string, { cel: string; maxElements: number; minBytes: number }>> = {
  duration: { cel: "google.protobuf.Duration", maxElements: 32, minBytes: 3 },
  date: { cel: "google.protobuf.Timestamp", maxElements: 12, minBytes: 12 },
  "date-time": { cel: "google.protobuf.Timestamp", maxElements: 38, minBytes: 21 },
};

/** Undefined for what rules can't see: values whose type the schema leaves open. */
export function declaredType(schema: Schema, isWhole = false, name = "self"): DeclaredType | undefined {
  if (schema["x-kubernetes-int-or-string"] === true) return scalar("dyn", requestBytesMax - 2, 1);
  switch (schema.type) {
    case "array":
      return listType(schema, name);
    case "object":
      return schema.additionalProperties !== undefined && typeof schema.additionalProperties === "object"
        ? mapType(schema, schema.additionalProperties, name)
        : objectType(schema, isWhole, name);
    case "string":
      return stringType(schema);
    case "boolean":
      return scalar("bool", 0, 4);
    case "number":
      return scalar("double", 0, 1);
    case "integer":
      return scalar("int", 0, 1);
    default:
      return undefined;
  }
}

/** How many values of this type fit into a request, where nothing else limits them. */
export function cardinalityOf(type: DeclaredType): number {
  return Math.floor(requestBytesMax / (type.minBytes + 1));
}

function scalar(cel: string, maxElements: number, minBytes: number): DeclaredType {
  return { kind: "scalar", cel, maxElements, minBytes };
}

function listType({ items, maxItems }: Schema, name: string): DeclaredType | undefined {
  const element =
    items === undefined ? undefined : declaredType(items, isEmbedded(items), `${name}.__item__`);
  if (element === undefined) return undefined;
  const estimated = Math.floor((requestBytesMax - 2) / (element.minBytes + 1));
  return {
    kind: "list",
    cel: `list<${element.cel}>`,
    element,
    maxElements: Math.max(0, maxItems ?? estimated),
    minBytes: 2,
  };
}

function mapType({ maxProperties }: Schema, values: Schema, name: string): DeclaredType | undefined {
  const element = declaredType(values, isEmbedded(values), `${name}.__value__`);
  if (element === undefined) return undefined;
  // Each entry has at least quotes, a character of its key, a colon and a comma.
  const estimated = Math.floor((requestBytesMax - 2) / (element.minBytes + 6));
  return {
    kind: "map",
    cel: `map<string, ${element.cel}>`,
    element,
    maxElements: Math.max(0, maxProperties ?? estimated),
    minBytes: 2,
  };
}

const metadata: Schema = {
  type: "object",
  properties: { name: { type: "string" }, generateName: { type: "string" } },
};

function objectType(schema: Schema, isWhole: boolean, name: string): DeclaredType {
  const fields = new Map<string, DeclaredType>();
  const properties: Record<string, Schema> = isWhole
    ? { ...schema.properties, kind: { type: "string" }, apiVersion: { type: "string" }, metadata }
    : (schema.properties ?? {});
  let minBytes = 2;
  for (const [key, property] of Object.entries(properties)) {
    const escaped = escapeName(key);
    const type = declaredType(property, isEmbedded(property), `${name}.${escaped ?? ""}`);
    if (type === undefined) continue;
    if (escaped !== undefined) fields.set(escaped, type);
    // What is defaulted need not be sent.
    if (schema.required?.includes(key) === true && property.default === undefined)
      minBytes += key.length + type.minBytes + 4;
  }
  return { kind: "object", cel: name, fields, maxElements: 0, minBytes };
}

function stringType({ format, maxLength, enum: values }: Schema): DeclaredType {
  const known = format === undefined ? undefined : formats[format];
  if (known !== undefined) return scalar(known.cel, known.maxElements, known.minBytes);
  if (format === "byte")
    return scalar("bytes", Math.max(0, maxLength ?? requestBytesMax - 2), stringMinBytes);
  // A character takes up to four bytes.
  if (maxLength !== undefined) return scalar("string", Math.max(0, maxLength) * 4, stringMinBytes);
  const longest = (values ?? []).map((each) => (typeof each === "string" ? each.length : 0));
  return scalar("string", longest.length > 0 ? Math.max(...longest) : requestBytesMax - 2, stringMinBytes);
}

function isEmbedded(schema: Schema): boolean {
  return schema["x-kubernetes-embedded-resource"] === true;
}
