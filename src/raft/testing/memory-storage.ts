/** A RaftStorage in memory, for tests and the simulation. What is appended counts as durable. */

import { assert } from "#base/assert.ts";
import { limitEntries } from "../entry-size.ts";
import { CompactedError, SnapshotTemporarilyUnavailableError, UnavailableError } from "../types.ts";
import type { ConfState, Entry, HardState, RaftStorage, Snapshot } from "../types.ts";

export const emptyConfState: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

export class MemoryStorage implements RaftStorage {
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  /** The application's: what `initialState` starts from. */
  confState: ConfState = emptyConfState;
  /** What is sent to a follower; undefined: none can be made now. */
  sendableSnapshot: Snapshot | undefined;
  /** Index and term just before entries[0]. */
  #baseIndex = 0;
  #baseTerm = 0;
  #entries: Entry[] = [];

  initialState(): { hardState: HardState; confState: ConfState } {
    return { hardState: this.hardState, confState: this.confState };
  }

  entries(low: number, high: number, maxBytes: number): Entry[] {
    if (low <= this.#baseIndex) throw new CompactedError(`entry ${low} is compacted`);
    if (high > this.lastIndex() + 1) throw new UnavailableError(`entry ${high - 1} is beyond the log`);
    const start = low - this.#baseIndex - 1;
    return limitEntries(this.#entries.slice(start, start + high - low), maxBytes);
  }

  term(index: number): number {
    if (index === this.#baseIndex) return this.#baseTerm;
    if (index < this.#baseIndex) throw new CompactedError(`entry ${index} is compacted`);
    const entry = this.#entries[index - this.#baseIndex - 1];
    if (entry === undefined) throw new UnavailableError(`entry ${index} is beyond the log`);
    return entry.term;
  }

  lastIndex(): number {
    return this.#baseIndex + this.#entries.length;
  }

  firstIndex(): number {
    return this.#baseIndex + 1;
  }

  snapshot(): Snapshot {
    if (this.sendableSnapshot === undefined) throw new SnapshotTemporarilyUnavailableError("no snapshot");
    return this.sendableSnapshot;
  }

  /** Writes entries, over those that they replace. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index > this.#baseIndex && first.index <= this.lastIndex() + 1, "the log has no gaps");
    this.#entries = [...this.#entries.slice(0, first.index - this.#baseIndex - 1), ...entries];
  }

  /** Replaces the whole log by a snapshot. */
  restore(snapshot: Snapshot): void {
    this.#baseIndex = snapshot.metadata.index;
    this.#baseTerm = snapshot.metadata.term;
    this.#entries = [];
    this.confState = snapshot.metadata.confState;
    this.sendableSnapshot = snapshot;
  }

  /** As it is now, to come back to. */
  copy(): MemoryStorage {
    const copy = new MemoryStorage();
    copy.hardState = this.hardState;
    copy.confState = this.confState;
    copy.sendableSnapshot = this.sendableSnapshot;
    copy.#baseIndex = this.#baseIndex;
    copy.#baseTerm = this.#baseTerm;
    copy.#entries = [...this.#entries];
    return copy;
  }

  /** Drops all entries up to `index`. */
  compact(index: number): void {
    const term = this.term(index);
    this.#entries = this.#entries.slice(index - this.#baseIndex);
    this.#baseIndex = index;
    this.#baseTerm = term;
  }
}
