/**
 * PATCH in its four forms: JSON patch, merge patch, strategic merge patch and server-side apply. Each
 * makes a new object from the stored one; the rest is an update.
 */
import { StatusError } from "#base/errors.ts";
import type { HttpRequest } from "#base/http.ts";
import { findDuplicateFields, isWithoutRepeats } from "#kinds/json-document.ts";
import { invalid, invalidError } from "#kinds/field-error.ts";
import type { KubeObject } from "#kinds/object.ts";
import { findSchema } from "#kinds/schemas.ts";
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import { applyPatch } from "../apply/managed-fields.ts";
import { isObject, sortedByKey } from "../patch/json.ts";
import { applyJsonPatch, unknownJsonPatchFields } from "../patch/json-patch.ts";
import { goFormat } from "../patch/go-format.ts";
import { applyMergePatch } from "../patch/merge-patch.ts";
import { applyStrategicMergePatch } from "../patch/strategic.ts";
import type { Resource } from "../registry.ts";
import { badRequest } from "../status.ts";
import {
  asWarnings,
  checkBodySize,
  decodeValue,
  duplicateFieldTexts,
  tooDeep,
  unknownFieldTexts,
} from "../wire/body.ts";
import { isTextTooDeep, isValueTooDeep } from "../wire/depth.ts";
import { describeJsonError } from "../wire/json-error.ts";
import { parseYaml } from "../wire/yaml.ts";
import type { Answer } from "./answer.ts";
import { applyUpdate, checkNames, expectedKind, resetFieldsOf } from "./write.ts";
import { readWriteOptions } from "./write-options.ts";
import type { FieldValidation, WriteOptions } from "./write-options.ts";

export type PatchFormat = "json" | "merge" | "strategic" | "apply";

const formats: Readonly<Record<string, PatchFormat>> = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic",
  "application/apply-patch+yaml": "apply",
};

export async function patchObject(core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const format = patchFormat(request.http, request.resource);
  checkBodySize(request.http);
  const options = readWriteOptions("PatchOptions", request.http, request.query, format === "apply");
  if (format === "apply") return apply(core, request, options);
  const patch = parsePatch(request.http, format, options.fieldValidation, request.warnings);
  return applyUpdate(core, request, options, {
    mayCreate: false,
    produce(live) {
      if (live === undefined) throw badRequest("nothing to patch");
      return patched(request, live, patch, format, options);
    },
  });
}

