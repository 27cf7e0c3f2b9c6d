/**
 * The end of the log that is not known to be durable yet: entries, or a snapshot that replaces everything
 * before them. A first part of it is "in progress": handed out to be written, not yet reported durable.
 *
 * Invariants: entries are contiguous from `offset`; offset <= offsetInProgress <= offset + entries.length;
 * a snapshot, if there is one, ends at offset - 1 (until entries replace it).
 */

import { assert } from "#base/assert.ts";
import type { Entry, Snapshot } from "./types.ts";

export class Unstable {
  snapshot: Snapshot | undefined;
  entries: Entry[] = [];
  /** Index of entries[0], or of the first entry that will come. */
  offset: number;
  /** Entries below it have been handed out to be written. */
  offsetInProgress: number;
  snapshotInProgress = false;

  constructor(offset: number) {
    this.offset = offset;
    this.offsetInProgress = offset;
  }

  /** Undefined when storage has to be asked. */
  firstIndex(): number | undefined {
    return this.snapshot === undefined ? undefined : this.snapshot.metadata.index + 1;
  }

  lastIndex(): number | undefined {
    if (this.entries.length > 0) return this.offset + this.entries.length - 1;
    return this.snapshot?.metadata.index;
  }

  term(index: number): number | undefined {
    if (index >= this.offset) return this.entries[index - this.offset]?.term;
    return this.snapshot?.metadata.index === index ? this.snapshot.metadata.term : undefined;
  }

  /** Entries in [low, high). */
  slice(low: number, high: number): Entry[] {
    assert(
      low >= this.offset && high <= this.offset + this.entries.length,
      "slice is within the unstable log",
    );
    return this.entries.slice(low - this.offset, high - this.offset);
  }

  /** Entries that nobody has been asked to write yet. */
  nextEntries(): Entry[] {
    return this.entries.slice(this.offsetInProgress - this.offset);
  }

  hasNextEntries(): boolean {
    return this.offset + this.entries.length > this.offsetInProgress;
  }

  nextSnapshot(): Snapshot | undefined {
    return this.snapshotInProgress ? undefined : this.snapshot;
  }

  /** What `nextEntries` and `nextSnapshot` returned is being written now. */
  acceptInProgress(): void {
    this.offsetInProgress = this.offset + this.entries.length;
    if (this.snapshot !== undefined) this.snapshotInProgress = true;
  }

  /**
   * Entries up to (index, term) are durable. The term tells a late report about entries which have been
   * overwritten since from one about their successors.
   */
  stableTo(index: number, term: number): void {
    if (index < this.offset || this.term(index) !== term) return;
    this.entries = this.entries.slice(index + 1 - this.offset);
    this.offset = index + 1;
    this.offsetInProgress = Math.max(this.offsetInProgress, this.offset);
  }

  stableSnapshotTo(index: number): void {
    if (this.snapshot?.metadata.index !== index) return;
    this.snapshot = undefined;
    this.snapshotInProgress = false;
  }

  restore(snapshot: Snapshot): void {
    this.entries = [];
    this.offset = snapshot.metadata.index + 1;
    this.offsetInProgress = this.offset;
    this.snapshot = snapshot;
    this.snapshotInProgress = false;
  }

  /** Appends, after cutting off whatever conflicts. What was being written and is cut must be written anew. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const from = entries[0]?.index;
    if (from === undefined) return;
    const end = this.offset + this.entries.length;
    assert(from <= end, "the log has no gaps");
    if (from === end) {
      this.entries.push(...entries);
    } else if (from <= this.offset) {
      this.entries = [...entries];
      this.offset = from;
      this.offsetInProgress = from;
    } else {
      this.entries = [...this.slice(this.offset, from), ...entries];
      this.offsetInProgress = Math.min(this.offsetInProgress, from);
    }
  }
}
