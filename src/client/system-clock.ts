/** The real clock and the real randomness. Everything that decides gets them injected. */
import { randomFillSync, randomInt } from "node:crypto";
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
  bytes: (count) => (count > poolBytes / 8 ? randomFillSync(new Uint8Array(count)) : fromPool(count)),
};

/** Asking for a few bytes costs as much as for many. */
const poolBytes = 1024;
const pool = new Uint8Array(poolBytes);
let used = poolBytes;

/** Each byte is given away once, and is not kept. */
function fromPool(count: number): Uint8Array {
  if (used + count > poolBytes) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = pool.slice(used, used + count);
  pool.fill(0, used, used + count);
  used += count;
  return bytes;
}
