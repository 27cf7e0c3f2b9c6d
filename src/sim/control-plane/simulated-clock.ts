/** The one clock of a simulated control plane. Wall time may jump ahead; timers and timeouts go by simulated time. */

import type { Clock, Timer } from "#base/ports.ts";
import { SimulatedTime } from "../simulated-time.ts";

const epochMs = Date.UTC(2030, 0, 1);

export class SimulatedClock implements Clock {
  readonly time = new SimulatedTime();
  /** How far wall time has jumped ahead. */
  aheadMs = 0;
  /** How many timers were ever set: as long as this grows, somebody is at work. */
  timers = 0;

  nowMs(): number {
    return Math.floor(epochMs + this.time.nowMs + this.aheadMs);
  }

  monotonicMs(): number {
    return this.time.nowMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    this.timers++;
    return this.time.after(delayMs, callback);
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.setTimer(delayMs, resolve);
    });
  }

  /**
   * Lets time pass until `untilMs`, each moment only when everything that the one before it set off has come to
   * rest. `work` counts what else is done in between.
   */
  async runUntil(untilMs: number, work: () => number): Promise<void> {
    do await rest(() => this.timers + work());
    while (this.time.step(untilMs));
  }
}

/** Answers in the process come within microtasks; control loops yield with `setImmediate` between their keys. */
async function rest(work: () => number): Promise<void> {
  for (let idleTurns = 0, before = work(); idleTurns < 2; before = work()) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    idleTurns = work() === before ? idleTurns + 1 : 0;
  }
}
