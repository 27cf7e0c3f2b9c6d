/**
 * Protobuf bodies of built-in kinds, which kubectl's create commands and typed Go clients send: decodes
 * them into the same JSON values that a JSON body would give. `protobuf-object.ts` writes them.
 *
 * The wire does not tell a zero value from an absent one: Go writes every field that isn't a pointer. A
 * zero is kept only for fields that are pointers upstream, where it means something.
 */
import { setMember } from "#base/member.ts";
import { StatusError } from "#base/errors.ts";
import { isProtobufEnvelope, messageFields } from "#kinds/protobuf.ts";
import type { MessageField } from "#kinds/protobuf.ts";
import { ProtobufError, WireReader } from "./protobuf-reader.ts";

type Json = Record<string, unknown>;

export const notProtobuf =
  "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";

/** Decodes an enveloped body (magic "k8s\0", then runtime.Unknown). `schemaNameOf` finds the kind that it says it is. */
export function decodeProtobufBody(
  body: Uint8Array,
  schemaNameOf: (apiVersion: string, kind: string) => string | undefined,
): Json {
  try {
    return decodeEnvelope(body, schemaNameOf);
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    throw new StatusError("BadRequest", error.message, { cause: error });
  }
}

function decodeEnvelope(
  body: Uint8Array,
  schemaNameOf: (apiVersion: string, kind: string) => string | undefined,
): Json {
  if (!isProtobufEnvelope(body)) throw new StatusError("", notProtobuf);
  let type = { apiVersion: "", kind: "" };
  let raw: Uint8Array = new Uint8Array();
  for (const { number, bytes } of new WireReader(body.subarray(4))) {
    if (number === 1) type = decodeType(bytes);
    if (number === 2) raw = bytes;
  }
  const { apiVersion, kind } = type;
  const schemaName = schemaNameOf(apiVersion, kind);
  if (schemaName === undefined || messageFields(schemaName) === undefined)
    throw new StatusError(
      "BadRequest",
      `no kind "${kind}" is registered for version "${apiVersion}" in protobuf`,
    );
  return { ...type, ...decodeMessage(schemaName, raw) };
}

function decodeType(bytes: Uint8Array): { apiVersion: string; kind: string } {
  const type = { apiVersion: "", kind: "" };
  for (const field of new WireReader(bytes)) {
    if (field.number === 1) type.apiVersion = text(field.bytes);
    if (field.number === 2) type.kind = text(field.bytes);
  }
  return type;
}

function decodeMessage(name: string, bytes: Uint8Array): Json {
  const fields = messageFields(name);
  if (fields === undefined) throw new ProtobufError(`proto: the message ${name} is not known`);
  const object: Json = {};
  for (const { number, bytes: content, value } of new WireReader(bytes)) {
    const field = fields.get(number);
    if (field === undefined) continue;
    if (field.form === "inline") {
      Object.assign(object, decodeMessage(field.type, content));
      continue;
    }
    if (field.form === "map") {
      const map = (object[field.name] ??= {}) as Json;
      const [key, entry] = decodeMapEntry(field.type, content);
      setMember(map, key, entry);
      continue;
    }
    const decoded = decodeValue(field.type, content, value);
    if (field.form === "list") ((object[field.name] ??= []) as unknown[]).push(decoded);
    else if (!isAbsent(field, decoded)) object[field.name] = decoded;
  }
  return object;
}

function decodeMapEntry(type: string, bytes: Uint8Array): [string, unknown] {
  let key = "";
  let entry: unknown = type === "s" || type === "y" ? "" : {};
  for (const field of new WireReader(bytes)) {
    if (field.number === 1) key = text(field.bytes);
    if (field.number === 2) entry = decodeValue(type, field.bytes, field.value);
  }
  return [key, entry];
}

function decodeValue(type: string, bytes: Uint8Array, value: bigint): unknown {
  switch (type) {
    case "s":
      return text(bytes);
    case "i":
      return Number(BigInt.asIntN(64, value));
    case "b":
      return value !== 0n;
    case "d":
      return Buffer.from(new BigUint64Array([value]).buffer).readDoubleLE();
    case "y":
      return Buffer.from(bytes).toString("base64");
    default:
      return (special[type.slice(type.lastIndexOf(".") + 1)] ?? ((content) => decodeMessage(type, content)))(
        bytes,
      );
  }
}

/** Messages whose JSON is not an object of their fields. */
const special: Readonly<Record<string, (bytes: Uint8Array) => unknown>> = {
  Time: (bytes) => decodeTime(bytes, 0),
  MicroTime: (bytes) => decodeTime(bytes, 6),
  Quantity: (bytes) => {
    for (const field of new WireReader(bytes)) if (field.number === 1) return text(field.bytes);
    return "0";
  },
  IntOrString: (bytes) => {
    let isString = false;
    let number = 0;
    let string = "";
    for (const field of new WireReader(bytes)) {
      if (field.number === 1) isString = field.value !== 0n;
      if (field.number === 2) number = Number(BigInt.asIntN(64, field.value));
      if (field.number === 3) string = text(field.bytes);
    }
    return isString ? string : number;
  },
  ExtraValue: (bytes) => [...new WireReader(bytes)].map((field) => text(field.bytes)),
  RawExtension: decodeRaw,
  FieldsV1: decodeRaw,
  Duration: (bytes) => {
    for (const field of new WireReader(bytes)) if (field.number === 1) return `${Number(field.value) / 1e9}s`;
    return "0s";
  },
};

function decodeRaw(bytes: Uint8Array): unknown {
  for (const field of new WireReader(bytes)) {
    if (field.number !== 1) continue;
    try {
      return JSON.parse(text(field.bytes));
    } catch (cause) {
      throw new StatusError("BadRequest", "a raw field of the protobuf message is not JSON", { cause });
    }
  }
  return null;
}

/** An empty message is Go's zero time, which JSON writes as null. */
function decodeTime(bytes: Uint8Array, digits: 0 | 6): string | null {
  let seconds: bigint | undefined;
  let nanos = 0n;
  for (const { number, value } of new WireReader(bytes)) {
    if (number === 1) seconds = BigInt.asIntN(64, value);
    if (number === 2) nanos = value;
  }
  if (seconds === undefined) return null;
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return digits === 0 ? `${whole}Z` : `${whole}.${String(nanos / 1000n).padStart(6, "0")}Z`;
}

function isAbsent(field: MessageField, value: unknown): boolean {
  if (value === null) return true;
  // Messages are there or not, whatever is in them.
  if (field.keepsZero || field.type.length > 1) return false;
  return value === "" || value === 0 || value === false;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
