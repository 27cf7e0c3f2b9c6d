/**
 * Validation of a custom resource's value against its schema, in upstream's texts (k8s.io/kube-openapi,
 * validation/validate). On an update, a part that did not change is not judged again (ratcheting).
 */
import { duplicate, invalid, notSupported, required, tooMany, typeInvalid } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import { validateMetadataParts } from "#kinds/metadata.ts";
import type { ObjectMeta } from "#kinds/object.ts";
import type { Schema } from "#kinds/schema.ts";
import { equalJson, isObject, own } from "#api/patch/json.ts";
import type { JsonObject } from "#api/patch/json.ts";
import { matchesFormat } from "./formats.ts";
import { goSyntax, goValue } from "./go-value.ts";
import { isEmbedded } from "./structural.ts";

/** `path` is "" for a whole object. `old` is the same part of the stored object, undefined where there is none. */
export function validateValue(value: unknown, schema: Schema, path = "", old?: unknown): FieldError[] {
  if (old !== undefined && equalJson(value, old)) return [];
  if (value === null && schema.nullable === true) return [];
  const wrongType = typeError(value, schema, path);
  const errors: FieldError[] = wrongType === undefined ? [] : [wrongType];
  errors.push(...validateCompositions(value, schema, path));
  if (typeof value === "string") errors.push(...validateString(value, schema, path));
  if (typeof value === "number") errors.push(...validateNumber(value, schema, path));
  if (Array.isArray(value)) errors.push(...validateList(value, schema, path, old));
  if (schema.enum !== undefined && !schema.enum.some((each) => equalJson(each, value)))
    errors.push(
      notSupported(
        path,
        goValue(value),
        schema.enum.map((each) => (typeof each === "string" ? each : JSON.stringify(each))),
      ),
    );
  if (isObject(value)) errors.push(...validateObject(value, schema, path, old));
  return errors;
}

/** x-kubernetes-list-type and embedded objects, which the schema's keywords do not cover. */
export function validateInvariants(value: unknown, schema: Schema, path = ""): FieldError[] {
  const errors = validateEmbedded(value, schema, path);
  errors.push(...validateListTypes(value, schema, path));
  return errors;
}

