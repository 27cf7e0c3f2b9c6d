/**
 * JSON patch (RFC 6902), with the liberties that upstream's implementation takes and clients have come
 * to rely on: negative indices count from the end, "replace" of a missing member adds it, a "test" for
 * null passes on a missing member. Why a patch does not apply is not told, as upstream does not either.
 */
import { StatusError } from "#base/errors.ts";
import { setMember } from "#base/member.ts";
import { cloneJson, equalJson, isObject, own } from "./json.ts";
import type { JsonObject } from "./json.ts";

/** More operations than this are refused. */
export const jsonPatchOperationsMax = 10_000;

/** Upstream's limit of what the copies of one patch may add: without it, forty of them make terabytes. */
const copiedCharactersMax = 3 * 1024 * 1024;

/** Applies the operations in order. Neither argument is changed and the result shares nothing with them. */
export function applyJsonPatch(doc: unknown, patch: unknown): unknown {
  const operations = decodeOperations(patch);
  if (operations.length > jsonPatchOperationsMax)
    throw new StatusError(
      "RequestEntityTooLarge",
      `Request entity too large: The allowed maximum operations in a JSON patch is ${jsonPatchOperationsMax}, got ${operations.length}`,
    );
  const root = { value: cloneJson(doc) };
  const walked = new Set<unknown>();
  let copied = 0;
  for (const operation of operations) {
    if (operation?.["op"] === "copy") {
      copied += copiedSize(root.value, operation, walked);
      if (copied > copiedCharactersMax) throw copiesTooMuch(copied);
    }
    if (!applyOperation(root, operation, walked)) throw doesNotApply();
  }
  for (const container of walked) sortInPlace(container);
  return root.value;
}

function copiedSize(document: unknown, operation: JsonObject, walked: Set<unknown>): number {
  const from = operation["from"];
  const source = typeof from === "string" ? findPlace(document, from, walked) : undefined;
  const found = source === undefined ? undefined : get(source);
  return found === undefined ? 0 : (JSON.stringify(found.value ?? null)?.length ?? 0);
}

function copiesTooMuch(size: number): StatusError {
  return new StatusError(
    "Invalid",
    `Unable to complete the copy, the accumulated size increase of copy is ${size}, exceeding the limit ${copiedCharactersMax}`,
  );
}

/** Paths of members that no operation has ("[0].comment"), for the fieldValidation of the request. */
export function unknownJsonPatchFields(patch: unknown): string[] {
  if (!Array.isArray(patch)) return [];
  return patch.flatMap((operation, index) =>
    isObject(operation)
      ? Object.keys(operation)
          .filter((key) => !["op", "path", "from", "value"].includes(key))
          .map((key) => `[${index}].${key}`)
      : [],
  );
}

function decodeOperations(patch: unknown): JsonObject[] {
  if (patch === null) return [];
  if (!Array.isArray(patch)) throw cannotDecode(patch, "[]handlers.jsonPatchOp");
  for (const operation of patch)
    if (!isObject(operation) && operation !== null) throw cannotDecode(operation, "handlers.jsonPatchOp");
  return patch as JsonObject[];
}

function cannotDecode(value: unknown, goType: string): StatusError {
  const type = Array.isArray(value)
    ? "array"
    : isObject(value)
      ? "object"
      : typeof value === "boolean"
        ? "bool"
        : typeof value;
  return new StatusError(
    "BadRequest",
    `error decoding patch: json: cannot unmarshal ${type} into Go value of type ${goType}`,
  );
}

function doesNotApply(): StatusError {
  return new StatusError("Invalid", "the server rejected our request due to an error in our request", {
    details: {},
  });
}

interface Place {
  container: JsonObject | unknown[];
  key: string;
}

