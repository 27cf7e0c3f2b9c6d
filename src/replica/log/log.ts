/**
 * The durable log: what raft must find again after a crash. Entries that may still be needed are kept in
 * memory too, so that raft's reads never wait; the files are read at the start only.
 *
 * Group commit: one batch is being flushed, everything that arrives meanwhile goes into the next. The files
 * are `log-segments.ts`'s business.
 *
 * Invariants: the callbacks of a batch come after its flush and in order; a segment is given up only
 * when a durable record says that its entries are compacted.
 */

import { assert } from "#base/assert.ts";
import { FatalError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import type { Entry, HardState } from "#raft/types.ts";
import { CompactedError, UnavailableError } from "#raft/types.ts";
import { ByteWriter } from "#store/bytes.ts";
import type { FormatRange } from "#store/format.ts";
import { supportedFormats } from "#store/format.ts";
import { EntrySlabs } from "./entry-slabs.ts";
import { isDiskFull } from "../errors.ts";
import type { LogState } from "./log-recovery.ts";
import { recoverLog, writeLogState } from "./log-recovery.ts";
import type { ClosedSegment, NewRecord } from "./log-segments.ts";
import { LogSegments } from "./log-segments.ts";
import type { Disk } from "../ports.ts";
import { writeEntry } from "./raft-records.ts";

export interface LogOptions {
  disk: Disk;
  logger: Logger;
  segmentBytes?: number;
  /** What may be found. Default: what this release supports. */
  formats?: FormatRange;
  /** The disk failed in a way after which nothing written is certain. */
  onFatal(error: Error): void;
  /** The disk is full (true, at each try), or has room again. Writes wait; they are not lost. Never from within a call. */
  onFull(full: boolean): void;
  /** Calls back later: how often a full disk is tried again. */
  retryLater(retry: () => void): void;
}

/** One thing to make durable. Fields that are absent stay as they are. */
export interface LogWrite {
  entries: readonly Entry[];
  hardState?: HardState;
  /** Begin anew after this position, which a snapshot has brought. */
  reset?: { index: number; term: number };
  /** Entries up to this position are no longer needed. */
  compact?: { index: number; term: number };
  done(): void;
}

// Raft asks beyond the log's ends as a matter of course: a stack trace each time would cost more than the answer.
const compacted = new CompactedError();
const unavailable = new UnavailableError();

/** At most: index, term and length as variable-length integers of 8 bytes, reserved one by one, and the type. */
const entryHeadBytes = 32;
const maxBatchBytes = 1 << 20;

export class ReplicaLog {
  readonly #options: LogOptions;
  readonly #segments: LogSegments;
  #state: LogState;
  /** Entries after #state.compactIndex, without gap. */
  #entries: Entry[];
  #entriesBytes = 0;
  readonly #slabs = new EntrySlabs();
  /** Indexes of membership changes of which nothing on disk says yet that they are committed. */
  #openChanges: number[];
  #queue: LogWrite[] = [];
  #flushing = false;
  #stopped = false;
  #full = false;

  constructor(options: LogOptions) {
    this.#options = options;
    const recovered = recoverLog(options.disk, options.logger, options.formats ?? supportedFormats);
    this.#state = recovered.state;
    this.#entries = recovered.entries;
    for (const entry of this.#entries) this.#entriesBytes += entry.data.length;
    const { commit } = recovered.state.hardState;
    this.#openChanges = this.#entries
      .filter(({ type, index }) => type === "confChange" && index > commit)
      .map(({ index }) => index);
    this.#segments = new LogSegments(options.disk, options.segmentBytes ?? 8 << 20, recovered);
    if (this.#segments.isEmpty) return;
    // A process that was killed may have left its last batch to the system's memory only. Nothing of it is
    // acknowledged, and nothing written behind it, before it is durable.
    this.#flushing = true;
    this.#segments.flush((error) => this.#flushed([], error));
  }

  /** The term and vote as they are on disk; `commit` may be behind. */
  get hardState(): HardState {
    return { ...this.#state.hardState };
  }

  get isEmpty(): boolean {
    return this.#state.compactIndex === 0 && this.#entries.length === 0 && this.#state.hardState.term === 0;
  }

  get firstIndex(): number {
    return this.#state.compactIndex + 1;
  }

  get lastIndex(): number {
    return this.#state.compactIndex + this.#entries.length;
  }

  /** Bytes of entries that are kept in memory. */
  get entriesBytes(): number {
    return this.#entriesBytes;
  }

  get diskBytes(): number {
    return this.#segments.diskBytes;
  }

  /** Files that are no longer written to, from the oldest to the newest. */
  get closedSegments(): ClosedSegment[] {
    return this.#segments.closed;
  }

  term(index: number): number {
    if (index === this.#state.compactIndex) return this.#state.compactTerm;
    if (index < this.#state.compactIndex) throw compacted;
    const entry = this.#entries[index - this.firstIndex];
    if (entry === undefined) throw unavailable;
    return entry.term;
  }

  entries(low: number, high: number, maxBytes: number): Entry[] {
    if (low < this.firstIndex) throw compacted;
    if (high > this.lastIndex + 1) throw unavailable;
    const found: Entry[] = [];
    let size = 0;
    for (let index = low; index < high; index++) {
      const entry = this.#entries[index - this.firstIndex] as Entry;
      size += entry.data.length;
      if (found.length > 0 && size > maxBytes) break;
      found.push(entry);
    }
    return found;
  }

  /** The cluster's format, from the next write on: a segment has one format only. */
  setFormat(format: number): void {
    this.#segments.format = format;
  }

  /** Queues a write. `done` is called once it is durable, never from within this call unless nothing needs a flush. */
  write(write: LogWrite): void {
    if (this.#stopped) return;
    if (!this.#flushing && this.#queue.length === 0 && !this.#needsFlush(write)) {
      if (write.hardState !== undefined) this.#state.hardState.commit = write.hardState.commit;
      write.done();
      return;
    }
    this.#queue.push(write);
    this.#next();
  }

  /** Makes an empty log begin after this position, in memory at once. Only before anything else is written. */
  beginAfter(index: number, term: number): void {
    assert(this.#queue.length === 0, "a log begins once");
    const write: LogWrite = { entries: [], reset: { index, term }, done: () => undefined };
    this.#remember(write);
    this.write(write);
  }

  /** No callbacks come any more. What was flushed stays. */
  close(): void {
    this.#stopped = true;
    this.#queue = [];
    if (!this.#flushing) this.#segments.close();
  }

  #needsFlush(write: LogWrite): boolean {
    return (
      write.entries.length > 0 ||
      write.reset !== undefined ||
      write.compact !== undefined ||
      (write.hardState !== undefined && this.#isNews(write.hardState))
    );
  }

  /**
   * A new commit index alone is not worth a flush, unless it says that a membership change is committed: who
   * has forgotten that asks the old members for their votes. So whatever is acknowledged after such a change
   * was committed is acknowledged by members that will know it.
   */
  #isNews({ term, vote, commit }: HardState): boolean {
    const known = this.#state.hardState;
    return term !== known.term || vote !== known.vote || this.#openChanges.some((index) => index <= commit);
  }

  #next(): void {
    while (!this.#flushing && !this.#stopped && !this.#full && this.#queue.length > 0) {
      const { writes, records } = this.#takeBatch();
      if (records.length === 0) {
        for (const write of writes) this.#remember(write);
        for (const write of writes) write.done();
        continue;
      }
      try {
        this.#segments.append(records, statePayload(this.#state, false), newestIndex(writes));
      } catch (error) {
        this.#refuse(error, writes);
        return;
      }
      this.#flushing = true;
      this.#segments.flush((error) => this.#flushed(writes, error));
    }
  }

  /** All that waits, up to a size that keeps one flush short. */
  #takeBatch(): { writes: LogWrite[]; records: NewRecord[] } {
    const writes: LogWrite[] = [];
    const records: NewRecord[] = [];
    const state: LogState = { ...this.#state };
    let size = 0;
    let stateChanged = false;
    for (const write of this.#queue) {
      if (size > maxBatchBytes) break;
      writes.push(write);
      if (write.hardState !== undefined) {
        stateChanged ||= this.#isNews(write.hardState);
        state.hardState = { ...write.hardState };
      }
      // Whoever has a membership change must know, after a crash too, that the one before is committed.
      stateChanged ||= write.entries.some((entry) => entry.type === "confChange");
      const at = write.reset ?? write.compact;
      // A compaction may have waited behind a snapshot that goes further.
      if (at !== undefined && (write.reset !== undefined || at.index > state.compactIndex)) {
        state.compactIndex = at.index;
        state.compactTerm = at.term;
        stateChanged = true;
        records.push({ type: "state", payload: statePayload(state, write.reset !== undefined) });
      }
      for (const entry of write.entries) {
        // Of just its size, but for a byte or two: these are many, and garbage after the write.
        const out = new ByteWriter(entry.data.length + (entry.type === "normal" ? entryHeadBytes : 256));
        writeEntry(out, entry);
        const payload = out.finish();
        size += payload.length;
        records.push({ type: "entry", payload });
      }
    }
    if (stateChanged) records.push({ type: "state", payload: statePayload(state, false) });
    this.#queue.splice(0, writes.length);
    return { writes, records };
  }

  #refuse(error: unknown, writes: LogWrite[]): void {
    if (!isDiskFull(error)) {
      this.#die(error as Error);
      return;
    }
    this.#queue.unshift(...writes);
    this.#full = true;
    // Whoever writes may not be ready to hear of it yet: the log begins anew while its replica is being made.
    queueMicrotask(() => {
      if (this.#full && !this.#stopped) this.#options.onFull(true);
    });
    this.#options.retryLater(() => {
      this.#full = false;
      this.#next();
      if (!this.#full) this.#options.onFull(false);
    });
  }

  #flushed(writes: LogWrite[], error: Error | undefined): void {
    this.#flushing = false;
    if (this.#stopped) {
      this.#segments.close();
      return;
    }
    // After a failed flush the kernel may have dropped the data: no second try can be trusted.
    if (error !== undefined) {
      this.#die(error);
      return;
    }
    for (const write of writes) this.#remember(write);
    // The next flush starts before the callbacks run, so that the disk does not wait for them.
    this.#next();
    for (const write of writes) write.done();
    if (!writes.some((write) => write.compact !== undefined || write.reset !== undefined)) return;
    try {
      this.#segments.giveUp(this.#state.compactIndex);
    } catch (failure) {
      this.#die(failure as Error);
    }
  }

  #remember(write: LogWrite): void {
    if (write.reset !== undefined) {
      this.#state.compactIndex = write.reset.index;
      this.#state.compactTerm = write.reset.term;
      this.#entries = [];
      this.#entriesBytes = 0;
      this.#openChanges = [];
    }
    if (write.compact !== undefined) this.#forget(write.compact);
    for (const entry of write.entries) this.#append(entry);
    if (write.hardState === undefined) return;
    const { hardState } = write;
    this.#state.hardState = { ...hardState };
    this.#openChanges = this.#openChanges.filter((index) => index > hardState.commit);
  }

  #forget(compact: { index: number; term: number }): void {
    const count = compact.index - this.#state.compactIndex;
    if (count <= 0) return;
    for (const entry of this.#entries.slice(0, count)) this.#entriesBytes -= entry.data.length;
    this.#entries = this.#entries.slice(count);
    this.#state.compactIndex = compact.index;
    this.#state.compactTerm = compact.term;
  }

  #append(entry: Entry): void {
    const at = entry.index - this.firstIndex;
    if (at < 0) return;
    assert(at <= this.#entries.length, "the log has no gap");
    for (const dropped of this.#entries.slice(at)) this.#entriesBytes -= dropped.data.length;
    if (at < this.#entries.length) {
      this.#openChanges = this.#openChanges.filter((index) => index < entry.index);
      this.#entries.length = at;
    }
    this.#entries.push({ ...entry, data: this.#slabs.keep(entry.data) });
    if (entry.type === "confChange") this.#openChanges.push(entry.index);
    this.#entriesBytes += entry.data.length;
  }

  #die(error: Error): void {
    this.#stopped = true;
    this.#options.onFatal(
      new FatalError("corrupt", `the replica's log can't be written: ${error.message}`, { cause: error }),
    );
  }
}

/** Of all entries in these writes; 0: there are none. */
function newestIndex(writes: readonly LogWrite[]): number {
  let newest = 0;
  for (const { entries } of writes) newest = Math.max(newest, entries.at(-1)?.index ?? 0);
  return newest;
}

function statePayload(state: LogState, reset: boolean): Uint8Array {
  const out = new ByteWriter(64);
  writeLogState(out, state, reset);
  return out.finish();
}
