/**
 * What leases promise: none ends before its time, counted from the newest renewal that was acknowledged; its end
 * deletes all keys that hold it and nothing else; nothing else deletes them.
 */

import type { WatchEvent } from "#base/backend.ts";
import { Violation } from "./violation.ts";

/** As its client knows it. */
export interface PromisedLease {
  id: string;
  ttlSeconds: number;
  /** When the client asked for the newest renewal (or the grant) that was acknowledged. */
  promisedAtMs: number;
  /** The client has asked for its end. */
  isGivenBack: boolean;
}

/** When a machine first applied the lease's end, and the revision that its end made, if it held keys. */
export interface LeaseEnd {
  atMs: number;
  revision: number | undefined;
}

/** Throws Violation. `leases`: their ends, undefined for those that have not ended. `fastestClock`: how much faster than time the fastest machine's clock goes, at least 1. */
export function checkLeases(
  promised: readonly PromisedLease[],
  leases: ReadonlyMap<string, LeaseEnd | undefined>,
  events: ReadonlyMap<number, WatchEvent[]>,
  fastestClock: number,
): void {
  for (const { id, ttlSeconds, promisedAtMs, isGivenBack } of promised) {
    const end = leases.get(id);
    if (end === undefined || isGivenBack) continue;
    const earliestMs = promisedAtMs + (ttlSeconds * 1000) / fastestClock;
    // Sums of fractions of milliseconds.
    if (end.atMs < earliestMs - 1e-3)
      throw new Violation(`lease ${id} ended ${Math.round(earliestMs - end.atMs)} ms before its time`);
  }
  const ends = [...leases].flatMap(([id, end]) => (end === undefined ? [] : [[id, end] as const]));
  checkDeletions(new Map(ends), events);
}

function checkDeletions(
  ends: ReadonlyMap<string, LeaseEnd>,
  events: ReadonlyMap<number, WatchEvent[]>,
): void {
  const endings = new Map([...ends].map(([id, { revision }]) => [revision, id]));
  const held = new Map<string, Set<string>>();
  const leaseOf = new Map<string, string>();
  for (const revision of [...events.keys()].toSorted((a, b) => a - b)) {
    const changes = events.get(revision) ?? [];
    const ended = endings.get(revision);
    if (ended !== undefined) {
      const expected = [...(held.get(ended) ?? [])].toSorted().map((key) => `delete ${key}`);
      const found = changes.map(({ type, kv }) => `${type} ${kv.key}`).toSorted();
      if (expected.join() !== found.join())
        throw new Violation(`the end of lease ${ended} did "${found.join()}", not "${expected.join()}"`);
    }
    for (const { type, kv } of changes) {
      const before = leaseOf.get(kv.key);
      if (type === "delete" && before !== undefined && ended !== before)
        throw new Violation(`revision ${revision} deleted ${kv.key}, whose lease ${before} had not ended`);
      if (before !== undefined) held.get(before)?.delete(kv.key);
      leaseOf.delete(kv.key);
      if (type === "delete" || kv.lease === "0") continue;
      leaseOf.set(kv.key, kv.lease);
      const keys = held.get(kv.lease) ?? new Set();
      held.set(kv.lease, keys.add(kv.key));
    }
  }
  for (const [id, { revision }] of ends)
    if (revision === undefined && (held.get(id)?.size ?? 0) > 0)
      throw new Violation(`lease ${id} ended and left its keys`);
}
