/**
 * Strategic merge patch: a merge patch that knows which lists merge by key, and directives inside the
 * patch ($patch, $retainKeys, $setElementOrder/x, $deleteFromPrimitiveList/x). Rules and error texts are
 * those of k8s.io/apimachinery, pkg/util/strategicpatch; the list order rules are its design proposal
 * "preserve order in strategic merge patch".
 */
import { StatusError } from "#base/errors.ts";
import { setMember } from "#base/member.ts";
import type { Schema } from "#kinds/schema.ts";
import { findSchema } from "#kinds/schemas.ts";
import { elementSchema, memberSchema, resolveSchema } from "#api/apply/schema-tree.ts";
import type { SchemaLookup } from "#api/apply/schema-tree.ts";
import { goFormat, goTypeName } from "./go-format.ts";
import { cloneJson, isObject, own } from "./json.ts";
import type { JsonObject } from "./json.ts";

/** Neither argument is changed and the result shares nothing with them. */
export function applyStrategicMergePatch(
  doc: JsonObject,
  patch: unknown,
  schema: Schema | undefined,
  lookup: SchemaLookup = findSchema,
): JsonObject {
  if (patch === null) return cloneJson(doc);
  if (!isObject(patch)) {
    const type = Array.isArray(patch) ? "array" : typeof patch === "boolean" ? "bool" : typeof patch;
    throw new StatusError(
      "BadRequest",
      `json: cannot unmarshal ${type} into Go value of type map[string]interface {}`,
    );
  }
  return mergeMap(cloneJson(doc), cloneJson(patch), resolveSchema(schema, lookup), lookup);
}

const directive = "$patch";
const retainKeys = "$retainKeys";
const deletePrefix = "$deleteFromPrimitiveList";
const orderPrefix = "$setElementOrder";

/** Both maps are the caller's own copies: they are changed and become part of the result. */
function mergeMap(
  original: JsonObject,
  patch: JsonObject,
  schema: Schema | undefined,
  lookup: SchemaLookup,
): JsonObject {
  if (Object.hasOwn(patch, directive)) {
    if (patch[directive] === "delete") return {};
    if (patch[directive] !== "replace") throw badDirective(patch);
    delete patch[directive];
    return patch;
  }
  applyRetainKeys(original, patch);
  applyElementOrders(original, patch, schema, lookup);
  for (const patchKey of Object.keys(patch)) {
    const value = patch[patchKey];
    const isDeletion = patchKey.startsWith(deletePrefix);
    const key = isDeletion ? directiveTarget(patchKey, deletePrefix) : patchKey;
    if (value === null) {
      delete original[key];
      continue;
    }
    const current = own(original, key);
    if (current === undefined || goTypeName(current) !== goTypeName(value)) {
      if (isDeletion) continue;
      const cleaned = withoutDirectives(value);
      if (cleaned === undefined) delete original[key];
      else setMember(original, key, cleaned);
      continue;
    }
    const fieldSchema = memberSchema(schema, key, lookup);
    const strategy = patchStrategy(fieldSchema);
    if (isObject(current) && isObject(value))
      setMember(
        original,
        key,
        strategy === "replace" ? value : mergeMap(current, value, fieldSchema, lookup),
      );
    else if (Array.isArray(current) && Array.isArray(value))
      setMember(
        original,
        key,
        strategy === "merge" ? mergeList(current, value, fieldSchema, lookup, isDeletion) : value,
      );
    else setMember(original, key, value);
  }
  return original;
}

/** The strategy besides retainKeys, which needs none here: the directive speaks for itself. */
function patchStrategy(schema: Schema | undefined): string {
  const strategies = (schema?.["x-kubernetes-patch-strategy"] ?? "").split(",");
  return strategies.find((each) => each !== "retainKeys") ?? "";
}

function directiveTarget(key: string, prefix: string): string {
  if (key.startsWith(`${prefix}/`)) return key.slice(prefix.length + 1);
  throw new StatusError(
    "BadRequest",
    prefix === deletePrefix
      ? "invalid patch format of primitive list"
      : "invalid patch format of setElementOrder list",
  );
}

