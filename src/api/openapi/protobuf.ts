/**
 * The OpenAPI v2 document in protobuf, which kubectl asks for before it validates a List: the messages of
 * gnostic's openapiv2 (field numbers from its descriptor). A table tells how each JSON property is written.
 * Security definitions are left out: no client of this form reads them.
 */
import { stringify } from "yaml";
import { WireWriter } from "../wire/protobuf-writer.ts";

type Json = Record<string, unknown>;

/** How a property is written; the second word is the message that it holds. */
type Form =
  | "text"
  | "flag"
  | "integer"
  | "double"
  | "texts"
  /** Any JSON value, as YAML text. */
  | "any"
  | "anys"
  /** The name of a type, inside of a message of its own. */
  | "type"
  /** A schema, inside of a message of its own. */
  | "schema"
  /** A schema or a boolean. */
  | "additional"
  | `one ${MessageName}`
  | `list ${MessageName}`
  /** An object of named messages. */
  | `map ${MessageName}`;

type MessageName = keyof typeof messages;

const messages = {
  Document: {
    swagger: [1, "text"],
    info: [2, "one Info"],
    host: [3, "text"],
    basePath: [4, "text"],
    schemes: [5, "texts"],
    consumes: [6, "texts"],
    produces: [7, "texts"],
    paths: [8, "map PathItem"],
    definitions: [9, "map Schema"],
    parameters: [10, "map SharedParameter"],
  },
  Info: { title: [1, "text"], version: [2, "text"], description: [3, "text"] },
  PathItem: {
    get: [2, "one Operation"],
    put: [3, "one Operation"],
    post: [4, "one Operation"],
    delete: [5, "one Operation"],
    options: [6, "one Operation"],
    head: [7, "one Operation"],
    patch: [8, "one Operation"],
    parameters: [9, "list Parameter"],
  },
  Operation: {
    tags: [1, "texts"],
    description: [3, "text"],
    operationId: [5, "text"],
    produces: [6, "texts"],
    consumes: [7, "texts"],
    parameters: [8, "list Parameter"],
    responses: [9, "map Response"],
    schemes: [10, "texts"],
  },
  Parameter: {},
  SharedParameter: {},
  BodyParameter: {
    description: [1, "text"],
    name: [2, "text"],
    in: [3, "text"],
    required: [4, "flag"],
    schema: [5, "one Schema"],
  },
  PathParameter: {
    required: [1, "flag"],
    in: [2, "text"],
    description: [3, "text"],
    name: [4, "text"],
    type: [5, "text"],
    format: [6, "text"],
    uniqueItems: [19, "flag"],
  },
  QueryParameter: {
    required: [1, "flag"],
    in: [2, "text"],
    description: [3, "text"],
    name: [4, "text"],
    type: [6, "text"],
    format: [7, "text"],
    uniqueItems: [20, "flag"],
  },
  Response: { description: [1, "text"], schema: [2, "schema"] },
  Schema: {
    $ref: [1, "text"],
    format: [2, "text"],
    title: [3, "text"],
    description: [4, "text"],
    default: [5, "any"],
    multipleOf: [6, "double"],
    maximum: [7, "double"],
    exclusiveMaximum: [8, "flag"],
    minimum: [9, "double"],
    exclusiveMinimum: [10, "flag"],
    maxLength: [11, "integer"],
    minLength: [12, "integer"],
    pattern: [13, "text"],
    maxItems: [14, "integer"],
    minItems: [15, "integer"],
    uniqueItems: [16, "flag"],
    maxProperties: [17, "integer"],
    minProperties: [18, "integer"],
    required: [19, "texts"],
    enum: [20, "anys"],
    additionalProperties: [21, "additional"],
    type: [22, "type"],
    items: [23, "schema"],
    allOf: [24, "list Schema"],
    properties: [25, "map Schema"],
    example: [30, "any"],
  },
} as const satisfies Record<string, Record<string, readonly [number, string]>>;

/** Field of `vendor_extension` (x-… properties) per message. */
const extensionFields: Partial<Record<MessageName, number>> = {
  Document: 16,
  PathItem: 10,
  Operation: 13,
  Schema: 31,
};

/** What clients ask for. */
export const openApiV2Protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/** What they are answered: a media type may have no "@". */
export const openApiV2ProtobufType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

export function encodeOpenApiV2(document: Json): Uint8Array {
  return encodeMessage("Document", document);
}

function encodeMessage(name: MessageName, value: Json): Uint8Array {
  const writer = new WireWriter();
  const fields: Readonly<Record<string, readonly [number, string]>> = messages[name];
  const extensionField = extensionFields[name];
  for (const [property, content] of Object.entries(value)) {
    const field = fields[property];
    if (field !== undefined) writeField(writer, field[0], field[1] as Form, content);
    else if (property.startsWith("x-") && extensionField !== undefined)
      writer.bytes(extensionField, encodeNamed(property, encodeAny(content)));
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
    case "type":
      writer.bytes(number, new WireWriter().string(1, String(content)).finish());
      return;
    case "schema":
      writer.bytes(number, wrap(1, encodeMessage("Schema", content as Json)));
      return;
    case "additional":
      writer.bytes(
        number,
        typeof content === "boolean"
          ? new WireWriter().integer(2, content ? 1 : 0).finish()
          : wrap(1, encodeMessage("Schema", content as Json)),
      );
      return;
    default:
      writeMessages(writer, number, form, content);
  }
}

function writeMessages(writer: WireWriter, number: number, form: string, content: unknown): void {
  const [how, message] = form.split(" ") as ["one" | "list" | "map", MessageName];
  if (how === "one") writer.bytes(number, encodeChoice(message, content as Json));
  else if (how === "list")
    for (const each of content as Json[]) writer.bytes(number, encodeChoice(message, each));
  else {
    const box = new WireWriter();
    // Paths have their extensions in field 1, all other boxes their members.
    const member = message === "PathItem" ? 2 : 1;
    for (const [name, each] of Object.entries(content as Record<string, Json>))
      box.bytes(member, encodeNamed(name, encodeChoice(message, each)));
    writer.bytes(number, box.finish());
  }
}

/** A message, inside of the choice between forms that gnostic has around some. */
function encodeChoice(name: MessageName, value: Json): Uint8Array {
  switch (name) {
    case "Parameter": {
      const reference = value["$ref"];
      if (typeof reference !== "string") return wrap(1, encodeChoice("SharedParameter", value));
      return wrap(2, new WireWriter().string(1, reference).finish());
    }
    case "SharedParameter":
      if (value["in"] === "body") return wrap(1, encodeMessage("BodyParameter", value));
      if (value["in"] === "path") return wrap(2, wrap(4, encodeMessage("PathParameter", value)));
      return wrap(2, wrap(3, encodeMessage("QueryParameter", value)));
    case "Response":
      return wrap(1, encodeMessage(name, value));
    default:
      return encodeMessage(name, value);
  }
}

function wrap(number: number, message: Uint8Array): Uint8Array {
  return new WireWriter().bytes(number, message).finish();
}

function encodeNamed(name: string, value: Uint8Array): Uint8Array {
  return new WireWriter().string(1, name).bytes(2, value).finish();
}

function encodeAny(value: unknown): Uint8Array {
  return new WireWriter().string(2, stringify(value)).finish();
}
