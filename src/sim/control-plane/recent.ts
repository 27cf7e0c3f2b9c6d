/**
 * What a quantity has been lately. A control loop acts on a view that may be behind: a bound is broken only if no
 * state that the loop may still have seen allows what it did.
 */

import type { SimulatedClock } from "./simulated-clock.ts";

/** Longer than any watch stays behind, any plan runs and any pause after a failure lasts. */
export const staleMs = 60_000;

export class Recent {
  readonly #clock: SimulatedClock;
  readonly #values = new Map<string, { value: number; untilMs: number }[]>();

  constructor(clock: SimulatedClock) {
    this.#clock = clock;
  }

  /** The quantity is this from now on. */
  set(key: string, value: number): void {
    const nowMs = this.#clock.monotonicMs();
    const values = this.#values.get(key) ?? [];
    const current = values.at(-1);
    if (current?.value === value) return;
    if (current !== undefined) current.untilMs = nowMs;
    while (values[0] !== undefined && values[0].untilMs < nowMs - staleMs) values.shift();
    values.push({ value, untilMs: Infinity });
    this.#values.set(key, values);
  }

  /** The largest that it was within `staleMs`; undefined when it was never said. */
  largest(key: string): number | undefined {
    return this.#extreme(key, Math.max);
  }

  smallest(key: string): number | undefined {
    return this.#extreme(key, Math.min);
  }

  #extreme(key: string, choose: (...values: number[]) => number): number | undefined {
    const sinceMs = this.#clock.monotonicMs() - staleMs;
    const values = (this.#values.get(key) ?? []).filter((each) => each.untilMs >= sinceMs);
    return values.length === 0 ? undefined : choose(...values.map((each) => each.value));
  }
}

/** How often something happened to each key within `staleMs`. */
export class RecentCount {
  readonly #clock: SimulatedClock;
  readonly #times = new Map<string, number[]>();

  constructor(clock: SimulatedClock) {
    this.#clock = clock;
  }

  add(key: string): void {
    this.#times.set(key, [...this.#lately(key), this.#clock.monotonicMs()]);
  }

  of(key: string): number {
    return this.#lately(key).length;
  }

  #lately(key: string): number[] {
    const sinceMs = this.#clock.monotonicMs() - staleMs;
    return (this.#times.get(key) ?? []).filter((each) => each >= sinceMs);
  }
}