/** Removes from the original what the patch's list of keys to retain does not name. */
function applyRetainKeys(original: JsonObject, patch: JsonObject): void {
  if (!Object.hasOwn(patch, retainKeys)) return;
  const keys = patch[retainKeys];
  delete patch[retainKeys];
  const malformed = new StatusError("BadRequest", "invalid patch format of retainKeys");
  if (!Array.isArray(keys)) throw malformed;
  const retained = new Set<unknown>(keys);
  for (const key of Object.keys(patch)) {
    if (patch[key] === null || key.startsWith(deletePrefix) || key.startsWith(orderPrefix)) continue;
    if (!retained.has(key)) throw malformed;
  }
  for (const key of Object.keys(original)) if (!retained.has(key)) delete original[key];
}

/** Merges each list that has a $setElementOrder beside it, orders it, and takes both out of the patch. */
function applyElementOrders(
  original: JsonObject,
  patch: JsonObject,
  schema: Schema | undefined,
  lookup: SchemaLookup,
): void {
  for (const orderKey of Object.keys(patch)) {
    if (!orderKey.startsWith(orderPrefix)) continue;
    const order = asList(patch[orderKey]);
    delete patch[orderKey];
    const key = directiveTarget(orderKey, orderPrefix);
    const current = Object.hasOwn(original, key) ? asList(original[key]) : undefined;
    const change = Object.hasOwn(patch, key) ? asList(patch[key]) : undefined;
    const fieldSchema = memberSchema(schema, key, lookup);
    const mergeKey = fieldSchema?.["x-kubernetes-patch-merge-key"] ?? "";
    checkPatchFollowsOrder(change ?? [], order, mergeKey);
    if (current === undefined && change === undefined) continue;
    let merged = current ?? change ?? [];
    if (current !== undefined && change !== undefined)
      merged =
        patchStrategy(fieldSchema) === "merge"
          ? mergeList([...current], change, fieldSchema, lookup, false)
          : change;
    requireSameElementTypes(current ?? [], change ?? []);
    setMember(original, key, orderElements(merged, order, current ?? [], mergeKey));
    delete patch[key];
  }
}

function asList(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  throw internal(`expected a []interface {}, but received a ${goTypeName(value)}`);
}

/** The patch's elements (deletions aside) must stand in the order list, in its order. */
function checkPatchFollowsOrder(patch: unknown[], order: unknown[], mergeKey: string): void {
  if (patch.length === 0 || order.length === 0) return;
  const kept = patch.filter((each) => !(isObject(each) && Object.hasOwn(each, directive)));
  let next = 0;
  for (const position of order) {
    if (next === kept.length) return;
    if (keyOf(kept[next], mergeKey) === keyOf(position, mergeKey)) next++;
  }
  if (next < kept.length)
    throw internal(
      `The order in patch list:\n${goFormat(patch)}\n doesn't match ${orderPrefix} list:\n${goFormat(order)}\n`,
    );
}

function mergeList(
  current: unknown[],
  patch: unknown[],
  schema: Schema | undefined,
  lookup: SchemaLookup,
  isDeletion: boolean,
): unknown[] {
  if (current.length === 0 && patch.length === 0) return current;
  requireSameElementTypes(current, patch);
  if (!isObject(current[0] ?? patch[0])) {
    if (isDeletion) {
      const gone = new Set(patch);
      return current.filter((each) => !gone.has(each));
    }
    return orderElements([...new Set([...current, ...patch])], patch, current, "");
  }
  const mergeKey = schema?.["x-kubernetes-patch-merge-key"] ?? "";
  if (mergeKey === "") throw internal("cannot merge lists without merge key for type struct");
  const { base, changes } = applyElementDirectives(current, patch as JsonObject[], mergeKey);
  const element = elementSchema(schema, lookup);
  const merged = [...base];
  for (const change of changes) {
    const key = keyOf(change, mergeKey);
    const index = merged.findIndex((each) => isObject(each) && each[mergeKey] === key);
    if (index < 0) merged.push(change);
    else merged[index] = mergeMap(merged[index] as JsonObject, change, element, lookup);
  }
  return orderElements(merged, changes, base, mergeKey);
}

