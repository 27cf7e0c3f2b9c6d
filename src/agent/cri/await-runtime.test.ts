import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "#base/ports.ts";
import { awaitRuntime } from "./await-runtime.ts";

/** Time passes only by timers, at once. */
function quickClock(): Clock {
  let nowMs = 0;
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimer(delayMs, callback) {
      nowMs += delayMs;
      queueMicrotask(callback);
      return { cancel: () => undefined };
    },
  };
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** As containerd 1.6 answers before its CRI part is loaded. */
function loading(calls: number): { conditions(): Promise<never[]>; asked: number } {
  return {
    asked: 0,
    conditions() {
      this.asked++;
      if (this.asked <= calls) return Promise.reject(new Error("2 UNKNOWN: server is not initialized yet"));
      return Promise.resolve([]);
    },
  };
}

test("a runtime that is still loading is waited for", async () => {
  const runtime = loading(100);
  await awaitRuntime(runtime, quickClock(), quiet);
  assert.equal(runtime.asked, 101);
});

test("a runtime that never loads is given up with its own reason", async () => {
  await assert.rejects(awaitRuntime(loading(Infinity), quickClock(), quiet), /60 s.*not initialized yet/);
});
