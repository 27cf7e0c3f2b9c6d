/** Equality of JSON values, and objects without what is empty. */

/** Semantic equality as upstream's: an absent field equals an undefined one, an empty map or list. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (isEmpty(a) && isEmpty(b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((each, index) => equal(each, b[index]));
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const name of Object.keys(left)) if (!equal(left[name], right[name])) return false;
  for (const name of Object.keys(right)) if (!(name in left) && !isEmpty(right[name])) return false;
  return true;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Leaves out fields that are undefined, 0, "" or an empty list: Go's `omitempty`. */
export function omitEmpty<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined || field === 0 || field === "" || field === null) continue;
    if (Array.isArray(field) && field.length === 0) continue;
    kept[name] = field;
  }
  return kept as { [K in keyof T]?: Exclude<T[K], undefined> };
}
