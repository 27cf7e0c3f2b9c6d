/**
 * Objects of built-in kinds as protobuf, which upstream's components and typed Go clients ask for: the
 * JSON value written by the field numbers of its definition. What JSON leaves out is left out; clients
 * read that as the zero value.
 */
import { messageFields, schemaNameOfKind } from "#kinds/protobuf.ts";
import type { MessageField } from "#kinds/protobuf.ts";
import { parseTimeMs } from "#kinds/time.ts";
import { WireWriter } from "./protobuf-writer.ts";

type Json = Record<string, unknown>;

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00]);
const metaPackage = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/** Whether objects of this kind, and lists of them, have a protobuf form. */
export function hasProtobufForm(apiVersion: string, kind: string): boolean {
  const name = schemaNameOfKind(apiVersion, kind);
  return name !== undefined && messageFields(name) !== undefined;
}

/** The object in upstream's envelope. It must have kind and apiVersion and a protobuf form. */
export function encodeProtobuf(object: Json): Uint8Array {
  const { apiVersion, kind, ...content } = object as { apiVersion: string; kind: string };
  const type = new WireWriter().string(1, apiVersion).string(2, kind).finish();
  const raw = encodeMessage(messageNameOf(apiVersion, kind), content);
  // An empty encoding and media type are written too, as upstream does.
  const unknown = new WireWriter().bytes(1, type).bytes(2, raw).string(3, "").string(4, "").finish();
  return Buffer.concat([magic, unknown]);
}

/** One event of a watch, with the length in front by which clients find its end. */
export function encodeProtobufEvent(type: string, object: Json): Buffer {
  const raw = new WireWriter().bytes(1, encodeProtobuf(object)).finish();
  const event = new WireWriter().string(1, type).bytes(2, raw).finish();
  const length = Buffer.alloc(4);
  length.writeUInt32BE(event.length);
  return Buffer.concat([length, event]);
}

function messageNameOf(apiVersion: string, kind: string): string {
  if (kind === "Status" || apiVersion.startsWith("meta.k8s.io/")) return metaPackage + kind;
  const name = schemaNameOfKind(apiVersion, kind);
  if (name === undefined) throw new Error(`${apiVersion} ${kind} has no protobuf form`);
  return name;
}

function encodeMessage(name: string, object: Json): Uint8Array {
  const fields = messageFields(name);
  if (fields === undefined) throw new Error(`the message ${name} is not known`);
  const writer = new WireWriter();
  for (const [number, field] of fields) {
    if (field.form === "inline") {
      writer.bytes(number, encodeMessage(field.type, object));
      continue;
    }
    const value = object[field.name];
    if (value !== undefined && value !== null) writeField(writer, number, field, value);
  }
  return writer.finish();
}

function writeField(writer: WireWriter, number: number, field: MessageField, value: unknown): void {
  switch (field.form) {
    case "list":
      for (const each of value as unknown[]) writeValue(writer, number, field.type, each);
      return;
    case "map":
      for (const [key, each] of Object.entries(value as Json)) {
        const entry = new WireWriter().string(1, key);
        writeValue(entry, 2, field.type, each);
        writer.bytes(number, entry.finish());
      }
      return;
    default:
      writeValue(writer, number, field.type, value);
  }
}

function writeValue(writer: WireWriter, number: number, type: string, value: unknown): void {
  switch (type) {
    case "s":
      writer.string(number, value as string);
      return;
    case "i":
      writer.integer(number, value as number);
      return;
    case "b":
      writer.integer(number, value === true ? 1 : 0);
      return;
    case "d":
      writer.double(number, value as number);
      return;
    case "y":
      writer.bytes(number, Buffer.from(value as string, "base64"));
      return;
    default: {
      const encode = special[type.slice(type.lastIndexOf(".") + 1)];
      writer.bytes(number, encode === undefined ? encodeMessage(type, (value ?? {}) as Json) : encode(value));
    }
  }
}

/** Messages whose JSON is not an object of their fields. */
const special: Readonly<Record<string, (value: unknown) => Uint8Array>> = {
  Time: encodeTime,
  MicroTime: encodeTime,
  Quantity: (value) => new WireWriter().string(1, value as string).finish(),
  IntOrString: (value) =>
    typeof value === "string"
      ? new WireWriter().integer(1, 1).integer(2, 0).string(3, value).finish()
      : new WireWriter()
          .integer(1, 0)
          .integer(2, value as number)
          .string(3, "")
          .finish(),
  RawExtension: encodeRaw,
  FieldsV1: encodeRaw,
  Duration: (value) => new WireWriter().integer(1, nanosecondsOf(value as string)).finish(),
  ExtraValue: encodeItems,
};

function encodeRaw(value: unknown): Uint8Array {
  return new WireWriter().string(1, JSON.stringify(value)).finish();
}

function encodeItems(value: unknown): Uint8Array {
  const writer = new WireWriter();
  for (const each of value as string[]) writer.string(1, each);
  return writer.finish();
}

function encodeTime(value: unknown): Uint8Array {
  const text = value as string | null;
  const ms = text === null ? undefined : parseTimeMs(text);
  if (text === null || ms === undefined) return new Uint8Array();
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? "";
  return new WireWriter()
    .integer(1, Math.floor(ms / 1000))
    .integer(2, Number(fraction.padEnd(9, "0").slice(0, 9)))
    .finish();
}

const unitNanoseconds: Readonly<Record<string, number>> = {
  h: 3.6e12,
  m: 6e10,
  s: 1e9,
  ms: 1e6,
  us: 1e3,
  ns: 1,
};

/** Of Go's durations: "1h2m3.5s". */
function nanosecondsOf(text: string): number {
  let total = 0;
  for (const [, number = "0", unit = "s"] of text.matchAll(/([\d.]+)(ms|us|ns|h|m|s)/g))
    total += Number(number) * (unitNanoseconds[unit] ?? 0);
  return text.startsWith("-") ? -total : total;
}
