/**
 * The log as the core sees it: the durable part in `RaftStorage` and the unstable end in one, with the
 * positions of commit and apply. Knows entries and indexes, nothing of members or messages.
 *
 * Invariant: applied <= applying <= committed <= lastIndex.
 */

import { assert } from "#base/assert.ts";
import { entriesBytes, limitEntries } from "./entry-size.ts";
import { Unstable } from "./unstable.ts";
import { CompactedError, UnavailableError } from "./types.ts";
import type { Entry, RaftStorage, Snapshot } from "./types.ts";

export class RaftLog {
  readonly unstable: Unstable;
  /** The highest index known to be durable on a quorum. */
  committed: number;
  /** The highest index handed out to be applied. */
  applying: number;
  /** The highest index reported as applied. */
  applied: number;
  readonly #storage: RaftStorage;
  readonly #maxApplyingBytes: number;
  #applyingBytes = 0;
  /** The application has enough to do: nothing more is handed out before it reports. */
  #applyingPaused = false;

  constructor(storage: RaftStorage, maxApplyingBytes: number) {
    this.#storage = storage;
    this.#maxApplyingBytes = maxApplyingBytes;
    this.unstable = new Unstable(storage.lastIndex() + 1);
    this.committed = storage.firstIndex() - 1;
    this.applying = this.committed;
    this.applied = this.committed;
  }

  firstIndex(): number {
    return this.unstable.firstIndex() ?? this.#storage.firstIndex();
  }

  lastIndex(): number {
    return this.unstable.lastIndex() ?? this.#storage.lastIndex();
  }

  lastTerm(): number {
    return this.term(this.lastIndex());
  }

  /** Throws CompactedError or UnavailableError outside of [firstIndex - 1, lastIndex]. */
  term(index: number): number {
    const unstableTerm = this.unstable.term(index);
    if (unstableTerm !== undefined) return unstableTerm;
    if (index + 1 < this.firstIndex()) throw new CompactedError(`entry ${index} is compacted`);
    if (index > this.lastIndex()) throw new UnavailableError(`entry ${index} is beyond the log`);
    return this.#storage.term(index);
  }

  /** Undefined where the term is not known (any more). */
  termIfKnown(index: number): number | undefined {
    // Asked of the entry behind the last one all the time: an error each time would cost more than the answer.
    if (index > this.lastIndex()) return undefined;
    try {
      return this.term(index);
    } catch (error) {
      if (error instanceof CompactedError || error instanceof UnavailableError) return undefined;
      throw error;
    }
  }

  matchesTerm(index: number, term: number): boolean {
    return this.termIfKnown(index) === term;
  }

  /** A log that ends in (index, term) is at least as new as this one (the Raft paper, section 5.4.1). */
  isUpToDate(index: number, term: number): boolean {
    const ours = this.lastTerm();
    return term > ours || (term === ours && index >= this.lastIndex());
  }

  /** Entries from `low` to the end, at least one if there is one. Throws CompactedError. */
  entriesFrom(low: number, maxBytes: number): Entry[] {
    return low > this.lastIndex() ? [] : this.slice(low, this.lastIndex() + 1, maxBytes);
  }

  /** Entries in [low, high), at least one. Throws CompactedError. */
  slice(low: number, high: number, maxBytes: number): Entry[] {
    assert(low <= high && high <= this.lastIndex() + 1, "slice is within the log");
    if (low < this.firstIndex()) throw new CompactedError(`entry ${low} is compacted`);
    if (low === high) return [];
    const { offset } = this.unstable;
    if (low >= offset) return limitEntries(this.unstable.slice(low, high), maxBytes);
    const middle = Math.min(high, offset);
    const stable = this.#storage.entries(low, middle, maxBytes);
    assert(stable.length > 0, "storage returns at least one entry");
    // Storage stopped early, or there is nothing after its part.
    if (stable.length < middle - low || high <= offset) return stable;
    const left = maxBytes - entriesBytes(stable);
    if (left <= 0) return stable;
    const rest = limitEntries(this.unstable.slice(offset, high), left);
    if (rest.length === 1 && entriesBytes(rest) > left) return stable;
    return [...stable, ...rest];
  }

