/** Finds a state that is not the leader's: the leader reports a past state's checksum, the others remember theirs. */

import { FatalError } from "#base/errors.ts";

const keptChecksums = 64;

export class Divergence {
  readonly #checksums = new Map<number, number>();

  /** At each tick: the last states are remembered. Idle replicas stop at the same index, so they meet there. */
  note(index: number, checksum: number): void {
    this.#checksums.delete(index);
    this.#checksums.set(index, checksum);
    const oldest = this.#checksums.keys().next().value;
    if (this.#checksums.size > keptChecksums && oldest !== undefined) this.#checksums.delete(oldest);
  }

  get newest(): { index: number; value: number } | undefined {
    const newest = [...this.#checksums].at(-1);
    return newest === undefined ? undefined : { index: newest[0], value: newest[1] };
  }

  /** The error to stop with, if the leader had another state at that index. */
  compare(told: { index: number; value: number } | undefined): FatalError | undefined {
    if (told === undefined) return undefined;
    const own = this.#checksums.get(told.index);
    if (own === undefined || own === told.value) return undefined;
    return new FatalError("corrupt", `this replica's state differs from the leader's at index ${told.index}`);
  }
}
