/**
 * Request bodies to objects: format, size, syntax, kind and version, and unknown or duplicate fields as
 * the client's fieldValidation asks. Error texts are upstream's.
 */
import type { HttpRequest } from "#base/http.ts";
import { StatusError } from "#base/errors.ts";
import { decode } from "#kinds/decode.ts";
import type { Decoded } from "#kinds/decode.ts";
import { fieldsInOrder, findDuplicateFields, isWithoutRepeats, parseMerging } from "#kinds/json-document.ts";
import type { KubeObject } from "#kinds/object.ts";
import { isProtobufEnvelope, schemaNameOfKind } from "#kinds/protobuf.ts";
import { findSchema } from "#kinds/schemas.ts";
import type { FieldValidation } from "../rest/write-options.ts";
import { badRequest } from "../status.ts";
import { isTextTooDeep, isValueTooDeep } from "./depth.ts";
import { describeJsonError } from "./json-error.ts";
import { bodyFormat } from "./negotiate.ts";
import { decodeProtobufBody, notProtobuf } from "./protobuf.ts";
import { parseYaml } from "./yaml.ts";

/** What a body is expected to be. */
export interface ExpectedKind {
  group: string;
  version: string;
  kind: string;
  schemaName: string;
  /** Custom resources decode by their own schema. */
  decode?: ((value: Record<string, unknown>) => Decoded) | undefined;
}

/** Upstream's limit of a request body (3 MiB). */
export const maxBodyBytes = 3 * 1024 * 1024;

export const tooDeep = "exceeded max depth";

export function checkBodySize(http: HttpRequest): void {
  if (http.body.byteLength > maxBodyBytes) {
    throw new StatusError("RequestEntityTooLarge", `Request entity too large: limit is ${maxBodyBytes}`);
  }
}

/** Parsed text of a body, before it is known to be any kind. */
export interface ParsedBody {
  value: unknown;
  strictProblems: StrictProblems;
}

/** What strict decoding has to say of a document, given the fields that its kind does not know. */
export type StrictProblems = (unknownFields: readonly string[]) => string[];

export function unknownFieldTexts(fields: readonly string[]): string[] {
  return fields.map((each) => `unknown field ${JSON.stringify(each)}`);
}

export function duplicateFieldTexts(fields: readonly string[]): string[] {
  return fields.map((each) => `duplicate field ${JSON.stringify(each)}`);
}

/** Each problem as a client is warned of it: those of YAML come line by line. */
export function asWarnings(problems: readonly string[]): string[] {
  return problems.flatMap((each) =>
    each.startsWith("yaml: ")
      ? each
          .split("\n")
          .slice(1)
          .map((line) => line.trim())
      : [each],
  );
}

/** Parses a body in the format of its Content-Type. `expected` names the kind in errors. */
export function parseBody(http: HttpRequest, expectedKind: string): ParsedBody {
  checkBodySize(http);
  const format = bodyFormat(http);
  if (format === "protobuf")
    return { value: readProtobuf(http.body, expectedKind), strictProblems: unknownFieldTexts };
  const text = Buffer.from(http.body.buffer, http.body.byteOffset, http.body.byteLength).toString("utf8");
  if (text === "" || (text.trim() === "" && format === "yaml"))
    return { value: {}, strictProblems: unknownFieldTexts };
  if (format === "yaml") {
    try {
      const { value, duplicates } = parseYaml(text);
      if (isValueTooDeep(value)) throw new Error(`yaml: ${tooDeep}`);
      return { value, strictProblems: (unknown) => [...duplicates, ...unknownFieldTexts(unknown)] };
    } catch (error) {
      throw unrecognized(expectedKind, (error as Error).message, http.body);
    }
  }
  if (isTextTooDeep(http.body))
    throw unrecognized(expectedKind, `couldn't get version/kind; json parse error: ${tooDeep}`, http.body);
  try {
    return parseJson(text);
  } catch {
    throw unrecognized(
      expectedKind,
      `couldn't get version/kind; json parse error: ${describeJsonError(text)}`,
      http.body,
    );
  }
}

/** Decodes a body into an object of the expected kind. Adds to `warnings` what the client asked to be told. */
export function decodeObject(
  http: HttpRequest,
  expected: ExpectedKind,
  fieldValidation: FieldValidation,
  warnings: string[],
): KubeObject {
  const { value, strictProblems } = parseBody(http, expected.kind);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    if (value === null) return decodeValue({}, expected, strictProblems, fieldValidation, warnings);
    const found = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
    throw unrecognized(
      expected.kind,
      `couldn't get version/kind; json parse error: json: cannot unmarshal ${found} into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }`,
      http.body,
    );
  }
  return decodeValue(value as Record<string, unknown>, expected, strictProblems, fieldValidation, warnings);
}

