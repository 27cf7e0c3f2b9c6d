/**
 * What a machine's disk would still hold of the log after a power cut, as an observer outside of the log's
 * code sees it: the records are read as their bytes become durable.
 */

import { crc32 } from "node:zlib";
import { readEntry } from "#replica/raft-records.ts";
import { decodeRecord, segmentHeaderBytes } from "#replica/log-record.ts";
import { ByteReader } from "#store/bytes.ts";

export class DurableLog {
  /** By index. There is a gap where the files of older entries have been given up. */
  #terms = new Map<number, number>();
  #lastIndex = 0;
  #compactIndex = 0;
  readonly #onEntry: (index: number, term: number, content: number) => void;

  /** `content` is a checksum of the entry. */
  constructor(onEntry: (index: number, term: number, content: number) => void) {
    this.#onEntry = onEntry;
  }

  /** Compacted entries count as held: their effects are in a state that was durable before. */
  holds(index: number, term: number): boolean {
    return index <= this.#compactIndex || this.#terms.get(index) === term;
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
  }

  #read(segment: number, bytes: Buffer, start: number): void {
    let entries: { index: number; term: number; content: number }[] = [];
    let state: { compactIndex: number; reset: boolean } | undefined;
    for (let at = start; ;) {
      const decoded = decodeRecord(bytes, at, segment);
      if (decoded === undefined) return;
      at += decoded.sizeBytes;
      const { type, payload, endsBatch } = decoded.record;
      const from = new ByteReader(payload);
      if (type === "entry") {
        const { index, term } = readEntry(from);
        entries.push({ index, term, content: crc32(payload) });
      } else {
        for (let field = 0; field < 3; field++) from.integer();
        const compactIndex = from.integer();
        from.integer();
        const reset = from.boolean();
        state = { compactIndex, reset: reset || state?.reset === true };
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

  #take({ compactIndex, reset }: { compactIndex: number; reset: boolean }): void {
    if (reset) this.clear();
    for (const index of this.#terms.keys()) if (index <= compactIndex) this.#terms.delete(index);
    this.#compactIndex = compactIndex;
    this.#lastIndex = Math.max(this.#lastIndex, compactIndex);
  }

  #add({ index, term, content }: { index: number; term: number; content: number }): void {
    if (index <= this.#compactIndex) return;
    this.#onEntry(index, term, content);
    // What stood behind it is of an earlier term, and void.
    for (; this.#lastIndex > index; this.#lastIndex--) this.#terms.delete(this.#lastIndex);
    this.#terms.set(index, term);
    this.#lastIndex = index;
  }
}
