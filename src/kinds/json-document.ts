/**
 * What JSON.parse does not tell of a JSON text: keys that one object has twice, the order in which the
 * document has its fields, and the value that Go's decoder makes of repeated keys. All texts must be
 * valid JSON already.
 */

/** A place in the document that is worth telling of, for example `spec.containers[0].foo`. */
export interface DocumentField {
  path: string;
  /** The object has this key for a second time. */
  isRepeated: boolean;
}

/** Paths of keys that a JSON text has more than once in one object, in order. */
export function findDuplicateFields(text: string): string[] {
  const found = scan(text, () => false).fields.map((each) => each.path);
  return [...new Set(found)];
}

/**
 * True where a text certainly repeats no key: written again, its value is the same text. Much faster than a
 * scan, and true of what most clients send.
 */
export function isWithoutRepeats(text: string, value: unknown): boolean {
  return JSON.stringify(value) === text.trimEnd();
}

/** Repeated fields and those that are named in `unknown`, in the order of the document. */
export function fieldsInOrder(text: string, unknown: readonly string[]): DocumentField[] {
  const names = new Set(unknown);
  const seen = new Set<string>();
  return scan(text, (path) => names.has(path)).fields.filter(({ path, isRepeated }) => {
    const key = `${String(isRepeated)} ${path}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** The value with objects of repeated keys merged, as Go decodes them into maps and structs; else the last counts. */
export function parseMerging(text: string): unknown {
  return scan(text, () => false).value;
}

function scan(
  text: string,
  isUnknown: (path: string) => boolean,
): { value: unknown; fields: DocumentField[] } {
  const fields: DocumentField[] = [];
  let at = 0;
  return { value: visit("", undefined, true), fields };

  function visit(path: string, before: unknown, isKnown: boolean): unknown {
    skipBlank();
    const character = text[at];
    let value: unknown;
    if (character === "{") value = object(path, before, isKnown);
    else if (character === "[") value = array(path, isKnown);
    else if (character === '"') value = readString();
    else {
      const start = at;
      while (at < text.length && !/[\s,\]}]/.test(text[at] ?? "")) at += 1;
      value = JSON.parse(text.slice(start, at));
    }
    skipBlank();
    return value;
  }
  function object(path: string, before: unknown, isKnown: boolean): Record<string, unknown> {
    const isMap = typeof before === "object" && before !== null && !Array.isArray(before);
    const members = new Map(isMap ? Object.entries(before) : []);
    const seen = new Set<string>();
    at += 1;
    skipBlank();
    while (text[at] === '"') {
      const key = readString();
      const inner = path === "" ? key : `${path}.${key}`;
      const isRepeated = seen.has(key);
      const isOdd = isKnown && isUnknown(inner);
      const place = fields.length;
      seen.add(key);
      skipBlank();
      at += 1;
      members.set(key, visit(inner, members.get(key), isKnown && !isOdd));
      if (isOdd) fields.splice(place, 0, { path: inner, isRepeated: false });
      else if (isRepeated && isKnown) fields.splice(place, 0, { path: inner, isRepeated: true });
      if (text[at] === ",") at += 1;
      skipBlank();
    }
    at += 1;
    return Object.fromEntries(members);
  }
  function array(path: string, isKnown: boolean): unknown[] {
    const items: unknown[] = [];
    at += 1;
    skipBlank();
    while (at < text.length && text[at] !== "]") {
      items.push(visit(`${path}[${items.length}]`, undefined, isKnown));
      if (text[at] === ",") at += 1;
      skipBlank();
    }
    at += 1;
    return items;
  }
  function readString(): string {
    const start = at;
    at += 1;
    while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at += 1;
    return JSON.parse(text.slice(start, at)) as string;
  }
  function skipBlank(): void {
    while (" \t\r\n".includes(text[at] ?? "x")) at += 1;
  }
}
