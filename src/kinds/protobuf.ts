/**
 * The protobuf field numbers of the built-in definitions, derived by scripts/derive-protobuf.ts from
 * upstream's descriptors. Data only; the wire format is the API's.
 */
import { omitsZero } from "./go-types.ts";
import { findSchema, schemaNames } from "./schemas.ts";
import messages from "./schema/protobuf.json" with { type: "json" };

export interface MessageField {
  name: string;
  /** s string, i integer, b boolean, y bytes, d double, else a definition's name. Of maps: the values'. */
  type: string;
  /** inline: its fields are the message's own in JSON. */
  form: "single" | "list" | "map" | "inline";
  /** Upstream's Go field is a pointer or always written: zero is a value, not absence. */
  keepsZero: boolean;
}

const texts: Readonly<Record<string, string>> = messages;
const byKind = new Map<string, string>();
const parsed = new Map<string, ReadonlyMap<number, MessageField>>();
const magic = [0x6b, 0x38, 0x73, 0x00];

/** The definition of a kind ("apps/v1", "Deployment"), or undefined. */
export function schemaNameOfKind(apiVersion: string, kind: string): string | undefined {
  if (byKind.size === 0) {
    for (const name of schemaNames)
      for (const each of findSchema(name)?.["x-kubernetes-group-version-kind"] ?? []) {
        const key = `${each.group === "" ? "" : `${each.group}/`}${each.version} ${each.kind}`;
        if (!byKind.has(key)) byKind.set(key, name);
      }
  }
  return byKind.get(`${apiVersion} ${kind}`);
}

/** Whether a body begins as upstream's protobuf envelope does ("k8s", then a zero byte). */
export function isProtobufEnvelope(body: Uint8Array): boolean {
  return magic.every((byte, at) => body[at] === byte);
}

/** Fields by number, or undefined for a definition that has no protobuf form. */
export function messageFields(name: string): ReadonlyMap<number, MessageField> | undefined {
  const known = parsed.get(name);
  if (known !== undefined || !Object.hasOwn(texts, name)) return known;
  const fields = new Map<number, MessageField>();
  for (const part of (texts[name] ?? "").split(", ")) {
    const [number, field, type] = part.split(" ");
    if (number !== undefined && field !== undefined && type !== undefined)
      fields.set(Number(number), parseField(name, field, type));
  }
  parsed.set(name, fields);
  return fields;
}

const scalars: Readonly<Record<string, string>> = { s: "string", i: "integer", b: "boolean", d: "number" };

function parseField(definition: string, name: string, type: string): MessageField {
  const scalar = scalars[type];
  const keepsZero = scalar !== undefined && !omitsZero(definition, name, scalar);
  if (type.startsWith("*")) return { name, type: type.slice(1), form: "list", keepsZero };
  if (type.startsWith("~")) return { name, type: type.slice(1), form: "inline", keepsZero };
  if (type.startsWith("{")) return { name, type: type.slice(1, -1), form: "map", keepsZero };
  return { name, type, form: "single", keepsZero };
}
