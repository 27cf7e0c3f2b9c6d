/**
 * How deep a document may nest. What decodes, compares and copies objects follows them by recursion, so a
 * text of nothing but brackets would exhaust the stack: it is refused before anything reads it. Upstream
 * draws the line at 10,000; no object of Kubernetes comes near this one.
 */
const maxDepth = 500;

const quote = 0x22;
const backslash = 0x5c;

/** Whether a JSON text nests too deep. The text need not be valid. */
export function isTextTooDeep(text: Uint8Array): boolean {
  if (text.length <= maxDepth) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === quote) {
      at++;
      while (at < text.length && text[at] !== quote) at += text[at] === backslash ? 2 : 1;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth++;
      if (depth > maxDepth) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return false;
}

/** Whether a value nests too deep (YAML reaches depth by indentation and by anchors too). No recursion. */
export function isValueTooDeep(value: unknown): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) return true;
    level = level.flatMap((each) => (typeof each === "object" && each !== null ? Object.values(each) : []));
  }
  return false;
}
