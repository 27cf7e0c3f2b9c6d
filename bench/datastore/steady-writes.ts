/** Writers that go on through any failure, and the pause that a fault makes in what they get acknowledged. */
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "./client.ts";
import { monotonicMs } from "./percentile.ts";

export interface SteadyWrites {
  writers: number;
  durationMs: number;
}

export interface Acknowledged {
  key: string;
  /** By the monotonic clock of the machine. */
  startedMs: number;
  endedMs: number;
}

/** All below this are of these writers, each key of one write. */
export const steadyPrefix = "/steady/";
const restMs = 2;

/** Resolves after `durationMs` with what has been acknowledged until then, in the order of the answers. */
export async function steadyWrites(client: Client, settings: SteadyWrites): Promise<Acknowledged[]> {
  const acknowledged: Acknowledged[] = [];
  const value = new Uint8Array(100);
  const endMs = monotonicMs() + settings.durationMs;
  let over = false;
  async function write(writer: number): Promise<void> {
    while (!over) {
      const startedMs = monotonicMs();
      const key = `${steadyPrefix}${process.pid}-${writer}-${startedMs}`;
      try {
        await client.put(key, value);
        const endedMs = monotonicMs();
        if (endedMs <= endMs) acknowledged.push({ key, startedMs, endedMs });
      } catch {
        // Refused or unknown: not acknowledged, so nothing to account for.
      }
      await delay(restMs);
    }
  }
  for (let writer = 0; writer < settings.writers; writer++) void write(writer);
  await delay(settings.durationMs);
  over = true;
  return acknowledged;
}

/** From the fault to the next answer. What was under way then may be answered by what the lost member had already sent. */
export function pauseAfter(writes: Acknowledged[], faultMs: number): number {
  const next = writes.find(({ startedMs, endedMs }) => startedMs > faultMs || endedMs > faultMs + 100);
  return next === undefined ? Infinity : next.endedMs - faultMs;
}

/** The longest time without an answer between these two moments. */
export function longestGap(writes: Acknowledged[], fromMs: number, toMs: number): number {
  const answersMs = writes.map(({ endedMs }) => endedMs).filter((atMs) => atMs > fromMs && atMs < toMs);
  const moments = [fromMs, ...answersMs, toMs];
  return Math.max(...moments.slice(1).map((atMs, index) => atMs - (moments[index] ?? atMs)));
}
