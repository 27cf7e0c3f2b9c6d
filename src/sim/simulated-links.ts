/**
 * The network's faults: which links are cut, and what happens to a packet on one that is not. What packets
 * are is the business of who sends them.
 */

import type { SeededRandom } from "./seeded-random.ts";

export interface LinkQuality {
  dropProbability: number;
  duplicateProbability: number;
  minDelayMs: number;
  /** Most packets come much sooner; some take longer than later ones, which is how they are reordered. */
  maxDelayMs: number;
}

export const goodLinks: LinkQuality = {
  dropProbability: 0,
  duplicateProbability: 0,
  minDelayMs: 0.2,
  maxDelayMs: 2,
};

export class SimulatedLinks {
  quality: LinkQuality = goodLinks;
  readonly #random: SeededRandom;
  /** "from>to" */
  #cut = new Set<string>();

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** When copies of a packet that is sent now arrive, in ms from now. None: it is lost. */
  delaysMs(from: number, to: number): number[] {
    if (!this.connects(from, to) || this.#random.chance(this.quality.dropProbability)) return [];
    const delays = [this.delayMs()];
    if (this.#random.chance(this.quality.duplicateProbability)) delays.push(this.delayMs());
    return delays;
  }

  delayMs(): number {
    const { minDelayMs, maxDelayMs } = this.quality;
    const share = this.#random.fraction();
    return minDelayMs + (maxDelayMs - minDelayMs) * share ** 3;
  }

  connects(from: number, to: number): boolean {
    return !this.#cut.has(`${from}>${to}`);
  }

  /** Cuts one direction. */
  cut(from: number, to: number): void {
    this.#cut.add(`${from}>${to}`);
  }

  /** Cuts both directions between the groups. */
  partition(left: readonly number[], right: readonly number[]): void {
    for (const a of left) {
      for (const b of right) {
        this.cut(a, b);
        this.cut(b, a);
      }
    }
  }

  heal(): void {
    this.#cut.clear();
  }
}
