/**
 * Brings the kernel to what the objects say: one run at a time, triggers in between are joined into one
 * more run, failures are retried with back-off, and every now and then it looks again by itself.
 */
import type { Clock, Logger, Timer } from "#base/ports.ts";

export interface ReconcilerOptions {
  name: string;
  clock: Clock;
  logger: Logger;
  /** How long triggers are gathered before a run. */
  gatherMs: number;
  /** Look again after this long without a trigger. */
  resyncMs: number;
}

const retryMsMin = 200;
const retryMsMax = 15_000;

export class Reconciler {
  readonly #reconcile: () => Promise<void>;
  readonly #options: ReconcilerOptions;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #retryMs = retryMsMin;
  #closed = false;

  constructor(options: ReconcilerOptions, reconcile: () => Promise<void>) {
    this.#options = options;
    this.#reconcile = reconcile;
  }

  trigger(): void {
    if (this.#closed) return;
    if (this.#running !== undefined) this.#again = true;
    else this.#schedule(this.#options.gatherMs);
  }

  /** Resolves when a run that was under way has ended. No run starts afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #due = Number.POSITIVE_INFINITY;

  #schedule(delayMs: number): void {
    const due = this.#options.clock.monotonicMs() + delayMs;
    if (this.#timer !== undefined && this.#due <= due) return;
    this.#timer?.cancel();
    this.#due = due;
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      this.#running = this.#run();
    });
  }

  async #run(): Promise<void> {
    let nextMs = this.#options.resyncMs;
    try {
      await this.#reconcile();
      this.#retryMs = retryMsMin;
    } catch (error) {
      nextMs = this.#retryMs;
      this.#retryMs = Math.min(this.#retryMs * 2, retryMsMax);
      this.#options.logger.warn(`${this.#options.name} failed, will try again`, {
        error: String(error),
        retryMs: nextMs,
      });
    }
    this.#running = undefined;
    if (this.#closed) return;
    if (this.#again && nextMs === this.#options.resyncMs) nextMs = this.#options.gatherMs;
    this.#again = false;
    this.#schedule(nextMs);
  }
}