/** Takes the elements with `$patch` out of a list's patch and does what they say. */
function applyElementDirectives(
  current: unknown[],
  patch: JsonObject[],
  mergeKey: string,
): { base: unknown[]; changes: JsonObject[] } {
  let base = current;
  let replaces = false;
  const changes: JsonObject[] = [];
  for (const element of patch) {
    if (!Object.hasOwn(element, directive)) changes.push(element);
    else if (element[directive] === "delete") {
      const key = keyOf(element, mergeKey);
      base = base.filter((each) => !(isObject(each) && each[mergeKey] === key));
    } else if (element[directive] === "replace") replaces = true;
    else if (element[directive] === "merge")
      throw internal("merging lists cannot yet be specified in the patch");
    else throw badDirective(element);
  }
  return replaces ? { base: changes, changes: [] } : { base, changes };
}

/**
 * Orders a merged list: the elements that `patchOrder` names stand in its order, the others keep theirs
 * and are woven in by the order of the live list, as early as that allows.
 */
function orderElements(
  merged: unknown[],
  patchOrder: unknown[],
  liveOrder: unknown[],
  mergeKey: string,
): unknown[] {
  const wanted = positions(patchOrder, mergeKey);
  const live = positions(liveOrder, mergeKey);
  const fromPatch: unknown[] = [];
  const serverOnly: unknown[] = [];
  for (const each of merged) (wanted.has(keyOf(each, mergeKey)) ? fromPatch : serverOnly).push(each);
  const position = (order: Map<unknown, number>, each: unknown) => order.get(keyOf(each, mergeKey)) ?? -1;
  fromPatch.sort((a, b) => position(wanted, a) - position(wanted, b));
  serverOnly.sort((a, b) => position(live, a) - position(live, b));
  const result: unknown[] = [];
  let next = 0;
  for (const each of fromPatch) {
    const limit = position(live, each);
    while (next < serverOnly.length && limit >= 0) {
      const candidate = position(live, serverOnly[next]);
      if (candidate < 0 || candidate >= limit) break;
      result.push(serverOnly[next++]);
    }
    result.push(each);
  }
  return [...result, ...serverOnly.slice(next)];
}

function positions(order: unknown[], mergeKey: string): Map<unknown, number> {
  const result = new Map<unknown, number>();
  for (const [index, each] of order.entries()) {
    const key = keyOf(each, mergeKey);
    if (!result.has(key)) result.set(key, index);
  }
  return result;
}

/** What identifies an element: its merge key's value, or the scalar itself where the list has no key. */
function keyOf(element: unknown, mergeKey: string): unknown {
  if (mergeKey === "") return element;
  if (!isObject(element))
    throw internal(`expected a map[string]interface {}, but received a ${goTypeName(element)}`);
  if (!Object.hasOwn(element, mergeKey))
    throw internal(`map: ${goFormat(element)} does not contain declared merge key: ${mergeKey}`);
  return element[mergeKey];
}

function requireSameElementTypes(...lists: unknown[][]): void {
  const all = lists.flat(1);
  if (all.length === 0) throw internal("no elements in any of the given slices");
  const type = goTypeName(all[0]);
  if (type === "[]interface {}") throw internal("lists of lists are not supported");
  if (all.some((each) => goTypeName(each) !== type))
    throw internal(`list element types are not identical: ${goFormat(lists)}`);
}

/** A value that enters the document as a whole: without nulls in maps and without directives. Undefined: nothing is left to enter. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value
      .map((each) => (typeof each === "object" && each !== null ? withoutDirectives(each) : each))
      .filter((each) => each !== undefined);
  }
  if (!isObject(value)) return value;
  if (value[directive] === "delete") return undefined;
  const result: JsonObject = {};
  for (const key of Object.keys(value)) {
    if (key === directive || key === retainKeys) continue;
    if (key.startsWith(deletePrefix) || key.startsWith(orderPrefix)) continue;
    const member = value[key];
    if (member === null) continue;
    const cleaned = withoutDirectives(member);
    if (cleaned !== undefined) setMember(result, key, cleaned);
  }
  // An element that was nothing but `$patch: replace` is a mark, not an element.
  return Object.hasOwn(value, directive) && Object.keys(result).length === 0 ? undefined : result;
}

function badDirective(map: JsonObject): StatusError {
  const value = map[directive];
  const text = typeof value === "string" ? value : `%!s(${goTypeName(value)}=${goFormat(value)})`;
  return internal(`unknown patch type: ${text} in map: ${goFormat(map)}`);
}

/** Upstream answers these as plain errors: code 500 and no reason. */
function internal(message: string): StatusError {
  return new StatusError("", message);
}
