/**
 * From nothing to a server that can answer: one step after the other, each again and again while the
 * datastore has nobody to lead it or no copy for this node yet. Nothing else is retried: a step that
 * fails for another reason ends the start.
 */
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger, Timer } from "#base/ports.ts";

const retryMs = 250;
/** How long a request over the network waits for the start: enough for a restart, short for a failover. */
const requestWaitMs = 2_000;

export class StartUp {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #steps: readonly (() => Promise<void>)[];
  #run: Promise<void> | undefined;
  #isDone = false;
  #reason = "the datastore is being opened";
  #pause: { timer: Timer; end: () => void } | undefined;
  #closed = false;

  constructor(options: { clock: Clock; logger: Logger; steps: readonly (() => Promise<void>)[] }) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#steps = options.steps;
  }

  /** Starts at the first call. Resolves when all steps have been done. */
  done(): Promise<void> {
    return (this.#run ??= this.#runAll());
  }

  /** Resolves when the server can answer; rejects with ServiceUnavailable and the reason when that takes too long. */
  async whenDone(): Promise<void> {
    if (this.#isDone) return;
    let timer: Timer | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      timer = this.#clock.setTimer(requestWaitMs, () => reject(this.#notYet()));
    });
    try {
      await Promise.race([this.done(), tooLate]);
    } finally {
      timer?.cancel();
    }
  }

  close(): void {
    this.#closed = true;
    this.#pause?.timer.cancel();
    this.#pause?.end();
  }

  async #runAll(): Promise<void> {
    for (const step of this.#steps) await this.#runStep(step);
    this.#isDone = true;
  }

  async #runStep(step: () => Promise<void>): Promise<void> {
    for (;;) {
      if (this.#closed) throw new StatusError("ServiceUnavailable", "the API server is shutting down");
      try {
        return await step();
      } catch (error) {
        if (!isPassing(error)) throw error;
        const reason = (error as Error).message;
        if (reason !== this.#reason) this.#logger.warn("the API server can't start yet", { reason });
        this.#reason = reason;
      }
      await new Promise<void>((resolve) => {
        this.#pause = { timer: this.#clock.setTimer(retryMs, resolve), end: resolve };
      });
    }
  }

  #notYet(): StatusError {
    return new StatusError("ServiceUnavailable", `the API server is starting: ${this.#reason}`, {
      details: { retryAfterSeconds: 1 },
    });
  }
}

/** No leader yet, no answer in time, or too much at once: later it may go. */
function isPassing(error: unknown): boolean {
  return error instanceof StatusError && [429, 503, 504].includes(error.code);
}
