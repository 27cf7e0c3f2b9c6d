/**
 * The hash that tells whether a running container still is what its pod describes. As upstream, only
 * name and image count: nothing else of a running pod's container can change.
 */

/** FNV-1a, 32 bits, of the JSON of the two fields, as hexadecimal. */
export function containerHash(container: { name: string; image?: string }): string {
  const text = JSON.stringify({ image: container.image ?? "", name: container.name });
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16);
}
