/** Checks an applied configuration against the schema, as server-side apply does before it merges. */
import { StatusError } from "#base/errors.ts";
import type { Schema } from "#kinds/schema.ts";
import { goFormat, goTypeName } from "#api/patch/go-format.ts";
import { isObject } from "#api/patch/json.ts";
import type { JsonObject } from "#api/patch/json.ts";
import { memberOrDeduced } from "./compare.ts";
import { printPath } from "./field-set.ts";
import { elementSchema } from "./schema-tree.ts";
import type { SchemaLookup } from "./schema-tree.ts";
import { listElement, PathElementError, shapeOf } from "./typed-shape.ts";

/** Throws upstream's plain 500 where the configuration does not fit the schema. */
export function requireTyped(applied: JsonObject, schema: Schema | undefined, lookup: SchemaLookup): void {
  const problems: string[] = [];
  check(applied, schema, lookup, "", problems);
  if (problems.length === 0) return;
  const metadata = isObject(applied["metadata"]) ? applied["metadata"] : {};
  const apiVersion = String(applied["apiVersion"]);
  const version = apiVersion.includes("/") ? apiVersion : `/${apiVersion}`;
  const text = problems.length === 1 ? problems[0] : `errors:\n  ${problems.join("\n  ")}`;
  throw new StatusError(
    "",
    `failed to create typed patch object (${textOf(metadata["namespace"])}/${textOf(metadata["name"])}; ` +
      `${version}, Kind=${String(applied["kind"])}): ${text}`,
  );
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function check(
  value: unknown,
  schema: Schema | undefined,
  lookup: SchemaLookup,
  path: string,
  problems: string[],
): void {
  if (value === null || schema === undefined) return;
  const problem = (text: string) => void problems.push(`${path}: ${text}`);
  const shape = shapeOf(schema, value);
  if (schema.type === "object") {
    if (!isObject(value)) return problem(`expected map, got &{${goFormat(value)}}`);
    const isStruct = schema.properties !== undefined || shape === "granular-map";
    if (!isStruct) return;
    for (const key of Object.keys(value)) {
      const member = memberOrDeduced(schema, key, lookup);
      if (member === undefined && isClosed(schema))
        problems.push(`${path}.${key}: field not declared in schema`);
      else check(value[key], member, lookup, `${path}.${key}`, problems);
    }
  } else if (schema.type === "array") {
    if (!Array.isArray(value)) return problem(`expected list, got &{${goFormat(value)}}`);
    checkElements(value, schema, lookup, path, problems);
  } else if (schema.type === "string") {
    if (typeof value !== "string")
      problem(`expected string, got &value.valueUnstructured{Value:${goSyntax(value)}}`);
  } else if (schema.type === "boolean") {
    if (typeof value !== "boolean") problem(`expected boolean, got &{${goFormat(value)}}`);
  } else if (schema.type === "integer" || schema.type === "number") {
    if (typeof value !== "number") problem(`expected numeric (int or float), got ${goTypeName(value)}`);
  } else if (shape === "scalar" && typeof value === "object")
    problem(`expected any scalar, got &{${goFormat(value)}}`);
}

function checkElements(
  list: unknown[],
  schema: Schema,
  lookup: SchemaLookup,
  path: string,
  problems: string[],
): void {
  const shape = shapeOf(schema, list);
  const items = elementSchema(schema, lookup);
  const seen = new Set<string>();
  for (const [index, element] of list.entries()) {
    let at = `${path}[${index}]`;
    if (shape === "set" || shape === "keyed-list") {
      let key: string;
      try {
        key = listElement(schema, shape, element, lookup);
      } catch (error) {
        if (!(error instanceof PathElementError)) throw error;
        problems.push(`${path}: element ${index}: ${error.message}`);
        return;
      }
      if (seen.has(key)) problems.push(`${path}: duplicate entries for key ${printPath([key])}`);
      seen.add(key);
      at = `${path}${printPath([key])}`;
    }
    check(element, items, lookup, at, problems);
  }
}

/** Whether fields that the schema does not name are errors. */
function isClosed(schema: Schema): boolean {
  return (
    schema.properties !== undefined &&
    schema.additionalProperties === undefined &&
    schema["x-kubernetes-preserve-unknown-fields"] !== true
  );
}

/** Go's %#v of a decoded scalar. */
function goSyntax(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : goFormat(value);
}
