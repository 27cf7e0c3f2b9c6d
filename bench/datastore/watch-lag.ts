/**
 * How long a change takes to its watchers: a writer at a steady rate on one member, watchers that note when each change
 * came on another. Their moments are of the machine's monotonic clock, so that they can be compared.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "./client.ts";
import { monotonicMs, percentile } from "./percentile.ts";

export interface WatchLoad {
  /** Of this run alone: all keys are below it. */
  prefix: string;
  /** When the first write is sent, and by when the watchers must be there. */
  startMs: number;
  watchers: number;
  writesPerSecond: number;
  durationMs: number;
  valueBytes: number;
  /** True: each watcher sees every write. False: each has keys of its own, an equal share of the writes. */
  shared: boolean;
}

/** By the write's number. */
export interface PacedWrites {
  sentMs: Float64Array;
  answeredMs: Float64Array;
}

/** Of each change that a watcher has seen: the write's number, and when. */
export interface Sightings {
  writes: Float64Array;
  seenMs: Float64Array;
}

export interface WatchLag {
  /** How many writes a second were really sent. */
  writesPerSecond: number;
  /** From the writer's having its answer to the watcher's having the change; negative where the watcher was first. */
  afterAnswer: { p50Ms: number; p99Ms: number };
  /** From the sending of the write. */
  afterSending: { p50Ms: number; p99Ms: number };
  /** Changes that no watcher had seen 10 s after the end: 0, or something is wrong. */
  missed: number;
}

const patienceMs = 10_000;

/** Sends the writes at their times, however late the answers are. */
export async function paceWrites(client: Client, load: WatchLoad): Promise<PacedWrites> {
  const { startMs, watchers, writesPerSecond, valueBytes, shared } = load;
  const count = writesOf(load);
  const sentMs = new Float64Array(count);
  const answeredMs = new Float64Array(count);
  const writes: Promise<void>[] = [];
  while (writes.length < count) {
    const due = Math.min(count, ((monotonicMs() - startMs) * writesPerSecond) / 1000);
    while (writes.length < due) {
      const at = writes.length;
      const value = new Uint8Array(valueBytes);
      new DataView(value.buffer).setUint32(0, at);
      const key = `${prefixOf(load, at % watchers)}${shared ? at % watchers : "key"}`;
      sentMs[at] = monotonicMs();
      const answered = () => void (answeredMs[at] = monotonicMs());
      writes.push(client.put(key, value).then(answered));
    }
    await delay(1);
  }
  await Promise.all(writes);
  return { sentMs, answeredMs };
}

/** Resolves once the watchers have seen everything, or 10 s after the last write was due. */
export async function observe(client: Client, load: WatchLoad): Promise<Sightings> {
  const expected = sightingsOf(load);
  const writes = new Float64Array(expected);
  const seenMs = new Float64Array(expected);
  let seen = 0;
  const see = (value: Uint8Array) => {
    writes[seen] = new DataView(value.buffer, value.byteOffset).getUint32(0);
    seenMs[seen++] = monotonicMs();
  };
  const cancels = await Promise.all(
    Array.from({ length: load.watchers }, (_, watcher) => client.watch(prefixOf(load, watcher), see)),
  );
  if (monotonicMs() > load.startMs) throw new Error("the watchers were late");
  const deadlineMs = load.startMs + load.durationMs + patienceMs;
  while (seen < expected && monotonicMs() < deadlineMs) await delay(10);
  for (const cancel of cancels) cancel();
  return { writes: writes.subarray(0, seen), seenMs: seenMs.subarray(0, seen) };
}

export function lagOf(load: WatchLoad, { sentMs, answeredMs }: PacedWrites, sightings: Sightings): WatchLag {
  const since = (momentsMs: Float64Array) => {
    const lagsMs = sightings.seenMs.map((atMs, at) => atMs - (momentsMs[sightings.writes[at] ?? NaN] ?? NaN));
    return { p50Ms: percentile(lagsMs, 0.5), p99Ms: percentile(lagsMs, 0.99) };
  };
  const tookMs = (sentMs.at(-1) ?? NaN) - (sentMs[0] ?? NaN);
  return {
    writesPerSecond: ((sentMs.length - 1) / tookMs) * 1000,
    afterAnswer: since(answeredMs),
    afterSending: since(sentMs),
    missed: sightingsOf(load) - sightings.seenMs.length,
  };
}

function prefixOf({ prefix, shared }: WatchLoad, watcher: number): string {
  return shared ? prefix : `${prefix}${watcher}/`;
}

function writesOf({ writesPerSecond, durationMs }: WatchLoad): number {
  return Math.floor((writesPerSecond * durationMs) / 1000);
}

function sightingsOf(load: WatchLoad): number {
  return load.shared ? writesOf(load) * load.watchers : writesOf(load);
}
