/** Randomness from a seed: the same seed gives the same run, on every machine. */

import type { Random } from "#base/ports.ts";

export class SeededRandom implements Random {
  #state: number;

  /** Streams of the same seed with different names are independent, so that one use more of one changes no other. */
  constructor(seed: number, stream = "") {
    let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
    for (let position = 0; position < stream.length; position++) {
      state = Math.imul(state ^ stream.charCodeAt(position), 0x01000193);
    }
    this.#state = state >>> 0;
  }

  /** In [0, 1). */
  fraction(): number {
    // mulberry32.
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = this.#state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  integer(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.integer(256));
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** In [low, high). */
  between(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  /** Undefined for an empty list. */
  pick<T>(items: readonly T[]): T | undefined {
    return items[this.integer(items.length)];
  }
}
