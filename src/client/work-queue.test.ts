import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "#base/ports.ts";
import { WorkQueue } from "./work-queue.ts";

class ManualClock implements Clock {
  #nowMs = 0;
  #timers: { dueMs: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void) {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((each) => each !== timer)) };
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter((timer) => timer.dueMs <= this.#nowMs);
    this.#timers = this.#timers.filter((timer) => timer.dueMs > this.#nowMs);
    for (const timer of due) timer.callback();
  }

  get pending(): number {
    return this.#timers.length;
  }
}

test("a key waits once, and comes again when it was added while it was worked on", async () => {
  const queue = new WorkQueue({ clock: new ManualClock() });
  queue.add("a");
  queue.add("a");
  assert.equal(await queue.take(), "a");
  assert.equal(queue.size, 0);
  queue.add("a");
  assert.equal(queue.size, 0, "nobody else works on it meanwhile");
  queue.done("a");
  assert.equal(await queue.take(), "a");
});

test("a key that rests gathers what comes, and others don't wait for it", async () => {
  const clock = new ManualClock();
  const queue = new WorkQueue({ clock, restMs: 20 });
  queue.add("a");
  assert.equal(await queue.take(), "a");
  queue.done("a");
  for (let at = 0; at < 5; at++) queue.add("a");
  assert.equal(queue.size, 0);
  queue.add("b");
  assert.equal(await queue.take(), "b");
  clock.advance(20);
  assert.equal(await queue.take(), "a");
  assert.equal(queue.size, 0, "once for all five");
});

test("a key that was not wanted again is forgotten after its rest", async () => {
  const clock = new ManualClock();
  const queue = new WorkQueue({ clock, restMs: 20 });
  queue.add("a");
  queue.done((await queue.take())!);
  clock.advance(20);
  assert.equal(queue.size, 0);
  assert.equal(clock.pending, 0);
  queue.add("a");
  assert.equal(await queue.take(), "a");
});

test("every key finds a worker, and closing lets all of them go", async () => {
  const queue = new WorkQueue({ clock: new ManualClock() });
  const taken: (string | undefined)[] = [];
  const workers = Array.from({ length: 5 }, async () => {
    for (;;) {
      const key = await queue.take();
      taken.push(key);
      if (key === undefined) return;
      queue.done(key);
    }
  });
  for (let at = 0; at < 20; at++) {
    queue.add(`k${at}`);
    if (at % 3 === 0) await Promise.resolve();
  }
  while (queue.size > 0) await Promise.resolve();
  queue.close();
  await Promise.all(workers);
  assert.equal(new Set(taken.filter((each) => each !== undefined)).size, 20);
});
