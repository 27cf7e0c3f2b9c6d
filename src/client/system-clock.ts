/** The real clock and the real randomness. Everything that decides gets them injected. */
import { randomBytes, randomInt } from "node:crypto";
import type { Clock, Random } from "#base/ports.ts";

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), 2 ** 31 - 1));
    return { cancel: () => clearTimeout(timer) };
  },
};

export const systemRandom: Random = {
  integer: (bound) => randomInt(bound),
  bytes: (count) => randomBytes(count),
};
