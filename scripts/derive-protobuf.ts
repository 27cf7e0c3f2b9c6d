/**
 * Derives src/kinds/schema/protobuf.json: the protobuf field numbers of all built-in definitions. They
 * come from the file descriptors (gzipped FileDescriptorProto) that a kubectl binary carries. A field that
 * OpenAPI doesn't have is an embedded struct in upstream's Go types: JSON has its fields inline.
 * Usage: node scripts/derive-protobuf.ts [kubectl]   (default /usr/bin/kubectl)
 */
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { WireReader } from "#api/wire/protobuf-reader.ts";
import { findSchema } from "#kinds/schemas.ts";

interface Message {
  name: string;
  fields: { name: string; number: number; label: number; type: number; typeName: string }[];
  nested: Message[];
  mapEntry: boolean;
}

const groups =
  /^k8s\.io\/(api\/\w+\/v[12]|metrics\/pkg\/apis\/metrics\/v1beta1|apimachinery\/pkg\/(apis\/meta\/v1|runtime|api\/resource|util\/intstr))\/generated\.proto$/;
const compressedBytesMax = 100_000;
const repeated = 3;
/** FieldDescriptorProto.Type to this project's letters. */
const letters: Record<number, string> = { 1: "d", 3: "i", 4: "i", 5: "i", 8: "b", 9: "s", 12: "y", 13: "i" };

const binary = readFileSync(realpathSync(process.argv[2] ?? "/usr/bin/kubectl"));
const files = new Map<string, { package: string; messages: Message[] }>();
for (
  let at = binary.indexOf("\x1f\x8b\x08", 0, "latin1");
  at >= 0;
  at = binary.indexOf("\x1f\x8b\x08", at + 3, "latin1")
) {
  let content: Buffer;
  try {
    content = gunzipSync(binary.subarray(at, at + compressedBytesMax));
  } catch {
    continue;
  }
  const length = content[1] ?? 0;
  const name = content.subarray(2, 2 + length).toString("latin1");
  if (content[0] === 10 && groups.test(name)) files.set(name, readFile(content));
}

const result: Record<string, string> = {};
for (const { package: packageName, messages } of files.values()) {
  if (/(alpha|beta)\d+$/.test(packageName) && !packageName.includes("metrics")) continue;
  for (const message of messages) {
    const own = openApiName(`.${packageName}.${message.name}`);
    const properties = findSchema(own)?.properties;
    const fields = message.fields.map((field) => {
      const entry = message.nested.find((each) => each.mapEntry && field.typeName.endsWith(`.${each.name}`));
      const isMessage = field.type === 11;
      // A few fields are capitalized as in Go ("Webhooks", "aPIGroup"); JSON has them otherwise.
      const lower = field.name.toLowerCase();
      const name =
        properties?.[field.name] === undefined
          ? (Object.keys(properties ?? {}).find((each) => each.toLowerCase() === lower) ?? field.name)
          : field.name;
      const inline = isMessage && properties !== undefined && properties[name] === undefined;
      let type: string;
      if (entry !== undefined) type = `{${typeOf(entry.fields.find((each) => each.number === 2))}}`;
      else type = typeOf(field);
      const mark = inline ? "~" : entry === undefined && field.label === repeated ? "*" : "";
      return `${field.number} ${name} ${mark}${type}`;
    });
    result[own] = fields.join(", ");
  }
}
const names = Object.keys(result).sort();
const lines = names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(result[name])}`);
writeFileSync(join(import.meta.dirname, "../src/kinds/schema/protobuf.json"), `{\n${lines.join(",\n")}\n}\n`);
console.log(`${names.length} messages from ${files.size} files`);

function typeOf(field: Message["fields"][number] | undefined): string {
  if (field === undefined) throw new Error("a map without a value type");
  if (field.type === 11) return openApiName(field.typeName);
  const letter = letters[field.type];
  if (letter === undefined) throw new Error(`no letter for type ${field.type} of ${field.name}`);
  return letter;
}

/** ".k8s.io.api.core.v1.Pod" to "io.k8s.api.core.v1.Pod". */
function openApiName(protobufName: string): string {
  return protobufName.replace(/^\.k8s\.io\./, "io.k8s.");
}

function readFile(content: Uint8Array): { package: string; messages: Message[] } {
  const file = { package: "", messages: [] as Message[] };
  for (const { number, bytes } of new WireReader(content)) {
    // gunzip goes on into the compressed file that may follow: a second name.
    if (number === 1 && file.package !== "") break;
    if (number === 2) file.package = text(bytes);
    if (number === 4) file.messages.push(readMessage(bytes));
  }
  return file;
}

function readMessage(content: Uint8Array): Message {
  const message: Message = { name: "", fields: [], nested: [], mapEntry: false };
  for (const { number, bytes } of new WireReader(content)) {
    if (number === 1) message.name = text(bytes);
    if (number === 2) message.fields.push(readField(bytes));
    if (number === 3) message.nested.push(readMessage(bytes));
    if (number === 7)
      for (const option of new WireReader(bytes)) if (option.number === 7) message.mapEntry = true;
  }
  return message;
}

function readField(content: Uint8Array): Message["fields"][number] {
  const field = { name: "", number: 0, label: 0, type: 0, typeName: "" };
  for (const { number, bytes, value } of new WireReader(content)) {
    if (number === 1) field.name = text(bytes);
    if (number === 3) field.number = Number(value);
    if (number === 4) field.label = Number(value);
    if (number === 5) field.type = Number(value);
    if (number === 6) field.typeName = text(bytes);
  }
  return field;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}
