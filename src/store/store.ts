/**
 * The state that the log builds: keys with revisions and history, in SQLite. Applying is
 * deterministic: the same entries give the same keys, results, events and checksum on every replica.
 * The store knows nothing of raft but the index and term of what it applies, and nothing of watchers.
 *
 * Invariants: revisions are gapless; the applied position is committed together with what it covers;
 * `checksum` depends on all that was ever applied, not on how it was batched.
 */

import type { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { assert } from "#base/assert.ts";
import type {
  KeyValue,
  RangeRequest,
  RangeResult,
  TransactionResult,
  WatchEvent,
  WatchRequest,
} from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { TransactionState } from "#base/transaction.ts";
import {
  checkFence,
  checkReadRevision,
  compactedError,
  evaluateTransaction,
  futureRevisionError,
} from "#base/transaction.ts";
import type { WatchHistory } from "#base/watch-hub.ts";
import { writeWatchEvent } from "./backend-records.ts";
import { ByteWriter } from "./bytes.ts";
import type { CheckpointEvents } from "./checkpoint.ts";
import { Checkpointer } from "./checkpoint.ts";
import type { Command } from "./command.ts";
import { endOf, History, tombstone } from "./history.ts";
import { LeaseTable } from "./lease-table.ts";
import { Moments } from "./moments.ts";
import { damageOf, rowChecksum } from "./row-checksum.ts";
import type { ScrubLimits, ScrubStep } from "./scrub.ts";
import { scrubRows } from "./scrub.ts";
import type { HistoryRow, Statements } from "./tables.ts";
import { isOutOfRoom, openDatabase, prepareStatements } from "./tables.ts";

/** How far the state has come. Stored in one row, in the same SQLite transaction as the data. */
export interface StorePosition {
  /** Index and term of the last applied log entry; 0 for the empty state. */
  index: number;
  term: number;
  revision: number;
  compactRevision: number;
  /** Revision at which physical compaction goes on. */
  compactFrom: number;
  /** It has dealt with the rows up to this id; -1 when there is nothing to do. */
  compactCursor: number;
  checksum: number;
}

/** Outcome of one command: a result, or the error with which it was refused (the same on every replica). */
export interface Applied {
  result?: TransactionResult;
  error?: StatusError;
  events: WatchEvent[];
  revision: number;
  /** The lease that was granted or revoked. */
  lease?: string;
}

/** Used within one call only. Values are large, and a new buffer for each would be garbage outside of V8's sight. */
const checksumScratch = new ByteWriter(4096);

const emptyPosition: StorePosition = {
  index: 0,
  term: 0,
  revision: 1,
  compactRevision: 0,
  compactFrom: 0,
  compactCursor: -1,
  checksum: 0,
};

/** What the store is made of where it isn't a file: parts of a simulated disk. */
export interface StoreParts {
  database?: DatabaseSync;
  /** What a flush does there. */
  onFlush?: () => void;
  /** Calls back when a flush that was asked for now would end. Absent: soon. */
  later?: (flushed: () => void) => void;
}

type Uncommitted =
  | { index: number; term: number; command: Command | undefined }
  | { note: string; value: string };

const mostUncommitted = 500;
const mostUncommittedBytes = 1 << 20;

export class Store implements TransactionState, WatchHistory {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #ownsDatabase: boolean;
  readonly #statements: Statements;
  #position: StorePosition;
  /** What SQLite has committed. */
  #committed: StorePosition;
  /** What was applied since, in order. */
  #uncommitted: Uncommitted[] = [];
  #uncommittedBytes = 0;
  readonly leases: LeaseTable;
  readonly #history: History;
  readonly #moments: Moments;
  #inBatch = false;
  #events: WatchEvent[] = [];
  readonly #given: StoreParts;
  #checkpointer: Checkpointer | undefined;
  #closed = false;
  /** Told of a row that is not as it was written, before the error is thrown: whoever reads may not be the one to deal with it. */
  onDamage: ((error: Error) => void) | undefined;

  /** `path` ":memory:" keeps the state in memory. The database is made if it isn't there. One that is given stays its giver's. */
  constructor(path: string, given: StoreParts = {}) {
    this.path = path;
    this.#database = given.database ?? openDatabase(path);
    this.#ownsDatabase = given.database === undefined;
    this.#given = given;
    this.#statements = prepareStatements(this.#database);
    const stored = this.note("position");
    this.#position = stored === undefined ? { ...emptyPosition } : (JSON.parse(stored) as StorePosition);
    this.#committed = { ...this.#position };
    this.leases = new LeaseTable(this.#statements);
    this.#history = new History(this.#statements, (row) => this.checked(row));
    this.#moments = new Moments(this.#statements);
  }

  get position(): Readonly<StorePosition> {
    return this.#position;
  }

  get revision(): number {
    return this.#position.revision;
  }

  get compactRevision(): number {
    return this.#position.compactRevision;
  }

  get databaseBytes(): number {
    const { page_count: pages } = this.#database.prepare("PRAGMA page_count").get() as { page_count: number };
    return pages * 4096;
  }

  /**
   * Runs `work`, which applies entries, all or nothing. If it throws (a full disk), nothing of it has happened and it
   * may be tried again. Whoever reads here sees it at once. SQLite is given it by `commit`: a process that dies
   * before has to apply it again, as after a power cut.
   */
  batch<T>(work: () => T): T {
    assert(!this.#inBatch, "batches don't nest");
    const before = { ...this.#position };
    const { length } = this.#uncommitted;
    const bytes = this.#uncommittedBytes;
    if (!this.#database.isTransaction) this.#database.exec("BEGIN IMMEDIATE");
    this.#database.exec("SAVEPOINT batch");
    this.#inBatch = true;
    try {
      const result = work();
      this.#database.exec("RELEASE batch");
      return result;
    } catch (error) {
      this.#uncommitted.length = length;
      this.#uncommittedBytes = bytes;
      if (this.#database.isTransaction) {
        this.#database.exec("ROLLBACK TO batch; RELEASE batch");
        this.#setBack(before);
      } else this.#applyAgain();
      throw error;
    } finally {
      this.#inBatch = false;
    }
  }

  /** So much has been applied that `commit` is due: the pages that it changed still fit into SQLite's cache. */
  get commitDue(): boolean {
    return this.#uncommitted.length >= mostUncommitted || this.#uncommittedBytes >= mostUncommittedBytes;
  }

  /** Gives SQLite what was applied. Throws SQLite's error when the disk is full: nothing is lost, it may be tried again. */
  commit(): void {
    assert(!this.#inBatch, "no commit within a batch");
    if (!this.#database.isTransaction) return;
    try {
      this.#statements.setMeta.run("position", JSON.stringify(this.#position));
      this.#database.exec("COMMIT");
    } catch (error) {
      // Some failures make SQLite forget the transaction.
      if (!this.#database.isTransaction) this.#applyAgain();
      throw error;
    }
    this.#committed = { ...this.#position };
    this.#uncommitted = [];
    this.#uncommittedBytes = 0;
  }

  /** As `commit`. False when the disk is full. */
  tryCommit(): boolean {
    try {
      this.commit();
      return true;
    } catch (error) {
      if (!isOutOfRoom(error)) throw error;
      return false;
    }
  }

  #setBack(position: StorePosition): void {
    this.#position = position;
    this.#events = [];
    this.leases.reload();
    this.#moments.reload();
  }

  /** From SQLite's last commit on, in its cache: that needs no room on the disk. */
  #applyAgain(): void {
    const again = this.#uncommitted;
    this.#uncommitted = [];
    this.#uncommittedBytes = 0;
    this.#setBack({ ...this.#committed });
    this.#database.exec("BEGIN IMMEDIATE");
    this.#inBatch = true;
    try {
      for (const each of again) {
        if ("note" in each) this.setNote(each.note, each.value);
        else this.apply(each.index, each.term, each.command);
      }
    } catch (error) {
      throw new Error(`what was applied can't be applied again: ${String(error)}`, { cause: error });
    } finally {
      this.#inBatch = false;
    }
  }

  /** Applies the entry at (index, term), which must be the next one. Only within `batch`. */
  apply(index: number, term: number, command: Command | undefined): Applied {
    assert(this.#inBatch, "entries are applied in a batch");
    assert(index === this.#position.index + 1, `entry ${index} follows ${this.#position.index}`);
    assert(term >= this.#position.term, "terms never go back");
    this.#position.index = index;
    this.#position.term = term;
    const before = this.revision;
    const applied = this.#run(command, term);
    if (command !== undefined && this.revision > before) this.#moments.note(this.revision, command.timeMs);
    this.#addToChecksum(index, applied);
    this.#uncommitted.push({ index, term, command });
    for (const { kv } of applied.events) this.#uncommittedBytes += kv.value.length;
    return applied;
  }

  /** Linearizability is the caller's business: this reads what has been applied. Throws FatalError "corrupt" for a damaged row. */
  read(request: RangeRequest): RangeResult {
    checkReadRevision(request.revision, this.revision, this.compactRevision);
    return this.range(request);
  }

  range(request: RangeRequest): RangeResult {
    const past = request.revision !== undefined && request.revision !== 0 ? request.revision : undefined;
    const limit = request.limit === undefined || request.limit === 0 ? undefined : request.limit;
    if (request.end === undefined && past === undefined) return this.#rangeOfOne(request);
    const bounds = [request.key, endOf(request), ...(past === undefined ? [] : [past])];
    const statements = this.#statements;
    let rows: HistoryRow[] = [];
    if (request.countOnly !== true) {
      const newest = request.keysOnly === true ? statements.currentKeys : statements.currentRange;
      const older = request.keysOnly === true ? statements.pastKeys : statements.pastRange;
      rows = (past === undefined ? newest : older).all(...bounds, limit ?? -1) as unknown as HistoryRow[];
    }
    let count = rows.length;
    if (request.countOnly === true || count === limit) {
      const counting = past === undefined ? statements.currentCount : statements.pastCount;
      count = (counting.get(...bounds) as { count: number }).count;
    }
    const more = request.countOnly === true ? limit !== undefined && count > limit : count > rows.length;
    return { revision: this.revision, kvs: rows.map((row) => this.#history.toKeyValue(row)), count, more };
  }

  hasLease(id: string): boolean {
    return this.leases.granted.has(id);
  }

  put(key: string, value: Uint8Array, lease: string, revision: number): KeyValue | undefined {
    const previous = this.#current(key);
    const kv: KeyValue = {
      key,
      value,
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? 0) + 1,
      lease,
    };
    this.#statements.setCurrent.run(key, this.#append(kv));
    this.#events.push(previous === undefined ? { type: "put", kv } : { type: "put", kv, previous });
    return previous;
  }

  delete(key: string, end: string | undefined, revision: number): KeyValue[] {
    const deleted = this.range(end === undefined ? { key } : { key, end }).kvs;
    for (const previous of deleted) {
      const kv = tombstone(previous.key, revision);
      this.#append(kv);
      this.#statements.removeCurrent.run(previous.key);
      this.#events.push({ type: "delete", kv, previous });
    }
    return deleted;
  }

  events(request: WatchRequest, fromRevision: number, limit: number): { events: WatchEvent[]; upTo: number } {
    return this.#history.events(request, fromRevision, this.revision, limit);
  }

  /** The row, if it is as it was written. Throws FatalError "corrupt" otherwise. */
  checked(row: HistoryRow): HistoryRow {
    const damage = damageOf(row);
    if (damage === undefined) return row;
    if (!this.#closed) this.onDamage?.(damage);
    throw damage;
  }

  /** Looks at rows after the row `after` (0: from the start) for damage, and tells nobody else of it. */
  scrub(after: number, limits: ScrubLimits): ScrubStep {
    return scrubRows(this.#statements, after, limits);
  }

  /** A named value beside the keys, or undefined. */
  note(name: string): string | undefined {
    const row = this.#statements.getMeta.get(name) as { value: string } | undefined;
    return row?.value;
  }

  /** Sets a named value as part of the present batch: for state that follows from an entry in other ways than by a command. */
  setNote(name: string, value: string): void {
    assert(this.#inBatch, "notes are set in a batch");
    this.#statements.setMeta.run(name, value);
    this.#uncommitted.push({ note: name, value });
  }

  /** True while rows below the compact revision are still there. */
  get compactionPending(): boolean {
    return this.#position.compactCursor >= 0;
  }

  /**
   * Removes a part of the history that was compacted: looks at `limit` rows. Bounded, so that it can run
   * between batches. Work is proportional to the changes since the last compaction, not to the state.
   */
  compactStep(limit: number): void {
    if (!this.compactionPending) return;
    this.batch(() => {
      const { compactFrom, compactRevision, compactCursor } = this.#position;
      const rows = this.#statements.compactCandidates.all(
        compactFrom,
        compactRevision,
        compactCursor,
        limit,
      ) as unknown as Pick<HistoryRow, "id" | "key" | "revision" | "version">[];
      for (const row of rows) {
        this.#statements.deleteOlder.run(row.key, row.revision);
        if (row.version === 0 && row.revision < compactRevision) this.#statements.deleteRow.run(row.id);
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < limit) {
        // The rows of this very revision are kept, so the next compaction begins with them.
        this.#position.compactFrom = compactRevision;
        this.#position.compactCursor = -1;
      } else {
        this.#position.compactFrom = last.revision;
        this.#position.compactCursor = last.id;
      }
    });
    this.commit();
  }

  /** Makes everything that has been applied durable, now, and returns the index up to which it is. */
  flush(): number {
    this.commit();
    this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)");
    this.#given.onFlush?.();
    return this.#committed.index;
  }

  /** So much has been applied that `checkpoint` is due. */
  get checkpointDue(): boolean {
    return this.path !== ":memory:" && this.#checkpoints().due;
  }

  /** Flushes of a checkpoint are under way. */
  get checkpointing(): boolean {
    return this.#checkpointer?.running === true;
  }

  /**
   * Makes everything that has been applied durable while the thread goes on; one at a time. Rejects as
   * `Checkpointer.run` does. A store that is closed meanwhile reports nothing.
   */
  async checkpoint(events: CheckpointEvents): Promise<void> {
    this.commit();
    if (this.path !== ":memory:") {
      await this.#checkpoints().run(events);
      return;
    }
    const later = this.#given.later ?? queueMicrotask;
    events.onHold(true);
    await new Promise<void>((resolve) => {
      later(resolve);
    });
    if (this.#closed) return;
    this.commit();
    this.#given.onFlush?.();
    events.onDurable();
    events.onHold(false);
  }

  close(): void {
    this.#closed = true;
    if (!this.#ownsDatabase || !this.#database.isOpen) return;
    // What is not committed would be applied again at the next start.
    this.tryCommit();
    this.#checkpointer?.close();
    this.#database.close();
    this.#checkpointer?.release();
  }

  #checkpoints(): Checkpointer {
    this.#checkpointer ??= new Checkpointer(this.path, this.#database, () => this.commit());
    return this.#checkpointer;
  }

  /** A copy of a state in memory, as bytes. For snapshots and for the simulation's disk. */
  serialize(): Uint8Array {
    this.commit();
    return this.#database.serialize();
  }

  #run(command: Command | undefined, term: number): Applied {
    const before = this.revision;
    try {
      if (command === undefined) return { events: [], revision: before };
      switch (command.type) {
        case "transact": {
          const result = evaluateTransaction(command.transaction, this, term);
          return { ...this.#takeEvents(), result };
        }
        case "compact":
          this.#compact(command.revision);
          return { events: [], revision: before };
        case "note":
          this.#statements.setMeta.run(command.name, command.value);
          return { events: [], revision: before };
        case "leaseGrant":
          this.leases.grant(command.id, command.ttlSeconds);
          return { events: [], revision: before, lease: command.id };
        case "leaseRevoke":
          checkFence(command.fenceTerm, term);
          for (const key of this.leases.revoke(command.id)) this.delete(key, undefined, before + 1);
          return { ...this.#takeEvents(), lease: command.id };
      }
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      assert(this.#events.length === 0, "a refused command has changed nothing");
      return { events: [], revision: before, error };
    }
  }

  #takeEvents(): { events: WatchEvent[]; revision: number } {
    const events = this.#events;
    this.#events = [];
    if (events.length > 0) this.#position.revision++;
    return { events, revision: this.#position.revision };
  }

  #compact(revision: number): void {
    if (revision > this.revision) throw futureRevisionError();
    if (revision <= this.compactRevision) throw compactedError();
    this.#position.compactRevision = revision;
    this.#moments.compact(revision);
    // One that is still going on looks at its last revision again: its tombstones may go now.
    this.#position.compactCursor = 0;
  }

  /** What happened, and to which values, goes into the running checksum. */
  #addToChecksum(index: number, applied: Applied): void {
    const out = checksumScratch.restart();
    out.integer(index).integer(applied.revision).integer(this.compactRevision);
    out.text(applied.error?.reason ?? "");
    if (applied.lease !== undefined) out.key(applied.lease);
    for (const event of applied.events) {
      writeWatchEvent(out, event.previous === undefined ? event : { type: event.type, kv: event.kv });
    }
    this.#position.checksum = crc32(out.view(), this.#position.checksum);
  }

  #rangeOfOne(request: RangeRequest): RangeResult {
    const kv = this.#current(request.key);
    if (kv === undefined) return { revision: this.revision, kvs: [], count: 0, more: false };
    if (request.keysOnly === true) kv.value = new Uint8Array(0);
    return { revision: this.revision, kvs: request.countOnly === true ? [] : [kv], count: 1, more: false };
  }

  #current(key: string): KeyValue | undefined {
    const row = this.#statements.currentOne.get(key) as HistoryRow | undefined;
    return row === undefined ? undefined : this.#history.toKeyValue(row);
  }

  #append(kv: KeyValue): number | bigint {
    const { key, modRevision: revision, createRevision: created, version, lease, value } = kv;
    const checksum = rowChecksum({ key, revision, create_revision: created, version, lease, value });
    return this.#statements.insertHistory.run(key, revision, created, version, lease, value, checksum)
      .lastInsertRowid;
  }
}
