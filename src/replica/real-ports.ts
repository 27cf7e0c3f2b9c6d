/** Time and randomness of the real world. */

import { randomBytes, randomInt } from "node:crypto";
import type { Clock, Random } from "#base/ports.ts";

export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    // A timer of 1 ms is the shortest; "as soon as possible, but not now" is an immediate.
    if (delayMs <= 0) {
      const immediate = setImmediate(callback);
      return { cancel: () => clearImmediate(immediate) };
    }
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

export const realRandom: Random = {
  integer: (bound) => randomInt(bound),
  bytes: (count) => new Uint8Array(randomBytes(count)),
};
