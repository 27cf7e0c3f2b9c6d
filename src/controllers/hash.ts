/** Names from contents: the hash of a pod template or a revision, in letters that spell no words. */

const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/** FNV-1a (32 bit) over canonical JSON, and over the number of collisions so far. */
export function contentHash(content: unknown, collisionCount: number | undefined): string {
  let hash = 0x811c9dc5;
  const mix = (text: string): void => {
    for (let index = 0; index < text.length; index++) {
      hash = Math.imul(hash ^ (text.charCodeAt(index) & 0xff), 0x01000193);
      hash = Math.imul(hash ^ (text.charCodeAt(index) >>> 8), 0x01000193);
    }
  };
  mix(canonicalJson(content));
  if (collisionCount !== undefined && collisionCount > 0) mix(`#${collisionCount}`);
  return encodeSafely(String(hash >>> 0));
}

/** JSON with sorted keys and without absent or empty fields, so that equal contents have equal text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined && field !== null)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`);
  return `{${fields.join(",")}}`;
}

function encodeSafely(text: string): string {
  return text.replaceAll(/\d/g, (digit) => alphabet[digit.charCodeAt(0) % alphabet.length]!);
}
