/**
 * A complete datastore in memory, for tests and development: the executable meaning of `Backend`.
 * It keeps history like the real store, has no limits on memory and loses everything at the end.
 */

import type {
  Backend,
  BackendStatus,
  KeyValue,
  Leadership,
  RangeRequest,
  RangeResult,
  Transaction,
  TransactionResult,
  Watch,
  WatchEvent,
  WatchRequest,
  WatchSink,
} from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { inKeyRange } from "#base/key-range.ts";
import type { Leases } from "#base/leases.ts";
import { grantedSeconds, leaseExistsError, leaseNotFoundError } from "#base/leases.ts";
import type { TransactionState } from "#base/transaction.ts";
import {
  checkReadRevision,
  compactedError,
  evaluateTransaction,
  futureRevisionError,
  validateTransaction,
} from "#base/transaction.ts";
import type { WatchHistory } from "#base/watch-hub.ts";
import { WatchHub } from "#base/watch-hub.ts";

const memberId = "0000000000000001";

export class MemoryBackend implements Backend {
  readonly #state = new MemoryState();
  readonly #hub: WatchHub;
  readonly leases: Leases = this.#makeLeases();
  #lastLease = 0;
  #advancing = false;
  #closed = false;

  constructor() {
    this.#hub = new WatchHub(this.#state, () => this.#advanceSoon());
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    this.#checkOpen();
    validateTransaction({ compare: [], success: [{ type: "range", request }], failure: [] });
    checkReadRevision(request.revision, this.#state.revision, this.#state.compactRevision);
    return this.#state.range(request);
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    this.#checkOpen();
    validateTransaction(transaction);
    const result = evaluateTransaction(transaction, this.#state, 1);
    const events = this.#state.commit();
    if (events.length > 0) this.#hub.publish(events, this.#state.revision);
    return result;
  }

  async readRevision(): Promise<number> {
    this.#checkOpen();
    return this.#state.revision;
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    this.#checkOpen();
    return this.#hub.watch(request, sink);
  }

  async compact(revision: number): Promise<void> {
    this.#checkOpen();
    this.#state.compact(revision);
  }

  async status(): Promise<BackendStatus> {
    const { revision, compactRevision } = this.#state;
    return {
      ready: !this.#closed,
      memberId,
      leaderId: memberId,
      term: 1,
      revision,
      appliedIndex: revision,
      committedIndex: revision,
      compactRevision,
      databaseBytes: 0,
      members: [
        {
          id: memberId,
          name: "memory",
          address: "",
          role: "voter",
          online: true,
          lagEntries: 0,
          failureDomain: "",
          isLeader: true,
          apiAddress: "",
        },
      ],
    };
  }

  onLeadership(callback: (leadership: Leadership) => void): () => void {
    callback({ leading: true, term: 1 });
    return () => undefined;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#hub.fail(new StatusError("ServiceUnavailable", "the datastore has been closed"));
  }

  /** Without a clock: a lease ends when it is revoked, and never by itself. */
  #makeLeases(): Leases {
    const state = this.#state;
    const must = (id: string): number => {
      this.#checkOpen();
      const seconds = state.leases.get(id);
      if (seconds === undefined) throw leaseNotFoundError();
      return seconds;
    };
    return {
      grant: async (wanted, ttlSeconds) => {
        this.#checkOpen();
        const id = wanted === "0" ? String(++this.#lastLease + 1_000_000) : wanted;
        const seconds = grantedSeconds(ttlSeconds);
        if (state.leases.has(id)) throw leaseExistsError();
        state.leases.set(id, seconds);
        return { id, ttlSeconds: seconds, revision: state.revision };
      },
      revoke: async (id) => {
        must(id);
        state.leases.delete(id);
        for (const key of state.keysOf(id)) state.delete(key, undefined, state.revision + 1);
        const events = state.commit();
        if (events.length > 0) this.#hub.publish(events, state.revision);
        return state.revision;
      },
      renew: async (id) => must(id),
      inspect: async (id, withKeys) => {
        const seconds = must(id);
        return {
          id,
          ttlSeconds: seconds,
          grantedSeconds: seconds,
          keys: withKeys ? state.keysOf(id) : [],
        };
      },
      list: async () => [...state.leases.keys()],
    };
  }

  #checkOpen(): void {
    if (this.#closed) throw new StatusError("ServiceUnavailable", "the datastore has been closed");
  }

  #advanceSoon(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    queueMicrotask(() => {
      this.#advancing = false;
      if (!this.#closed && this.#hub.advance()) this.#advanceSoon();
    });
  }
}

/** All versions of all keys, and the changes in order. */
class MemoryState implements TransactionState, WatchHistory {
  revision = 1;
  compactRevision = 0;
  /** Granted seconds by id. */
  readonly leases = new Map<string, number>();
  /** Versions of a key, oldest first; a version with `version` 0 is a deletion. */
  readonly #versions = new Map<string, KeyValue[]>();
  /** Keys of #versions: sorted but for the last ones, which have come since somebody has asked for a range. */
  #keys: string[] = [];
  #sortedKeys = 0;
  #changes: WatchEvent[] = [];
  #uncommitted: WatchEvent[] = [];

