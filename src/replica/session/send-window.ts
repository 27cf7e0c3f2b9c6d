/**
 * How much has been sent to a client that it has not acknowledged. Counted in whole messages on both sides, so the two
 * never drift apart. Clients of earlier releases acknowledge nothing, and are not held to it.
 */

import { acknowledgedBytes } from "./backend-session.ts";

const defaultWindowBytes = 8 << 20;

export class SendWindow {
  readonly #windowBytes: number;
  #isKept = false;
  #outstandingBytes = 0;

  /** At least twice `acknowledgedBytes`, or it could stay full with everything taken in. */
  constructor(windowBytes = defaultWindowBytes) {
    this.#windowBytes = Math.max(windowBytes, 2 * acknowledgedBytes);
  }

  /** The client has said that it acknowledges. */
  keep(): void {
    this.#isKept = true;
  }

  sent(bytes: number): void {
    this.#outstandingBytes += bytes;
  }

  acknowledged(): void {
    this.#outstandingBytes = Math.max(this.#outstandingBytes - acknowledgedBytes, 0);
  }

  /** With what is about to be sent, nothing more should be. */
  isFull(aboutToSendBytes: number): boolean {
    return this.#isKept && this.#outstandingBytes + aboutToSendBytes >= this.#windowBytes;
  }

  /** Half of it is free: worth going on. */
  get hasRoom(): boolean {
    return this.#outstandingBytes <= this.#windowBytes / 2;
  }
}
