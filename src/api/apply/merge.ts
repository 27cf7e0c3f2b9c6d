/**
 * Merging an applied configuration into the live object, and taking fields out of an object, by schema.
 * Results share subtrees with their inputs. Rules: sigs.k8s.io/structured-merge-diff, package typed.
 */
import { setMember } from "#base/member.ts";
import type { Schema } from "#kinds/schema.ts";
import { isObject } from "#api/patch/json.ts";
import type { JsonObject } from "#api/patch/json.ts";
import { indexElements, memberOrDeduced } from "./compare.ts";
import { childrenOf, isEmpty, isMember, nodeOf } from "./field-set.ts";
import type { FieldSet } from "./field-set.ts";
import { elementSchema } from "./schema-tree.ts";
import type { SchemaLookup } from "./schema-tree.ts";
import { isNamedField, listElement, shapeOf } from "./typed-shape.ts";

/** `config` wins wherever both have a value that can't be merged. Undefined is absent. */
export function mergeConfig(
  live: unknown,
  config: unknown,
  schema: Schema | undefined,
  lookup: SchemaLookup,
): unknown {
  if (config === undefined) return live;
  if (live === undefined) return config;
  const shape = shapeOf(schema, config);
  if (shape === "granular-map") {
    const left = isObject(live) ? live : {};
    const right = isObject(config) ? config : {};
    if (Object.keys(left).length === 0 && Object.keys(right).length === 0) return config;
    const result: JsonObject = {};
    for (const key of Object.keys(left))
      setMember(
        result,
        key,
        Object.hasOwn(right, key)
          ? mergeConfig(left[key], right[key], memberOrDeduced(schema, key, lookup), lookup)
          : left[key],
      );
    for (const key of Object.keys(right)) if (!Object.hasOwn(left, key)) setMember(result, key, right[key]);
    return result;
  }
  if ((shape === "set" || shape === "keyed-list") && schema !== undefined) {
    const left = indexElements(live, schema, shape, lookup);
    const right = indexElements(config, schema, shape, lookup);
    if (left.size === 0 && right.size === 0) return config;
    return mergeLists(left, right, (a, b) => mergeConfig(a, b, elementSchema(schema, lookup), lookup));
  }
  return config;
}

/**
 * Elements in both lists follow the configuration's order; those of the live list alone stay before the
 * shared element that they stood before.
 */
function mergeLists(
  live: Map<string, unknown>,
  config: Map<string, unknown>,
  merge: (live: unknown, config: unknown) => unknown,
): unknown[] {
  const liveOrder = [...live.keys()];
  const configOrder = [...config.keys()];
  const shared = configOrder.filter((element) => live.has(element));
  const result: unknown[] = [];
  let nextShared = shared.shift();
  let left = 0;
  let right = 0;
  while (left < liveOrder.length || right < configOrder.length) {
    const mine = liveOrder[left];
    const theirs = configOrder[right];
    if (mine !== undefined && theirs !== undefined) {
      if (mine === theirs) {
        result.push(merge(live.get(mine), config.get(theirs)));
        left++;
        right++;
        nextShared = shared.shift();
        continue;
      }
      if (config.has(mine) && nextShared !== undefined && nextShared !== mine) {
        left++;
        continue;
      }
    }
    if (mine !== undefined && !config.has(mine)) {
      result.push(live.get(mine));
      left++;
      continue;
    }
    if (theirs === undefined) {
      left++;
      continue;
    }
    result.push(merge(live.get(theirs), config.get(theirs)));
    right++;
    if (nextShared === theirs) nextShared = shared.shift();
  }
  return result;
}

/** The value without the fields of the set. What is empty after that goes too (undefined). */
export function removeFields(
  value: unknown,
  set: FieldSet,
  schema: Schema | undefined,
  lookup: SchemaLookup,
): unknown {
  const shape = shapeOf(schema, value);
  if (shape === "granular-map") {
    if (!isObject(value)) return undefined;
    const result: JsonObject = {};
    for (const key of Object.keys(value)) {
      const node = set[`f:${key}`];
      if (node === undefined) setMember(result, key, value[key]);
      else if (!isMember(node)) {
        const kept = removeFields(value[key], node, memberOrDeduced(schema, key, lookup), lookup);
        if (kept !== undefined) setMember(result, key, kept);
      }
    }
    return Object.keys(result).length === 0 ? undefined : result;
  }
  if ((shape === "set" || shape === "keyed-list") && schema !== undefined) {
    if (!Array.isArray(value)) return undefined;
    const items = elementSchema(schema, lookup);
    const result: unknown[] = [];
    for (const element of value) {
      const node = set[listElement(schema, shape, element, lookup)];
      if (node === undefined) result.push(element);
      else if (!isMember(node)) result.push(removeFields(element, node, items, lookup) ?? {});
    }
    return result.length === 0 ? undefined : result;
  }
  return shape === "scalar" ? value : undefined;
}

/** The set with the fields of structs added wherever something below them is in it. */
export function withNamedFields(set: FieldSet, schema: Schema | undefined, lookup: SchemaLookup): FieldSet {
  const result: Record<string, FieldSet> = {};
  for (const element of Object.keys(set)) {
    if (element === ".") continue;
    const node = set[element] as FieldSet;
    const key = element.slice(2);
    const isField = element.startsWith("f:");
    const below = isField ? memberOrDeduced(schema, key, lookup) : elementSchema(schema, lookup);
    const children = childrenOf(node);
    const expanded = isEmpty(children) ? children : withNamedFields(children, below, lookup);
    const member = isMember(node) || (isField && isNamedField(schema, key));
    const kept = nodeOf(member, expanded);
    if (kept !== undefined) result[element] = kept;
  }
  return result;
}
