/** The body of one watch on its way: it may be held up for a while, and ended in the middle. */

import type { SimulatedClock } from "./simulated-clock.ts";

export class WatchPipe implements AsyncIterable<Uint8Array> {
  readonly path: string;
  readonly #clock: SimulatedClock;
  readonly #onEnd: () => void;
  #arrived: Uint8Array[] = [];
  #stalledUntilMs = 0;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(path: string, clock: SimulatedClock, onEnd: () => void) {
    this.path = path;
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  async follow(body: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of body) {
      if (this.#ended) return;
      this.#arrived.push(chunk);
      this.#wake?.();
    }
    this.#end(undefined);
  }

  /** What comes in the next so many milliseconds comes after them. */
  stall(forMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, this.#clock.monotonicMs() + forMs);
  }

  /** Ends at once: what has not been read is lost. */
  cut(error: Error | undefined): void {
    this.#arrived = [];
    this.#end(error);
  }

  /** The reader is gone. */
  abandon(): void {
    this.cut(undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const leftMs = this.#stalledUntilMs - this.#clock.monotonicMs();
        if (leftMs > 0 && !this.#ended)
          await Promise.race([this.#clock.sleep(leftMs), this.#something(true)]);
        else if (this.#arrived.length > 0) yield this.#arrived.shift()!;
        else if (this.#error !== undefined) throw this.#error;
        else if (this.#ended) return;
        else await this.#something(false);
      }
    } finally {
      this.#end(undefined);
    }
  }

  #something(onlyEnd: boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        if (onlyEnd && !this.#ended) return;
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#onEnd();
    this.#wake?.();
  }
}
