/** Says what was refused of peers, a few at a time: a faulty peer must not fill this node's log. */

import type { Clock, Logger } from "#base/ports.ts";

const spanMs = 10_000;
const perSpan = 5;

export class Refusals {
  readonly #clock: Clock;
  readonly #logger: Logger;
  #beganMs = -Infinity;
  #said = 0;
  #unsaid = 0;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** At most 5 lines in 10 s; the first of the next span tells how many were left out. */
  say(message: string, fields: Record<string, unknown>): void {
    const now = this.#clock.monotonicMs();
    if (now - this.#beganMs >= spanMs) {
      this.#beganMs = now;
      this.#said = 0;
    }
    if (this.#said >= perSpan) {
      this.#unsaid++;
      return;
    }
    this.#said++;
    this.#logger.warn(message, this.#unsaid === 0 ? fields : { ...fields, leftOut: this.#unsaid });
    this.#unsaid = 0;
  }
}
