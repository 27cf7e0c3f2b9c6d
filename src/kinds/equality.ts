/** Deep equality and copies of plain JSON values. Null, undefined, and empty lists and maps are alike, as in upstream's semantic equality. */

import { setMember } from "#base/member.ts";

export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (isEmpty(a) && isEmpty(b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((each, index) => deepEqual(each, b[index]));
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const of = (owner: Record<string, unknown>, key: string): unknown =>
    Object.hasOwn(owner, key) ? owner[key] : undefined;
  for (const key of Object.keys(left)) if (!deepEqual(left[key], of(right, key))) return false;
  for (const key of Object.keys(right))
    if (!Object.hasOwn(left, key) && !deepEqual(undefined, right[key])) return false;
  return true;
}

/** A deep copy of a JSON value. */
export function copyOf<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((each: unknown) => copyOf(each)) as T;
  const result: Record<string, unknown> = {};
  for (const [key, each] of Object.entries(value)) setMember(result, key, copyOf(each));
  return result as T;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}
