/**
 * The appends sent to one follower and not yet acknowledged, bounded by number and by bytes: what keeps
 * a slow follower from growing the leader's buffers without limit.
 */

import { assert } from "#base/assert.ts";

interface Inflight {
  /** Index of the last entry of the message. */
  index: number;
  bytes: number;
}

export class Inflights {
  readonly maxMessages: number;
  readonly maxBytes: number;
  #queue: Inflight[] = [];
  #head = 0;
  #bytes = 0;

  /** `maxBytes` may be exceeded by the message that reaches it, so that no entry is too large to send. */
  constructor(maxMessages: number, maxBytes: number) {
    this.maxMessages = maxMessages;
    this.maxBytes = maxBytes;
  }

  get count(): number {
    return this.#queue.length - this.#head;
  }

  get full(): boolean {
    return this.count >= this.maxMessages || this.#bytes >= this.maxBytes;
  }

  add(index: number, bytes: number): void {
    assert(!this.full, "nothing is sent to a follower whose window is full");
    this.#queue.push({ index, bytes });
    this.#bytes += bytes;
  }

  /** Forgets all messages that end at or below `index`. */
  freeUpTo(index: number): void {
    for (let oldest = this.#queue[this.#head]; oldest !== undefined && oldest.index <= index;) {
      this.#bytes -= oldest.bytes;
      this.#head++;
      oldest = this.#queue[this.#head];
    }
    if (this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }

  reset(): void {
    this.#queue = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
