import assert from "node:assert/strict";
import { test } from "node:test";

import type { Clock, Logger } from "#base/ports.ts";
import { Reconciler } from "./reconciler.ts";

const logger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** Time that stands still until it is moved. */
class ManualClock implements Clock {
  #now = 0;
  #timers: { dueMs: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.#now;
  }

  monotonicMs(): number {
    return this.#now;
  }

  setTimer(delayMs: number, callback: () => void) {
    const timer = { dueMs: this.#now + delayMs, callback };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((each) => each !== timer)) };
  }

  async advance(ms: number): Promise<void> {
    this.#now += ms;
    const due = this.#timers.filter((timer) => timer.dueMs <= this.#now);
    this.#timers = this.#timers.filter((timer) => timer.dueMs > this.#now);
    for (const timer of due) timer.callback();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function start(reconcile: () => Promise<void>) {
  const clock = new ManualClock();
  const reconciler = new Reconciler({ name: "test", clock, logger, gatherMs: 20, resyncMs: 1000 }, reconcile);
  return { clock, reconciler };
}

test("many triggers become one run", async () => {
  let runs = 0;
  const { clock, reconciler } = start(async () => void runs++);
  for (let at = 0; at < 5; at++) reconciler.trigger();
  await clock.advance(20);
  assert.equal(runs, 1);
  await clock.advance(500);
  assert.equal(runs, 1);
});

test("a trigger during a run makes one more run after it, never two at a time", async () => {
  let runs = 0;
  const gates: (() => void)[] = [];
  const { clock, reconciler } = start(() => {
    runs++;
    return new Promise((resolve) => gates.push(resolve));
  });
  reconciler.trigger();
  await clock.advance(20);
  reconciler.trigger();
  await clock.advance(100);
  assert.equal(runs, 1);
  gates.shift()!();
  await clock.advance(0);
  await clock.advance(20);
  assert.equal(runs, 2);
  gates.shift()!();
});

test("a failure is tried again, later each time", async () => {
  const failedAtMs: number[] = [];
  const { clock, reconciler } = start(async () => {
    failedAtMs.push(clock.nowMs());
    throw new Error("no");
  });
  reconciler.trigger();
  for (let at = 0; at < 200; at++) await clock.advance(10);
  assert.deepEqual(failedAtMs, [20, 220, 620, 1420]);
});

test("it looks again by itself, and not once closed", async () => {
  let runs = 0;
  const { clock, reconciler } = start(async () => void runs++);
  reconciler.trigger();
  await clock.advance(20);
  await clock.advance(1000);
  assert.equal(runs, 2);
  await reconciler.close();
  await clock.advance(5000);
  assert.equal(runs, 2);
});
