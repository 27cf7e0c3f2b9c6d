/**
 * Memory for entries that are kept for long and given up in the order in which they came: slices of few large pieces.
 * One by one they would lie between what lives for a moment, of which the allocator then could give nothing back;
 * and an entry that came in a frame would keep the whole frame.
 */

/** Large enough for a mapping of its own, which goes back to the system as a whole. */
const slabBytes = 256 << 10;

export class EntrySlabs {
  #slab = new ArrayBuffer(0);
  #usedBytes = 0;

  /** A copy of the bytes. It shares its memory with others that were kept about the same time, unless it is large. */
  keep(bytes: Uint8Array): Uint8Array {
    if (bytes.length > slabBytes / 4) return bytes.slice();
    if (this.#usedBytes + bytes.length > this.#slab.byteLength) {
      this.#slab = new ArrayBuffer(slabBytes);
      this.#usedBytes = 0;
    }
    const kept = new Uint8Array(this.#slab, this.#usedBytes, bytes.length);
    kept.set(bytes);
    this.#usedBytes += bytes.length;
    return kept;
  }
}
