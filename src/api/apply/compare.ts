/**
 * Fields of values, by schema: the set of fields that an object has, and which were added, changed or
 * removed between two objects. Rules: sigs.k8s.io/structured-merge-diff, package typed.
 */
import type { Schema } from "#kinds/schema.ts";
import { equalJson, isObject, own } from "#api/patch/json.ts";
import type { JsonObject } from "#api/patch/json.ts";
import { FieldSetBuilder } from "./field-set.ts";
import type { FieldSet } from "./field-set.ts";
import { elementSchema, isOpen, memberSchema } from "./schema-tree.ts";
import type { SchemaLookup } from "./schema-tree.ts";
import { deducedSchema, isNamedField, listElement, PathElementError, shapeOf } from "./typed-shape.ts";

export interface Comparison {
  added: FieldSet;
  modified: FieldSet;
  removed: FieldSet;
}

/** The fields that the object has: what its applier owns. */
export function fieldsOf(value: unknown, schema: Schema | undefined, lookup: SchemaLookup): FieldSet {
  const set = new FieldSetBuilder();
  collect(value, schema, lookup, [], set);
  return set.build();
}

function collect(
  value: unknown,
  schema: Schema | undefined,
  lookup: SchemaLookup,
  path: string[],
  set: FieldSetBuilder,
): void {
  const shape = shapeOf(schema, value);
  if (shape === "granular-map") {
    if (!isObject(value)) return;
    for (const key of Object.keys(value)) {
      const member = value[key];
      path.push(`f:${key}`);
      collect(member, memberOrDeduced(schema, key, lookup), lookup, path, set);
      const isLeaf = member === null || (isObject(member) && Object.keys(member).length === 0);
      if (isLeaf || !isNamedField(schema, key)) set.add(path);
      path.pop();
    }
  } else if ((shape === "set" || shape === "keyed-list") && schema !== undefined) {
    if (!Array.isArray(value)) return;
    const items = elementSchema(schema, lookup);
    const keys = value.map((element) => listElement(schema, shape, element, lookup));
    const repeated = new Set(keys.filter((key, index) => keys.indexOf(key) !== index));
    for (const [index, key] of keys.entries()) {
      path.push(key);
      // Of elements that share a key, no fields can be told apart.
      if (!repeated.has(key)) collect(value[index], items, lookup, path, set);
      set.add(path);
      path.pop();
    }
  } else set.add(path);
}

/** What changed from `before` to `after`. A missing object is `{}`. */
export function compareObjects(
  before: unknown,
  after: unknown,
  schema: Schema | undefined,
  lookup: SchemaLookup,
): Comparison {
  const walk: Walk = {
    added: new FieldSetBuilder(),
    modified: new FieldSetBuilder(),
    removed: new FieldSetBuilder(),
    path: [],
    lookup,
  };
  compare(before, after, schema, walk);
  return { added: walk.added.build(), modified: walk.modified.build(), removed: walk.removed.build() };
}

interface Walk {
  added: FieldSetBuilder;
  modified: FieldSetBuilder;
  removed: FieldSetBuilder;
  path: string[];
  lookup: SchemaLookup;
}

/** Undefined is absent; null is there. At most one of both is absent. */
function compare(before: unknown, after: unknown, schema: Schema | undefined, walk: Walk): void {
  if (before === after) return;
  const shape = shapeOf(schema, after === undefined ? before : after);
  const isMap = shape === "granular-map";
  const isList = shape === "set" || shape === "keyed-list";
  if ((!isMap && !isList) || (isHollow(before) && isHollow(after))) {
    if (before === undefined) walk.added.add(walk.path);
    else if (after === undefined) walk.removed.add(walk.path);
    else if (!equalJson(before, after)) walk.modified.add(walk.path);
    return;
  }
  if (isMap) compareMaps(before, after, schema, walk);
  else if (schema !== undefined) compareLists(before, after, schema, shape, walk);
  if (before === undefined) walk.added.add(walk.path);
  else if (after === undefined) walk.removed.add(walk.path);
}

/** Nothing to descend into: absent, null, empty, or not what the schema says. */
function isHollow(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return true;
  return Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0;
}

