/** Ranges of byte-string keys, with etcd's conventions for the end of a range. */

/** True when `key` lies in [start, end); without `end` only `start` itself; end "\0": everything from `start` on. */
export function inKeyRange(key: string, start: string, end: string | undefined): boolean {
  if (end === undefined) return key === start;
  if (end === "\0") return key >= start;
  return key >= start && key < end;
}

/** True when the two ranges have a key in common. */
export function keyRangesOverlap(
  a: { key: string; end?: string },
  b: { key: string; end?: string },
): boolean {
  return startsBeforeEnd(a.key, b) && startsBeforeEnd(b.key, a);
}

/** The end of the range of all keys that begin with `prefix`. */
export function prefixEnd(prefix: string): string {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const code = prefix.charCodeAt(at);
    if (code < 0xff) return prefix.slice(0, at) + String.fromCharCode(code + 1);
  }
  return "\0";
}

function startsBeforeEnd(start: string, range: { key: string; end?: string }): boolean {
  if (range.end === undefined) return start <= range.key;
  return range.end === "\0" || start < range.end;
}
