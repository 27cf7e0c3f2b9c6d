/**
 * Request bodies to objects: format, size, syntax, kind and version, and unknown or duplicate fields as
 * the client's fieldValidation asks. Error texts are upstream's.
 */
import type { HttpRequest } from "#base/http.ts";
import { StatusError } from "#base/errors.ts";
import { decode, findDuplicateFields } from "#kinds/decode.ts";
import type { Decoded } from "#kinds/decode.ts";
import type { KubeObject } from "#kinds/object.ts";
import { schemaNameOfKind } from "#kinds/protobuf.ts";
import { findSchema } from "#kinds/schemas.ts";
import type { FieldValidation } from "../rest/write-options.ts";
import { badRequest } from "../status.ts";
import { describeJsonError } from "./json-error.ts";
import { bodyFormat } from "./negotiate.ts";
import { decodeProtobufBody } from "./protobuf.ts";
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

export function checkBodySize(http: HttpRequest): void {
  if (http.body.byteLength > maxBodyBytes) {
    throw new StatusError("RequestEntityTooLarge", `Request entity too large: limit is ${maxBodyBytes}`);
  }
}

/** Parsed text of a body, before it is known to be any kind. */
export interface ParsedBody {
  value: unknown;
  duplicates: string[];
}

/** Parses a body in the format of its Content-Type. `expected` names the kind in errors. */
export function parseBody(http: HttpRequest, expectedKind: string): ParsedBody {
  checkBodySize(http);
  const format = bodyFormat(http);
  if (format === "protobuf")
    return { value: decodeProtobufBody(http.body, schemaNameOfKind), duplicates: [] };
  const text = Buffer.from(http.body.buffer, http.body.byteOffset, http.body.byteLength).toString("utf8");
  if (text.trim() === "" && format === "yaml") return { value: {}, duplicates: [] };
  if (text === "") return { value: {}, duplicates: [] };
  if (format === "yaml") {
    try {
      return parseYaml(text);
    } catch (error) {
      throw unrecognized(expectedKind, (error as Error).message, http.body);
    }
  }
  try {
    const value: unknown = JSON.parse(text);
    return { value, duplicates: findDuplicateFields(text) };
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
  const { value, duplicates } = parseBody(http, expected.kind);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    if (value === null) return decodeValue({}, expected, [], fieldValidation, warnings);
    const found = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
    throw unrecognized(
      expected.kind,
      `couldn't get version/kind; json parse error: json: cannot unmarshal ${found} into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }`,
      http.body,
    );
  }
  return decodeValue(value as Record<string, unknown>, expected, duplicates, fieldValidation, warnings);
}

/** The same for a value that is already parsed (a patched object). */
export function decodeValue(
  value: Record<string, unknown>,
  expected: ExpectedKind,
  duplicates: readonly string[],
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
    const problems = strictProblems(decoded.unknownFields, duplicates);
    if (problems.length > 0) {
      if (fieldValidation === "Strict") {
        throw cannotBeHandled(expected, `strict decoding error: ${problems.join(", ")}`);
      }
      warnings.push(...problems);
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

/** Unknown and duplicate fields as upstream's strict decoder lists them. */
function strictProblems(unknownFields: readonly string[], duplicates: readonly string[]): string[] {
  const isYaml = duplicates[0]?.startsWith("yaml:") === true;
  const unknown = unknownFields.map((each) => `unknown field ${JSON.stringify(each)}`);
  if (isYaml) return [...duplicates, ...unknown];
  const repeated = duplicates.map((each) => `duplicate field ${JSON.stringify(each)}`);
  return [...unknown, ...repeated];
}

function cannotBeHandled(expected: ExpectedKind, why: string): StatusError {
  return badRequest(
    `${expected.kind} in version ${JSON.stringify(expected.version)} cannot be handled as a ${expected.kind}: ${why}`,
  );
}

function unrecognized(kind: string, why: string, body: Uint8Array): StatusError {
  const head = Buffer.from(body.subarray(0, 30)).toString("hex");
  const shown = body.byteLength > 30 ? `${head} ...` : head;
  return badRequest(`the object provided is unrecognized (must be of type ${kind}): ${why} (${shown})`);
}