/** The same for a value that is already parsed (a patched object). */
export function decodeValue(
  value: Record<string, unknown>,
  expected: ExpectedKind,
  strictProblems: StrictProblems,
  fieldValidation: FieldValidation,
  warnings: string[],
): KubeObject {
  const apiVersion = expected.group === "" ? expected.version : `${expected.group}/${expected.version}`;
  const givenVersion = textField(value, "apiVersion", expected, apiVersion);
  const givenKind = textField(value, "kind", expected, expected.kind);
  if (givenVersion !== apiVersion || givenKind !== expected.kind) {
    const version = givenVersion.includes("/")
      ? givenVersion.slice(givenVersion.indexOf("/") + 1)
      : givenVersion;
    throwUnknownConversion(value, givenVersion, givenKind, expected);
    throw badRequest(
      `${givenKind} in version "${version}" cannot be handled as a ${expected.kind}: no kind "${givenKind}" is registered for version "${givenVersion}" in scheme ${JSON.stringify(schemeOf(expected.group))}`,
    );
  }
  const decoded = runDecode({ ...value, apiVersion, kind: expected.kind }, expected);
  const firstError = decoded.errors[0];
  if (firstError !== undefined) throw cannotBeHandled(expected, firstError);
  if (fieldValidation !== "Ignore") {
    const problems = strictProblems(decoded.unknownFields);
    if (problems.length > 0) {
      if (fieldValidation === "Strict") {
        throw cannotBeHandled(expected, `strict decoding error: ${problems.join(", ")}`);
      }
      warnings.push(...asWarnings(problems));
    }
  }
  const object = decoded.object as unknown as KubeObject;
  if (typeof object.metadata !== "object" || object.metadata === null) object.metadata = {};
  return object;
}

/** A kind that exists, but is another one, is decoded before upstream finds that it can't convert it. */
function throwUnknownConversion(
  value: Record<string, unknown>,
  givenVersion: string,
  givenKind: string,
  expected: ExpectedKind,
): void {
  const schemaName = expected.decode === undefined ? schemaNameOfKind(givenVersion, givenKind) : undefined;
  if (schemaName === undefined || schemeOf(expected.group) !== legacyScheme) return;
  const given = { ...expected, kind: givenKind, version: givenVersion.split("/").at(-1) ?? "" };
  const problem = decode(schemaName, value).errors[0];
  const internal = expected.group === "" ? "core" : (expected.group.split(".")[0] ?? "");
  const conversion = `converting (${given.version}.${givenKind}) to (${internal}.${expected.kind}): unknown conversion`;
  throw badRequest(
    `${givenKind} in version ${JSON.stringify(given.version)} cannot be handled as a ${expected.kind}: ${problem ?? conversion}`,
  );
}

const legacyScheme = "pkg/api/legacyscheme/scheme.go:30";

/** Upstream's servers of definitions and of API services have type registries of their own. */
function schemeOf(group: string): string {
  if (group === "apiextensions.k8s.io") return "pkg/apiserver/apiserver.go:53";
  return group === "apiregistration.k8s.io" ? "pkg/apiserver/scheme/scheme.go:28" : legacyScheme;
}

function runDecode(value: Record<string, unknown>, expected: ExpectedKind): Decoded {
  if (expected.decode !== undefined) return expected.decode(value);
  if (findSchema(expected.schemaName) === undefined) {
    return { object: value, unknownFields: [], errors: [] };
  }
  return decode(expected.schemaName, value);
}

function textField(
  value: Record<string, unknown>,
  field: "apiVersion" | "kind",
  expected: ExpectedKind,
  fallback: string,
): string {
  const given = value[field];
  if (given === undefined || given === null || given === "") return fallback;
  if (typeof given === "string") return given;
  throw badRequest(
    `the object provided is unrecognized (must be of type ${expected.kind}): couldn't get version/kind; json parse error: json: cannot unmarshal ${Array.isArray(given) ? "array" : typeof given === "boolean" ? "bool" : typeof given} into Go struct field .${field} of type string`,
  );
}

function parseJson(text: string): ParsedBody {
  const value: unknown = JSON.parse(text);
  if (isWithoutRepeats(text, value)) return { value, strictProblems: unknownFieldTexts };
  const duplicates = findDuplicateFields(text);
  if (duplicates.length === 0) return { value, strictProblems: unknownFieldTexts };
  return {
    value: parseMerging(text),
    strictProblems: (unknown) =>
      fieldsInOrder(text, unknown).flatMap(({ path, isRepeated }) =>
        isRepeated ? duplicateFieldTexts([path]) : unknownFieldTexts([path]),
      ),
  };
}

function readProtobuf(body: Uint8Array, expectedKind: string): unknown {
  if (!isProtobufEnvelope(body)) throw unrecognized(expectedKind, notProtobuf, body);
  return decodeProtobufBody(body, schemaNameOfKind);
}

function cannotBeHandled(expected: ExpectedKind, why: string): StatusError {
  return badRequest(
    `${expected.kind} in version ${JSON.stringify(expected.version)} cannot be handled as a ${expected.kind}: ${why}`,
  );
}

function unrecognized(kind: string, why: string, body: Uint8Array): StatusError {
  // Upstream shows what looks like JSON as it is, anything else in hexadecimal.
  const head = Buffer.from(body.subarray(0, 30)).toString(body[0] === 0x7b ? "utf8" : "hex");
  const shown = body.byteLength > 30 ? `${head} ...` : head;
  return badRequest(`the object provided is unrecognized (must be of type ${kind}): ${why} (${shown})`);
}