function compareMaps(before: unknown, after: unknown, schema: Schema | undefined, walk: Walk): void {
  const left = isObject(before) ? before : undefined;
  const right = isObject(after) ? after : undefined;
  if (left !== undefined)
    for (const key of Object.keys(left))
      compareMember(
        key,
        left[key],
        right === undefined ? undefined : memberOf(right, key, schema),
        schema,
        walk,
      );
  if (right !== undefined)
    for (const key of Object.keys(right))
      if (left === undefined || !Object.hasOwn(left, key))
        compareMember(
          key,
          left === undefined ? undefined : memberOf(left, key, schema),
          right[key],
          schema,
          walk,
        );
}

function compareMember(
  key: string,
  before: unknown,
  after: unknown,
  schema: Schema | undefined,
  walk: Walk,
): void {
  if (before === after) return;
  walk.path.push(`f:${key}`);
  compare(before, after, memberOrDeduced(schema, key, walk.lookup), walk);
  walk.path.pop();
}

/**
 * The member, or the zero value that upstream's Go types hold in its place: the fields of a struct that
 * are neither pointers nor omitted when empty always exist there, and so are never "added".
 */
function memberOf(object: JsonObject, key: string, schema: Schema | undefined): unknown {
  if (Object.hasOwn(object, key)) return object[key];
  if (schema === undefined || isOpen(schema)) return undefined;
  const zero = own(schema.properties, key)?.default;
  if (zero !== undefined) return zero;
  return schema.required?.includes(key) === true ? null : undefined;
}

function compareLists(
  before: unknown,
  after: unknown,
  schema: Schema,
  shape: "set" | "keyed-list",
  walk: Walk,
): void {
  const left = groupElements(before, schema, shape, walk.lookup);
  const right = groupElements(after, schema, shape, walk.lookup);
  const items = elementSchema(schema, walk.lookup);
  for (const [element, values] of left)
    compareElements(element, values, right.get(element) ?? [], items, walk);
  for (const [element, values] of right)
    if (!left.has(element)) compareElements(element, [], values, items, walk);
}

/** Elements that share a key are compared as a whole. */
function compareElements(
  element: string,
  before: readonly unknown[],
  after: readonly unknown[],
  schema: Schema | undefined,
  walk: Walk,
): void {
  if (before.length <= 1 && after.length <= 1) {
    compareElement(element, before[0], after[0], schema, walk);
    return;
  }
  if (equalJson(before, after)) return;
  const set = before.length === 0 ? walk.added : after.length === 0 ? walk.removed : walk.modified;
  walk.path.push(element);
  set.add(walk.path);
  walk.path.pop();
}

function groupElements(
  list: unknown,
  schema: Schema,
  shape: "set" | "keyed-list",
  lookup: SchemaLookup,
): Map<string, unknown[]> {
  const groups = new Map<string, unknown[]>();
  for (const [key, element] of keyedElements(list, schema, shape, lookup)) {
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [element]);
    else group.push(element);
  }
  return groups;
}

function compareElement(
  element: string,
  before: unknown,
  after: unknown,
  schema: Schema | undefined,
  walk: Walk,
): void {
  if (before === after) return;
  walk.path.push(element);
  compare(before, after, schema, walk);
  walk.path.pop();
}

/** Elements by path element, in order. The first of several with one key counts; those without a key don't. */
export function indexElements(
  list: unknown,
  schema: Schema,
  shape: "set" | "keyed-list",
  lookup: SchemaLookup,
): Map<string, unknown> {
  const result = new Map<string, unknown>();
  for (const [key, element] of keyedElements(list, schema, shape, lookup))
    if (!result.has(key)) result.set(key, element);
  return result;
}

function keyedElements(
  list: unknown,
  schema: Schema,
  shape: "set" | "keyed-list",
  lookup: SchemaLookup,
): [string, unknown][] {
  const keyed: [string, unknown][] = [];
  for (const element of Array.isArray(list) ? list : []) {
    try {
      keyed.push([listElement(schema, shape, element, lookup), element]);
    } catch (error) {
      if (!(error instanceof PathElementError)) throw error;
    }
  }
  return keyed;
}

export function memberOrDeduced(
  schema: Schema | undefined,
  key: string,
  lookup: SchemaLookup,
): Schema | undefined {
  return (
    memberSchema(schema, key, lookup) ??
    (schema?.["x-kubernetes-preserve-unknown-fields"] === true ? deducedSchema : undefined)
  );
}