/** False when the operation does not apply. */
function applyOperation(
  root: { value: unknown },
  operation: JsonObject | null,
  walked: Set<unknown>,
): boolean {
  const path = typeof operation?.["path"] === "string" ? operation["path"] : undefined;
  if (operation === null || path === undefined) return false;
  const value = cloneJson(operation["value"] ?? null);
  switch (operation["op"]) {
    case "add":
      return add(findPlace(root.value, path, walked), value);
    case "remove":
      return remove(findPlace(root.value, path, walked));
    case "replace":
      if (path !== "") return replace(findPlace(root.value, path, walked), value);
      if (typeof value !== "object" || value === null) return false;
      root.value = value;
      return true;
    case "test":
      return test(root.value, path, value, walked);
    case "move":
    case "copy": {
      if (typeof operation["from"] !== "string") return false;
      const source = findPlace(root.value, operation["from"], walked);
      const found = source === undefined ? undefined : get(source);
      if (source === undefined || found === undefined) return false;
      if (operation["op"] === "move" && !remove(source)) return false;
      return add(findPlace(root.value, path, walked), cloneJson(found.value ?? null));
    }
    default:
      return false;
  }
}

/** Adds the containers on the way to `walked`: upstream writes those sorted. */
function findPlace(doc: unknown, path: string, walked: Set<unknown>): Place | undefined {
  const tokens = path.split("/");
  if (tokens.length < 2) return undefined;
  let container: unknown = doc;
  for (const token of tokens.slice(1, -1)) {
    if (typeof container !== "object" || container === null) return undefined;
    walked.add(container);
    container = get({ container: container as JsonObject, key: unescape(token) })?.value;
  }
  if (typeof container !== "object" || container === null) return undefined;
  walked.add(container);
  return { container: container as JsonObject | unknown[], key: unescape(tokens.at(-1) ?? "") };
}

function sortInPlace(container: unknown): void {
  if (!isObject(container)) return;
  const members = Object.entries(container).sort(([left], [right]) => (left < right ? -1 : 1));
  for (const [key, value] of members) {
    delete container[key];
    setMember(container, key, value);
  }
}

function unescape(token: string): string {
  return token.replaceAll("~1", "/").replaceAll("~0", "~");
}

/** Undefined where a list has no such index; a missing member of an object has the value undefined. */
function get({ container, key }: Place): { value: unknown } | undefined {
  if (!Array.isArray(container)) return { value: own(container, key) };
  const index = indexWithin(key, container.length);
  return index === undefined ? undefined : { value: container[index] };
}

function add(place: Place | undefined, value: unknown): boolean {
  if (place === undefined) return false;
  const { container, key } = place;
  if (!Array.isArray(container)) {
    setMember(container, key, value);
    return true;
  }
  if (key === "-") {
    container.push(value);
    return true;
  }
  const index = indexWithin(key, container.length + 1);
  if (index === undefined) return false;
  container.splice(index, 0, value);
  return true;
}

function replace(place: Place | undefined, value: unknown): boolean {
  if (place === undefined) return false;
  const { container, key } = place;
  if (!Array.isArray(container)) {
    setMember(container, key, value);
    return true;
  }
  const index = indexWithin(key, container.length);
  if (index === undefined) return false;
  container[index] = value;
  return true;
}

function remove(place: Place | undefined): boolean {
  if (place === undefined) return false;
  const { container, key } = place;
  if (!Array.isArray(container)) {
    if (!Object.hasOwn(container, key)) return false;
    delete container[key];
    return true;
  }
  const index = indexWithin(key, container.length);
  if (index === undefined) return false;
  container.splice(index, 1);
  return true;
}

function test(doc: unknown, path: string, expected: unknown, walked: Set<unknown>): boolean {
  if (path === "") return equalJson(doc, expected);
  const place = findPlace(doc, path, walked);
  const found = place === undefined ? undefined : get(place);
  return found !== undefined && equalJson(found.value ?? null, expected);
}

function indexWithin(key: string, length: number): number | undefined {
  if (!/^[+-]?\d+$/.test(key)) return undefined;
  const index = Number(key);
  if (index >= length || index < -length) return undefined;
  return index < 0 ? index + length : index;
}
