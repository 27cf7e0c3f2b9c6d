import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger } from "#base/ports.ts";
import { StartUp } from "./start-up.ts";

const logger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Time that passes when it is told to. */
class ManualClock implements Clock {
  #now = 0;
  #timers: { atMs: number; callback: () => void }[] = [];
  nowMs = (): number => this.#now;
  monotonicMs = (): number => this.#now;

  setTimer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { atMs: this.#now + delayMs, callback };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((each) => each !== timer)) };
  }

  async pass(ms: number): Promise<void> {
    const endMs = this.#now + ms;
    for (;;) {
      await new Promise(setImmediate);
      const next = this.#timers.filter((each) => each.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((each) => each !== next);
      this.#now = next.atMs;
      next.callback();
    }
    this.#now = endMs;
  }
}

function noLeader(): StatusError {
  return new StatusError("ServiceUnavailable", "no leader");
}

test("a step is repeated while there is no leader; requests wait a while and then hear why", async () => {
  const clock = new ManualClock();
  let hasLeader = false;
  const done: string[] = [];
  const startUp = new StartUp({
    clock,
    logger,
    steps: [
      async () => {
        if (!hasLeader) throw noLeader();
        done.push("first");
      },
      async () => void done.push("second"),
    ],
  });
  const started = startUp.done();
  const early = startUp.whenDone();
  const refused = assert.rejects(early, /the API server is starting: no leader/);
  await clock.pass(5_000);
  await refused;
  assert.deepEqual(done, []);
  const late = startUp.whenDone();
  hasLeader = true;
  await clock.pass(1_000);
  await Promise.all([started, late]);
  assert.deepEqual(done, ["first", "second"]);
  await startUp.whenDone();
});

test("another failure ends the start, and so does a close", async () => {
  const clock = new ManualClock();
  const broken = new StartUp({ clock, logger, steps: [() => Promise.reject(new RangeError("a bug"))] });
  await assert.rejects(broken.done(), /a bug/);
  const waiting = new StartUp({ clock, logger, steps: [() => Promise.reject(noLeader())] });
  const end = assert.rejects(waiting.done(), /shutting down/);
  await clock.pass(300);
  waiting.close();
  await end;
});