  range(request: RangeRequest): RangeResult {
    const at = request.revision === undefined || request.revision === 0 ? Infinity : request.revision;
    const found: KeyValue[] = [];
    for (const key of this.#keysIn(request.key, request.end)) {
      const kv = this.#versionAt(key, at);
      if (kv !== undefined && kv.version > 0) found.push(kv);
    }
    const limit = request.limit === undefined || request.limit === 0 ? found.length : request.limit;
    const kvs = request.countOnly === true ? [] : found.slice(0, limit);
    return {
      revision: this.revision,
      kvs: kvs.map((kv) => (request.keysOnly === true ? { ...kv, value: new Uint8Array(0) } : { ...kv })),
      count: found.length,
      more: found.length > limit,
    };
  }

  hasLease(id: string): boolean {
    return this.leases.has(id);
  }

  keysOf(lease: string): string[] {
    this.#sort();
    return this.#keys.filter((key) => this.#current(key)?.lease === lease);
  }

  put(key: string, value: Uint8Array, lease: string, revision: number): KeyValue | undefined {
    const previous = this.#current(key);
    const kv: KeyValue = {
      key,
      // What is kept must not hold the larger piece of memory that the writer may have cut it from.
      value: new Uint8Array(value),
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? 0) + 1,
      lease,
    };
    this.#append("put", kv, previous);
    return previous;
  }

  delete(key: string, end: string | undefined, revision: number): KeyValue[] {
    const deleted: KeyValue[] = [];
    for (const each of this.#keysIn(key, end)) {
      const previous = this.#current(each);
      if (previous === undefined) continue;
      deleted.push(previous);
      const tombstone: KeyValue = {
        key: each,
        value: new Uint8Array(0),
        createRevision: 0,
        modRevision: revision,
        version: 0,
        lease: "0",
      };
      this.#append("delete", tombstone, previous);
    }
    return deleted;
  }

  /** Ends a transaction; returns its events, none when it changed nothing. */
  commit(): WatchEvent[] {
    const events = this.#uncommitted;
    if (events.length > 0) this.revision++;
    this.#changes.push(...events);
    this.#uncommitted = [];
    return events;
  }

  events(request: WatchRequest, fromRevision: number): { events: WatchEvent[]; upTo: number } {
    const events = this.#changes.filter(
      ({ kv }) => kv.modRevision >= fromRevision && inKeyRange(kv.key, request.key, request.end),
    );
    return { events, upTo: this.revision };
  }

  compact(revision: number): void {
    if (revision > this.revision) throw futureRevisionError();
    if (revision <= this.compactRevision) throw compactedError();
    this.compactRevision = revision;
    this.#changes = this.#changes.filter(({ kv }) => kv.modRevision >= revision);
    for (const [key, versions] of this.#versions) {
      const newest = versions.findLastIndex((kv) => kv.modRevision <= revision);
      const kept = versions.slice(Math.max(newest, 0));
      if (kept[0] !== undefined && kept[0].version === 0 && kept[0].modRevision < revision) kept.shift();
      this.#versions.set(key, kept);
      if (kept.length === 0) this.#versions.delete(key);
    }
    this.#sort();
    this.#keys = this.#keys.filter((key) => this.#versions.has(key));
    this.#sortedKeys = this.#keys.length;
  }

  #append(type: "put" | "delete", kv: KeyValue, previous: KeyValue | undefined): void {
    let versions = this.#versions.get(kv.key);
    if (versions === undefined) {
      versions = [];
      this.#versions.set(kv.key, versions);
      this.#keys.push(kv.key);
    }
    versions.push(kv);
    this.#uncommitted.push(previous === undefined ? { type, kv } : { type, kv, previous });
  }

  #current(key: string): KeyValue | undefined {
    const kv = this.#versions.get(key)?.at(-1);
    return kv === undefined || kv.version === 0 ? undefined : kv;
  }

  #versionAt(key: string, revision: number): KeyValue | undefined {
    return this.#versions.get(key)?.findLast((kv) => kv.modRevision <= revision);
  }

  #keysIn(start: string, end: string | undefined): string[] {
    if (end === undefined) return this.#versions.has(start) ? [start] : [];
    this.#sort();
    const first = this.#position(start);
    return this.#keys.slice(first, end === "\0" ? undefined : Math.max(first, this.#position(end)));
  }

  #sort(): void {
    if (this.#sortedKeys === this.#keys.length) return;
    this.#keys.sort((left, right) => (left < right ? -1 : 1));
    this.#sortedKeys = this.#keys.length;
  }

  /** Index of the first key that is not below `key`. */
  #position(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
