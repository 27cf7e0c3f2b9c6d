/** JSON merge patch (RFC 7386): objects merge member by member, null removes, all else replaces. Objects that the patch names come out sorted. */
import { StatusError } from "#base/errors.ts";
import { setMember } from "#base/member.ts";
import { cloneJson, isObject, own, sortedByKey } from "./json.ts";
import type { JsonObject } from "./json.ts";

/** Neither argument is changed and the result shares nothing with them. The patch must be an object. */
export function applyMergePatch(doc: unknown, patch: unknown): JsonObject {
  if (patch === null) throw new StatusError("BadRequest", "Invalid JSON Patch");
  if (!isObject(patch)) {
    const type = Array.isArray(patch) ? "array" : typeof patch === "boolean" ? "bool" : typeof patch;
    throw new StatusError(
      "BadRequest",
      `error decoding patch: json: cannot unmarshal ${type} into Go value of type map[string]interface {}`,
    );
  }
  return merge(doc, patch);
}

/** A list replaces another as it is, but for the objects in it: sorted, and without members that are null. */
function pruned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(pruned);
  return isObject(value) ? merge(undefined, value) : value;
}

function merge(doc: unknown, patch: JsonObject): JsonObject {
  const result: JsonObject = {};
  if (isObject(doc)) {
    for (const key of Object.keys(doc))
      if (!Object.hasOwn(patch, key)) setMember(result, key, cloneJson(doc[key]));
  }
  const base = isObject(doc) ? doc : undefined;
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) continue;
    setMember(result, key, isObject(value) ? merge(own(base, key), value) : pruned(value));
  }
  return sortedByKey(result);
}
