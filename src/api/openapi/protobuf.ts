/**
 * OpenAPI v3 documents in protobuf, which kubectl asks for before it validates: the messages of gnostic's
 * openapiv3 (field numbers from its descriptor). A table tells how each JSON property is written.
 */
import { stringify } from "yaml";
import { WireWriter } from "../wire/protobuf-writer.ts";

type Json = Record<string, unknown>;

/** How a property is written; the rest of its name is the message it holds. */
type Form =
  | "text"
  | "flag"
  | "integer"
  | "double"
  | "texts"
  /** Any JSON value, as YAML text. */
  | "any"
  | "anys"
  /** A number, boolean or string; other defaults have no protobuf form. */
  | "default"
  | `one ${MessageName}`
  | `list ${MessageName}`
  /** An object of named messages. */
  | `map ${MessageName}`
  | "items"
  | "additional";

type MessageName = keyof typeof messages;

const messages = {
  Document: {
    openapi: [1, "text"],
    info: [2, "one Info"],
    paths: [4, "map PathItem"],
    components: [5, "one Components"],
  },
  Info: { title: [1, "text"], description: [2, "text"], version: [6, "text"] },
  PathItem: {
    get: [4, "one Operation"],
    put: [5, "one Operation"],
    post: [6, "one Operation"],
    delete: [7, "one Operation"],
    options: [8, "one Operation"],
    head: [9, "one Operation"],
    patch: [10, "one Operation"],
    parameters: [13, "list Parameter"],
  },
  Operation: {
    tags: [1, "texts"],
    description: [3, "text"],
    operationId: [5, "text"],
    parameters: [6, "list Parameter"],
    requestBody: [7, "one RequestBody"],
    responses: [8, "map Response"],
  },
  Parameter: {
    name: [1, "text"],
    in: [2, "text"],
    description: [3, "text"],
    required: [4, "flag"],
    schema: [10, "one Schema"],
    content: [13, "map MediaType"],
  },
  RequestBody: { description: [1, "text"], content: [2, "map MediaType"], required: [3, "flag"] },
  Response: { description: [1, "text"], content: [3, "map MediaType"] },
  MediaType: { schema: [1, "one Schema"] },
  Components: { schemas: [1, "map Schema"] },
  Schema: {
    nullable: [1, "flag"],
    example: [7, "any"],
    title: [9, "text"],
    multipleOf: [10, "double"],
    maximum: [11, "double"],
    exclusiveMaximum: [12, "flag"],
    minimum: [13, "double"],
    exclusiveMinimum: [14, "flag"],
    maxLength: [15, "integer"],
    minLength: [16, "integer"],
    pattern: [17, "text"],
    maxItems: [18, "integer"],
    minItems: [19, "integer"],
    uniqueItems: [20, "flag"],
    maxProperties: [21, "integer"],
    minProperties: [22, "integer"],
    required: [23, "texts"],
    enum: [24, "anys"],
    type: [25, "text"],
    allOf: [26, "list Schema"],
    oneOf: [27, "list Schema"],
    anyOf: [28, "list Schema"],
    items: [30, "items"],
    properties: [31, "map Schema"],
    additionalProperties: [32, "additional"],
    default: [33, "default"],
    description: [34, "text"],
    format: [35, "text"],
  },
} as const satisfies Record<string, Record<string, readonly [number, string]>>;

/** Field of `specification_extension` (x-… properties) per message. */
const extensionFields: Partial<Record<MessageName, number>> = {
  Document: 9,
  PathItem: 14,
  Operation: 13,
  Parameter: 14,
  Schema: 36,
};

/** Messages that gnostic wraps in "…OrReference": the message is its field 1, a reference its field 2. */
const orReference: ReadonlySet<string> = new Set(["Parameter", "RequestBody", "Response", "Schema"]);
/** Responses keep the ones with a name in field 2. */
const namedField: Partial<Record<MessageName, number>> = { Response: 2 };

export const openApiV3Protobuf = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

export function encodeOpenApiV3(document: Json): Uint8Array {
  return encodeMessage("Document", document);
}

function encodeMessage(name: MessageName, value: Json): Uint8Array {
  const writer = new WireWriter();
  const fields: Readonly<Record<string, readonly [number, string]>> = messages[name];
  for (const [property, content] of Object.entries(value)) {
    const field = fields[property];
    if (field !== undefined) writeField(writer, field[0], field[1] as Form, content);
    else if (property.startsWith("x-") && extensionFields[name] !== undefined)
      writer.bytes(extensionFields[name], encodeNamed(property, encodeAny(content)));
  }
  return writer.finish();
}

function writeField(writer: WireWriter, number: number, form: Form, content: unknown): void {
  switch (form) {
    case "text":
      writer.string(number, String(content));
      return;
    case "flag":
      if (content === true) writer.integer(number, 1);
      return;
    case "integer":
      writer.integer(number, Number(content));
      return;
    case "double":
      writer.double(number, Number(content));
      return;
    case "texts":
      for (const each of content as string[]) writer.string(number, each);
      return;
    case "any":
      writer.bytes(number, encodeAny(content));
      return;
    case "anys":
      for (const each of content as unknown[]) writer.bytes(number, encodeAny(each));
      return;
    case "default":
      writeDefault(writer, number, content);
      return;
    case "items":
      writer.bytes(number, new WireWriter().bytes(1, encodeReferable("Schema", content as Json)).finish());
      return;
    case "additional":
      writer.bytes(
        number,
        typeof content === "boolean"
          ? new WireWriter().integer(2, content ? 1 : 0).finish()
          : new WireWriter().bytes(1, encodeReferable("Schema", content as Json)).finish(),
      );
      return;
    default:
      writeMessages(writer, number, form, content);
  }
}

function writeMessages(writer: WireWriter, number: number, form: string, content: unknown): void {
  const [how, message] = form.split(" ") as [string, MessageName];
  if (how === "one") writer.bytes(number, encodeReferable(message, content as Json));
  else if (how === "list")
    for (const each of content as Json[]) writer.bytes(number, encodeReferable(message, each));
  else {
    const box = new WireWriter();
    for (const [name, each] of Object.entries(content as Record<string, Json>))
      box.bytes(namedField[message] ?? 1, encodeNamed(name, encodeReferable(message, each)));
    writer.bytes(number, box.finish());
  }
}

function encodeReferable(name: MessageName, value: Json): Uint8Array {
  if (!orReference.has(name)) return encodeMessage(name, value);
  const reference = value["$ref"];
  if (typeof reference === "string")
    return new WireWriter().bytes(2, new WireWriter().string(1, reference).finish()).finish();
  return new WireWriter().bytes(1, encodeMessage(name, value)).finish();
}

function encodeNamed(name: string, value: Uint8Array): Uint8Array {
  return new WireWriter().string(1, name).bytes(2, value).finish();
}

function encodeAny(value: unknown): Uint8Array {
  return new WireWriter().string(2, stringify(value)).finish();
}

function writeDefault(writer: WireWriter, number: number, content: unknown): void {
  const value = new WireWriter();
  if (typeof content === "number") value.double(1, content);
  else if (typeof content === "boolean") value.integer(2, content ? 1 : 0);
  else if (typeof content === "string") value.string(3, content);
  else return;
  writer.bytes(number, value.finish());
}