function typeError(value: unknown, schema: Schema, path: string): FieldError | undefined {
  const expected =
    schema["x-kubernetes-int-or-string"] === true
      ? ["integer", "string"]
      : schema.type === undefined
        ? []
        : [schema.type];
  const actual = typeName(value);
  const fits =
    expected.length === 0 ||
    expected.includes(actual as "string") ||
    (actual === "integer" && expected.includes("number"));
  if (fits) return undefined;
  return typeInvalid(
    path,
    actual,
    `${path} in body must be of type ${expected.join(",")}: ${JSON.stringify(actual)}`,
  );
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

/** anyOf, oneOf, allOf and not. Their own errors name no field, as upstream's do. */
function validateCompositions(value: unknown, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const composite = (text: string) => invalid("<nil>", "", `${JSON.stringify(path)} must ${text}`);
  const { anyOf, oneOf, allOf, not } = schema;
  if (anyOf !== undefined) {
    const failures = anyOf.map((each) => validateValue(value, each, path));
    if (!failures.some((each) => each.length === 0))
      errors.push(composite("validate at least one schema (anyOf)"), ...bestOf(failures));
  }
  if (oneOf !== undefined) {
    const failures = oneOf.map((each) => validateValue(value, each, path));
    const valid = failures.filter((each) => each.length === 0).length;
    if (valid === 0)
      errors.push(
        composite("validate one and only one schema (oneOf). Found none valid"),
        ...bestOf(failures),
      );
    else if (valid > 1)
      errors.push(composite(`validate one and only one schema (oneOf). Found ${valid} valid alternatives`));
  }
  if (allOf !== undefined) {
    const failures = allOf.flatMap((each) => validateValue(value, each, path));
    if (failures.length > 0) errors.push(...failures, composite("validate all the schemas (allOf)"));
  }
  if (not !== undefined && validateValue(value, not, path).length === 0)
    errors.push(composite("not validate the schema (not)"));
  return errors;
}

/** The failures of the alternative that came nearest. */
function bestOf(failures: readonly FieldError[][]): FieldError[] {
  let best: FieldError[] = failures[0] ?? [];
  for (const each of failures) if (each.length < best.length) best = each;
  return best;
}

function validateString(value: string, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const length = Array.from(value).length;
  if (schema.maxLength !== undefined && length > schema.maxLength)
    errors.push({
      reason: "FieldValueTooLong",
      field: path,
      message: `Too long: may not be more than ${schema.maxLength} bytes`,
    });
  if (schema.minLength !== undefined && length < schema.minLength)
    errors.push(invalid(path, value, `${path} in body should be at least ${schema.minLength} chars long`));
  if (schema.pattern !== undefined && !patternOf(schema.pattern).test(value))
    errors.push(invalid(path, value, `${path} in body should match '${schema.pattern}'`));
  if (
    schema.format !== undefined &&
    schema.type === "string" &&
    matchesFormat(schema.format, value) === false
  )
    errors.push(
      typeInvalid(path, value, `${path} in body must be of type ${schema.format}: ${JSON.stringify(value)}`),
    );
  return errors;
}

const patterns = new Map<string, RegExp>();
const patternsMax = 1_000;

/** A compiled pattern. Go's (RE2) syntax is JavaScript's but for a few escapes and leading flags. */
export function patternOf(pattern: string): RegExp {
  let compiled = patterns.get(pattern);
  if (compiled === undefined) {
    const [, flags = "", rest = pattern] = /^\(\?([ims]+)\)([^]*)$/.exec(pattern) ?? [];
    compiled = new RegExp(
      rest
        .replaceAll(/\\A/g, "^")
        .replaceAll(/\\z/g, "$")
        .replaceAll(/\(\?P</g, "(?<")
        .replaceAll(/\[\[:(\w+):\]\]/g, (_all, name: string) => posixClasses[name] ?? ""),
      flags,
    );
    if (patterns.size >= patternsMax) patterns.clear();
    patterns.set(pattern, compiled);
  }
  return compiled;
}

const posixClasses: Readonly<Record<string, string>> = {
  alpha: "[A-Za-z]",
  digit: "[0-9]",
  alnum: "[A-Za-z0-9]",
  lower: "[a-z]",
  upper: "[A-Z]",
  space: "\\s",
  word: "\\w",
};

function validateNumber(value: number, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { minimum, maximum, multipleOf } = schema;
  if (multipleOf !== undefined && Math.abs(value / multipleOf - Math.round(value / multipleOf)) > 1e-9)
    errors.push(invalid(path, value, `${path} in body should be a multiple of ${multipleOf}`));
  if (maximum !== undefined) {
    if (schema.exclusiveMaximum === true && value >= maximum)
      errors.push(invalid(path, value, `${path} in body should be less than ${maximum}`));
    else if (value > maximum)
      errors.push(invalid(path, value, `${path} in body should be less than or equal to ${maximum}`));
  }
  if (minimum !== undefined) {
    if (schema.exclusiveMinimum === true && value <= minimum)
      errors.push(invalid(path, value, `${path} in body should be greater than ${minimum}`));
    else if (value < minimum)
      errors.push(invalid(path, value, `${path} in body should be greater than or equal to ${minimum}`));
  }
  return errors;
}

function validateList(list: unknown[], schema: Schema, path: string, old: unknown): FieldError[] {
  const errors: FieldError[] = [];
  const { items } = schema;
  if (items !== undefined)
    for (const [index, each] of list.entries())
      errors.push(...validateValue(each, items, `${path}[${index}]`, correlated(list, index, schema, old)));
  if (schema.minItems !== undefined && list.length < schema.minItems)
    errors.push(invalid(path, list.length, `${path} in body should have at least ${schema.minItems} items`));
  if (schema.maxItems !== undefined && list.length > schema.maxItems)
    errors.push(tooMany(path, list.length, schema.maxItems));
  return errors;
}

/** The element of the old list that this one continues: by key in a list that merges by key, else none. */
function correlated(list: unknown[], index: number, schema: Schema, old: unknown): unknown {
  if (!Array.isArray(old) || schema["x-kubernetes-list-type"] !== "map") return undefined;
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const element = list[index];
  if (!isObject(element)) return undefined;
  return old.find(
    (each) => isObject(each) && keys.every((key) => equalJson(each[key], element[key])),
  ) as unknown;
}

function validateObject(object: JsonObject, schema: Schema, path: string, old: unknown): FieldError[] {
  const errors: FieldError[] = [];
  const keys = Object.keys(object);
  if (schema.minProperties !== undefined && keys.length < schema.minProperties)
    errors.push(
      invalid(path, keys.length, `${path} in body should have at least ${schema.minProperties} properties`),
    );
  if (schema.maxProperties !== undefined && keys.length > schema.maxProperties)
    errors.push(tooMany(path, keys.length, schema.maxProperties));
  const isWhole = path === "" || isEmbedded(schema);
  for (const key of schema.required ?? [])
    if (!Object.hasOwn(object, key)) errors.push(required(childPath(path, key)));
  for (const key of keys.sort()) {
    if (isWhole && (key === "metadata" || key === "apiVersion" || key === "kind")) continue;
    const known =
      own(schema.properties, key) ??
      (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined);
    if (known === undefined) continue;
    const before = isObject(old) ? own(old, key) : undefined;
    errors.push(...validateValue(object[key], known, childPath(path, key), before));
  }
  return errors;
}

function childPath(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function validateEmbedded(value: unknown, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (path !== "" && isEmbedded(schema) && isObject(value)) {
    for (const key of ["apiVersion", "kind"])
      if (typeof value[key] !== "string" || value[key] === "")
        errors.push(required(`${path}.${key}`, "must not be empty"));
    if (isObject(value["metadata"]))
      errors.push(...validateMetadataParts(value["metadata"] as ObjectMeta, `${path}.metadata`));
  }
  forEachChild(value, schema, path, (child, childSchema, at) =>
    errors.push(...validateEmbedded(child, childSchema, at)),
  );
  return errors;
}

function validateListTypes(value: unknown, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const type = schema["x-kubernetes-list-type"];
  if (Array.isArray(value) && (type === "set" || type === "map")) {
    const seen = new Set<string>();
    for (const [index, element] of value.entries()) {
      const identity = type === "set" ? element : keysOf(element, schema["x-kubernetes-list-map-keys"] ?? []);
      const text = goSyntax(identity);
      if (seen.has(text)) errors.push(duplicate(`${path}[${index}]`, goValue(identity)));
      seen.add(text);
    }
  }
  forEachChild(value, schema, path, (child, childSchema, at) =>
    errors.push(...validateListTypes(child, childSchema, at)),
  );
  return errors;
}

function keysOf(element: unknown, keys: readonly string[]): JsonObject {
  const result: JsonObject = {};
  if (isObject(element)) for (const key of keys) if (Object.hasOwn(element, key)) result[key] = element[key];
  return result;
}

/** Visits members and elements that have a schema (metadata, which has a schema of its own, not). */
export function forEachChild(
  value: unknown,
  schema: Schema,
  path: string,
  visit: (child: unknown, schema: Schema, path: string) => void,
): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items !== undefined)
      for (const [index, each] of value.entries()) visit(each, items, `${path}[${index}]`);
    return;
  }
  if (!isObject(value)) return;
  for (const key of Object.keys(value)) {
    const property = own(schema.properties, key);
    if (property !== undefined) {
      if (property.$ref === undefined) visit(value[key], property, childPath(path, key));
    } else if (typeof schema.additionalProperties === "object")
      visit(value[key], schema.additionalProperties, `${path}[${key}]`);
  }
}