export function patchFormat(http: HttpRequest, resource: Resource): PatchFormat {
  const type = ((http.headers["content-type"] ?? "").split(";")[0] ?? "").trim();
  const format = formats[type];
  if (format === undefined) {
    throw new StatusError("UnsupportedMediaType", "415: Unsupported Media Type", { details: {} });
  }
  if (format === "strategic" && resource.custom) {
    throw new StatusError(
      "UnsupportedMediaType",
      "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    );
  }
  return format;
}

export interface ParsedPatch {
  value: unknown;
  /** What the patch has twice, in the words for clients. */
  duplicates: string[];
}

export function parsePatch(
  http: HttpRequest,
  format: Exclude<PatchFormat, "apply">,
  fieldValidation: FieldValidation,
  warnings: string[],
): ParsedPatch {
  const text = Buffer.from(http.body).toString("utf8");
  if (isTextTooDeep(http.body))
    throw badRequest(format === "strategic" ? tooDeep : `error decoding patch: ${tooDeep}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const problem = describeJsonError(text);
    throw badRequest(format === "strategic" ? problem : `error decoding patch: ${problem}`);
  }
  if (format === "json" && fieldValidation !== "Ignore") {
    const unknown = unknownJsonPatchFields(value).map(
      (each) => `json patch unknown field ${JSON.stringify(each)}`,
    );
    if (unknown.length > 0) {
      if (fieldValidation === "Strict") throw badRequest(`strict decoding error: ${unknown.join(", ")}`);
      warnings.push(...unknown);
    }
  }
  if (fieldValidation === "Ignore" || isWithoutRepeats(text, value)) return { value, duplicates: [] };
  const duplicates = duplicateFieldTexts(findDuplicateFields(text));
  return {
    value,
    duplicates: format === "json" ? duplicates.map((each) => `json patch ${each}`) : duplicates,
  };
}

/** The patched object, decoded and defaulted. */
export function patched(
  request: ResourceRequest,
  live: KubeObject,
  patch: ParsedPatch,
  format: Exclude<PatchFormat, "apply">,
  options: WriteOptions,
): KubeObject {
  const { resource } = request;
  const { lookup, schema } = schemaOf(resource);
  const document = live as unknown as Record<string, unknown>;
  const result =
    format === "json"
      ? applyJsonPatch(document, patch.value)
      : format === "merge"
        ? applyMergePatch(document, patch.value)
        : applyStrategicMergePatch(document as never, patch.value, schema, lookup);
  const object = decodePatched(
    resource,
    result,
    patch.duplicates,
    options,
    request.warnings,
    format === "strategic" ? patch.value : undefined,
  );
  resource.kind.applyDefaults?.(object);
  checkNames(request, object);
  return object;
}

function schemaOf(resource: Resource): { schema: ReturnType<typeof findSchema>; lookup: typeof findSchema } {
  return { schema: resource.schema ?? findSchema(resource.kind.schemaName), lookup: findSchema };
}

function decodePatched(
  resource: Resource,
  result: unknown,
  duplicates: readonly string[],
  options: WriteOptions,
  warnings: string[],
  strategic?: unknown,
): KubeObject {
  if (typeof result !== "object" || result === null || Array.isArray(result)) {
    throw badRequest(`the patched document is not an object: ${patchedText(result)}`);
  }
  const expected = expectedKind(resource);
  try {
    return decodeValue(
      result as Record<string, unknown>,
      expected,
      (unknown) => [...duplicates, ...unknownFieldTexts(unknown.toSorted())],
      options.fieldValidation,
      warnings,
    );
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    const why = error.message.replace(/^.* cannot be handled as a [^:]*: /, "");
    const shown = strategic === undefined ? patchedText(result) : goFormat(strategic);
    const told = strategic === undefined ? why : restoreError(why);
    throw invalidError({ group: "", kind: "", name: "" }, [invalid("patch", shown, told)]);
  }
}

/** The patched document as upstream shows it: what the patch has touched sorted, the rest in the order of its type. */
function patchedText(document: unknown): string {
  return JSON.stringify(isObject(document) ? sortedByKey(document) : document);
}

const goKinds: Readonly<Record<string, string>> = { number: "int64", array: "slice", object: "map" };

/** Strategic merge patches are not decoded from JSON but from maps, whose errors upstream words otherwise. */
function restoreError(why: string): string {
  const parts = /^json: cannot unmarshal (\w+)(?: \S+)? into Go .* of type (\S+)$/.exec(why);
  if (parts === null) return why;
  const [, from = "", type = ""] = parts;
  const kind = goKinds[from] ?? from;
  if (type.startsWith("[]")) return `cannot restore slice from ${kind}`;
  if (type.startsWith("map[") || type === "v1.ResourceList") return `cannot restore map from ${kind}`;
  if (/^(u?int\d*|bool|float64|string)$/.test(type)) return `unrecognized type: ${type}`;
  return `cannot restore struct from: ${kind}`;
}

async function apply(core: ApiCore, request: ResourceRequest, options: WriteOptions): Promise<Answer> {
  const { resource, info } = request;
  const { groupVersion, kind } = resource;
  const { applied, duplicates } = parseApplied(request, { apiVersion: groupVersion, kind: kind.kind });
  return applyUpdate(core, request, options, {
    mayCreate: info.subresource === "",
    tracks: false,
    produce(live) {
      const result = applyPatch({
        live,
        applied: structuredClone(applied),
        manager: options.fieldManager,
        force: options.force ?? false,
        subresource: info.subresource,
        apiVersion: resource.groupVersion,
        schema: schemaOf(resource).schema,
        now: request.now,
        resetFields: resetFieldsOf(resource, info.subresource),
      });
      noteDuplicates(duplicates, options.fieldValidation, request.warnings);
      const object = decodePatched(
        resource,
        result,
        [],
        { ...options, fieldValidation: "Ignore" },
        request.warnings,
      );
      resource.kind.applyDefaults?.(object);
      checkNames(request, object);
      if (live === undefined) delete object.metadata.resourceVersion;
      return object;
    },
  });
}

/** The configuration in the body of an apply, which must be of the expected kind. */
export function parseApplied(
  request: ResourceRequest,
  expected: { apiVersion: string; kind: string },
): { applied: KubeObject; duplicates: string[] } {
  const text = Buffer.from(request.http.body).toString("utf8");
  let value: unknown;
  let duplicates: string[];
  try {
    ({ value, duplicates } = parseYaml(text));
    if (isValueTooDeep(value)) throw new Error(`yaml: ${tooDeep}`);
  } catch (error) {
    throw badRequest(
      `error decoding YAML: ${(error as Error).message.replace(/^yaml: /, "error converting YAML to JSON: yaml: ")}`,
    );
  }
  const document = (value ?? {}) as Record<string, unknown>;
  if (typeof document !== "object" || Array.isArray(document)) {
    const type = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
    throw badRequest(
      `error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${type} into Go value of type map[string]interface {}`,
    );
  }
  const { apiVersion, kind } = document;
  if (apiVersion !== expected.apiVersion || kind !== expected.kind) {
    throw badRequest(`invalid object type: ${groupVersionKindText(apiVersion, kind)}`);
  }
  const object = document as unknown as KubeObject;
  if (typeof object.metadata !== "object" || object.metadata === null) object.metadata = {};
  if (object.metadata.managedFields !== undefined && object.metadata.managedFields !== null) {
    throw badRequest("metadata.managedFields must be nil");
  }
  return { applied: object, duplicates };
}

/** As Go prints a GroupVersionKind; an apiVersion that can't be read leaves all of it empty. */
function groupVersionKindText(apiVersion: unknown, kind: unknown): string {
  const parts = typeof apiVersion === "string" ? apiVersion.split("/") : [];
  if (parts.length === 0 || parts.length > 2) return "/, Kind=";
  const [group, version] = parts.length === 1 ? ["", parts[0]] : parts;
  return `${group}/${version}, Kind=${typeof kind === "string" ? kind : ""}`;
}

/** Fields that are unknown are errors of the apply itself; only repeated keys are up to field validation, after it. */
export function noteDuplicates(
  duplicates: readonly string[],
  fieldValidation: FieldValidation,
  warnings: string[],
): void {
  if (duplicates.length === 0 || fieldValidation === "Ignore") return;
  if (fieldValidation === "Strict")
    throw badRequest(`error strict decoding YAML: error converting YAML to JSON: ${duplicates.join(", ")}`);
  warnings.push(...asWarnings(duplicates));
}
