/** Load by clients of which each waits for its answer before it asks again: how many answers a second, and how late. */
import type { Client } from "./client.ts";
import { percentile } from "./percentile.ts";

export interface Load {
  operation: "put" | "get";
  clients: number;
  durationMs: number;
  /** The clients go over this many keys by chance: what `fill` has put. */
  keys: number;
  valueBytes: number;
}

export interface Measure {
  /** In all, the first tenth of the time included. */
  answers: number;
  /** Without the first tenth of the time, as the latencies. */
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
}

export async function load(client: Client, settings: Load): Promise<Measure> {
  const { operation, clients, durationMs, keys, valueBytes } = settings;
  const value = new Uint8Array(valueBytes).fill(120);
  const latenciesMs: number[] = [];
  const startedMs = performance.now();
  const countFromMs = startedMs + durationMs / 10;
  const endMs = startedMs + durationMs;
  let answers = 0;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      for (let nowMs = startedMs; nowMs < endMs;) {
        const beforeMs = nowMs;
        const key = keyOf(Math.floor(Math.random() * keys));
        await (operation === "put" ? client.put(key, value) : client.get(key));
        nowMs = performance.now();
        answers++;
        if (nowMs >= countFromMs) latenciesMs.push(nowMs - beforeMs);
      }
    }),
  );
  const seconds = (performance.now() - countFromMs) / 1000;
  return {
    answers,
    perSecond: latenciesMs.length / seconds,
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
  };
}

export interface Fill {
  /** Numbers of the keys, the second exclusive. */
  from: number;
  to: number;
  valueBytes: number;
}

const keysPerTransaction = 100;
const transactionsAtOnce = 8;

/** Puts these keys, many per transaction. */
export async function fill(client: Client, { from, to, valueBytes }: Fill): Promise<void> {
  const value = new Uint8Array(valueBytes).fill(120);
  let next = from;
  await Promise.all(
    Array.from({ length: transactionsAtOnce }, async () => {
      while (next < to) {
        const first = next;
        next = Math.min(first + keysPerTransaction, to);
        const keys = Array.from({ length: next - first }, (_, at) => keyOf(first + at));
        await client.putAll(keys, value);
      }
    }),
  );
}

function keyOf(number: number): string {
  return `/bench/${String(number).padStart(7, "0")}`;
}
