/**
 * What a machine's disk would still hold of the log after a power cut, as an observer outside of the log's
 * code sees it: the records are read as their bytes become durable.
 */

import { crc32 } from "node:zlib";
import { readEntry } from "#replica/log/raft-records.ts";
import { decodeRecord, segmentHeaderBytes } from "#replica/log/log-record.ts";
import { ByteReader } from "#store/bytes.ts";

interface DurableEntry {
  index: number;
  term: number;
  /** A checksum. */
  content: number;
  isChange: boolean;
}

interface DurableState {
  commit: number;
  compactIndex: number;
  reset: boolean;
}

export class DurableLog {
  /** By index. There is a gap where the files of older entries have been given up. */
  #terms = new Map<number, number>();
  #lastIndex = 0;
  #compactIndex = 0;
  /** Indexes of changes of members. */
  #changes: number[] = [];
  #commit = 0;
  readonly #onEntry: (index: number, term: number, content: number) => void;

  /** `content` is a checksum of the entry. */
  constructor(onEntry: (index: number, term: number, content: number) => void) {
    this.#onEntry = onEntry;
  }

  /** Compacted entries count as held: their effects are in a state that was durable before. */
  holds(index: number, term: number): boolean {
    return index <= this.#compactIndex || this.#terms.get(index) === term;
  }

  /** There is a change of members of which nothing says that it is committed: as far as this disk goes, it never was. */
  get isUnsureOfMembers(): boolean {
    return this.#changes.some((index) => index > this.#commit);
  }

  /** The term of an entry, if it is there. */
  term(index: number): number | undefined {
    return this.#terms.get(index);
  }

  onDurable(name: string, position: number, bytes: Uint8Array): void {
    if (!name.startsWith("log-")) return;
    const start = position === 0 ? segmentHeaderBytes : 0;
    this.#read(Number(name.slice(4)), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), start);
  }

  /** After a power cut: what was not known to be durable may have become so, or have taken the place of what was. */
  reread(files: Map<string, Uint8Array>): void {
    this.clear();
    for (const name of [...files.keys()].toSorted()) {
      const bytes = files.get(name);
      if (bytes !== undefined && name.startsWith("log-")) this.onDurable(name, 0, bytes);
    }
  }

  clear(): void {
    this.#terms.clear();
    this.#lastIndex = 0;
    this.#compactIndex = 0;
    this.#changes = [];
    this.#commit = 0;
  }

  #read(segment: number, bytes: Buffer, start: number): void {
    let entries: DurableEntry[] = [];
    let state: DurableState | undefined;
    for (let at = start; ;) {
      const decoded = decodeRecord(bytes, at, segment);
      if (decoded === undefined) return;
      at += decoded.sizeBytes;
      const { type, payload, endsBatch } = decoded.record;
      const from = new ByteReader(payload);
      if (type === "entry") {
        const { index, term, type: kind } = readEntry(from);
        entries.push({ index, term, content: crc32(payload), isChange: kind === "confChange" });
      } else {
        for (let field = 0; field < 2; field++) from.integer();
        const commit = from.integer();
        const compactIndex = from.integer();
        from.integer();
        const reset = from.boolean();
        state = { commit, compactIndex, reset: reset || state?.reset === true };
        // A state that begins a batch concerns what came before it.
        if (reset) entries = [];
      }
      if (!endsBatch) continue;
      if (state !== undefined) this.#take(state);
      for (const entry of entries) this.#add(entry);
      entries = [];
      state = undefined;
    }
  }

  #take({ commit, compactIndex, reset }: DurableState): void {
    if (reset) this.clear();
    for (const index of this.#terms.keys()) if (index <= compactIndex) this.#terms.delete(index);
    this.#changes = this.#changes.filter((index) => index > compactIndex);
    this.#commit = commit;
    this.#compactIndex = compactIndex;
    this.#lastIndex = Math.max(this.#lastIndex, compactIndex);
  }

  #add({ index, term, content, isChange }: DurableEntry): void {
    if (index <= this.#compactIndex) return;
    this.#onEntry(index, term, content);
    this.#changes = this.#changes.filter((change) => change < index);
    if (isChange) this.#changes.push(index);
    // What stood behind it is of an earlier term, and void.
    for (; this.#lastIndex > index; this.#lastIndex--) this.#terms.delete(this.#lastIndex);
    this.#terms.set(index, term);
    this.#lastIndex = index;
  }
}
