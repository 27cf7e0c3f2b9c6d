/**
 * The work queue of control loops: a key waits at most once, is never worked on twice at a time, may be
 * added for later, and after failures comes back with a pause that doubles per key. Same rules as
 * client-go's rate limited queue (5 ms doubling up to a limit).
 */
import type { Clock, Timer } from "#base/ports.ts";

export interface WorkQueueOptions {
  clock: Clock;
  /** First pause after a failure. Default 5 ms. */
  backoffFirstMs?: number;
  /** Longest pause. Default 30 s. */
  backoffLimitMs?: number;
  /**
   * A key that was just worked on rests this long before its next turn, so that a burst of changes is worked
   * on together. Default 0.
   */
  restMs?: number;
}

export class WorkQueue {
  readonly #clock: Clock;
  readonly #backoffFirstMs: number;
  readonly #backoffLimitMs: number;
  /** Keys that wait, in order. */
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  /** Keys added while they were worked on. */
  readonly #again = new Set<string>();
  readonly #later = new Map<string, { dueMs: number; timer: Timer }>();
  readonly #failures = new Map<string, number>();
  readonly #restMs: number;
  readonly #resting = new Map<string, { wanted: boolean; timer: Timer }>();
  /** Workers without work, the longest idle first. */
  readonly #idle: (() => void)[] = [];
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock;
    this.#backoffFirstMs = options.backoffFirstMs ?? 5;
    this.#backoffLimitMs = options.backoffLimitMs ?? 30_000;
    this.#restMs = options.restMs ?? 0;
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(key: string): void {
    if (this.#closed) return;
    if (this.#working.has(key)) {
      this.#again.add(key);
      return;
    }
    const resting = this.#resting.get(key);
    if (resting !== undefined) {
      resting.wanted = true;
      return;
    }
    this.#waiting.add(key);
    this.#idle.shift()?.();
  }

  /** An earlier time that was asked for before stays. */
  addAfter(key: string, delayMs: number): void {
    if (this.#closed) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const dueMs = this.#clock.monotonicMs() + delayMs;
    const planned = this.#later.get(key);
    if (planned !== undefined && planned.dueMs <= dueMs) return;
    planned?.timer.cancel();
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#later.delete(key);
      this.add(key);
    });
    this.#later.set(key, { dueMs, timer });
  }

  /** After a failure: comes back after the key's own pause. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.addAfter(key, Math.min(this.#backoffFirstMs * 2 ** failures, this.#backoffLimitMs));
  }

  /** The key went well: its next pause is the first again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, or undefined once the queue is closed. `done` must follow. */
  async take(): Promise<string | undefined> {
    for (;;) {
      if (this.#closed) return undefined;
      const [key] = this.#waiting;
      if (key !== undefined) {
        this.#waiting.delete(key);
        this.#working.add(key);
        return key;
      }
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
  }

  done(key: string): void {
    this.#working.delete(key);
    const wanted = this.#again.delete(key);
    if (this.#restMs > 0 && !this.#closed) this.#rest(key, wanted);
    else if (wanted) this.add(key);
  }

  #rest(key: string, wanted: boolean): void {
    const timer = this.#clock.setTimer(this.#restMs, () => {
      const rested = this.#resting.get(key);
      this.#resting.delete(key);
      if (rested?.wanted === true) this.add(key);
    });
    this.#resting.set(key, { wanted, timer });
  }

  close(): void {
    this.#closed = true;
    for (const { timer } of this.#later.values()) timer.cancel();
    this.#later.clear();
    for (const { timer } of this.#resting.values()) timer.cancel();
    this.#resting.clear();
    this.#waiting.clear();
    for (const wake of this.#idle.splice(0)) wake();
  }
}