  /** Appends at the end, or over entries that were never committed. Returns the new last index. */
  append(entries: readonly Entry[]): number {
    const first = entries[0];
    if (first !== undefined) {
      assert(first.index > this.committed, "a committed entry is never overwritten");
      this.unstable.truncateAndAppend(entries);
    }
    return this.lastIndex();
  }

  /**
   * A follower's append: takes `entries` after (previousIndex, previousTerm) and follows the leader's
   * commit. Undefined when the logs don't match there, else the last index that is now known to match.
   */
  maybeAppend(
    previousIndex: number,
    previousTerm: number,
    entries: readonly Entry[],
    leaderCommit: number,
  ): number | undefined {
    if (!this.matchesTerm(previousIndex, previousTerm)) return undefined;
    const lastNew = previousIndex + entries.length;
    // Only from the first conflict on: a late, short append must not cut off what came after it.
    const from = entries.findIndex((entry) => !this.matchesTerm(entry.index, entry.term));
    if (from >= 0) this.append(entries.slice(from));
    this.commitTo(Math.min(leaderCommit, lastNew));
    return lastNew;
  }

  /**
   * The largest index up to `index` whose entry is of `term` or older, and its term: with it either side
   * skips whole terms instead of single entries when it looks for the point where the logs agree. The
   * term is 0 where it isn't known, in which case the index may match.
   */
  findConflictByTerm(index: number, term: number): { index: number; term: number } {
    for (let candidate = index; candidate > 0; candidate--) {
      const ours = this.termIfKnown(candidate);
      if (ours === undefined) return { index: candidate, term: 0 };
      if (ours <= term) return { index: candidate, term: ours };
    }
    return { index: 0, term: 0 };
  }

  /** Only entries of the leader's own term are committed by counting (the Raft paper, section 5.4.2). */
  maybeCommit(index: number, term: number): boolean {
    if (index <= this.committed || !this.matchesTerm(index, term)) return false;
    this.commitTo(index);
    return true;
  }

  /** The commit index never goes back. */
  commitTo(index: number): void {
    if (index <= this.committed) return;
    assert(index <= this.lastIndex(), "the commit index is within the log: else the log has lost its end");
    this.committed = index;
  }

  hasNextOrInProgressSnapshot(): boolean {
    return this.unstable.snapshot !== undefined;
  }

  hasNextOrInProgressEntries(): boolean {
    return this.unstable.entries.length > 0;
  }

  hasNextCommittedEntries(allowUnstable: boolean): boolean {
    return this.#canApply() && this.applying < this.#appliableIndex(allowUnstable);
  }

  /** Committed entries to apply next. `allowUnstable`: also those that are not durable here yet. */
  nextCommittedEntries(allowUnstable: boolean): Entry[] {
    if (!this.hasNextCommittedEntries(allowUnstable)) return [];
    const room = this.#maxApplyingBytes - this.#applyingBytes;
    return this.slice(this.applying + 1, this.#appliableIndex(allowUnstable) + 1, room);
  }

  /** Entries up to `index`, of `bytes`, have been handed out. */
  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    assert(index > this.applying && index <= this.committed, "only committed entries are applied, once");
    this.applying = index;
    this.#applyingBytes += bytes;
    this.#applyingPaused =
      this.#applyingBytes >= this.#maxApplyingBytes || index < this.#appliableIndex(allowUnstable);
  }

  appliedTo(index: number, bytes: number): void {
    assert(
      index >= this.applied && index <= this.committed,
      "applied lies between its old value and the commit",
    );
    this.applied = index;
    this.applying = Math.max(this.applying, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#applyingPaused = this.#applyingBytes >= this.#maxApplyingBytes;
  }

  /** The newest snapshot to send. Throws SnapshotTemporarilyUnavailableError. */
  snapshot(): Snapshot {
    return this.unstable.snapshot ?? this.#storage.snapshot();
  }

  restore(snapshot: Snapshot): void {
    this.committed = snapshot.metadata.index;
    this.unstable.restore(snapshot);
  }

  // A snapshot goes first: entries apply to the state that it brings.
  #canApply(): boolean {
    return !this.#applyingPaused && !this.hasNextOrInProgressSnapshot();
  }

  #appliableIndex(allowUnstable: boolean): number {
    return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);
  }
}
