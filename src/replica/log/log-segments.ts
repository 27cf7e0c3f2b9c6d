/**
 * The files of the log. Segments have a fixed size and are written over and over again: the blocks of a file that
 * has been used once are allocated, and a flush of them writes data only. This file knows where records go and in
 * which order that must reach the disk; what they say is `log.ts`'s business.
 *
 * Invariants: a file has its name for good before anything is written to it; there is one segment more than those
 * that are closed, and only it is written to; a closed segment is durable as a whole.
 */

import type { LogRecord } from "./log-record.ts";
import { encodeRecord, encodeSegmentHeader, recordBytes, segmentHeaderBytes } from "./log-record.ts";
import type { RecoveredLog } from "./log-recovery.ts";
import { segmentName } from "./log-recovery.ts";
import type { Disk, DiskFile } from "../ports.ts";

export interface Segment {
  number: number;
  name: string;
  /** The running checksum before its first record. */
  chain: number;
  /** Index of the newest entry in it. */
  lastIndex: number;
}

/** One that is no longer written to. */
export interface ClosedSegment extends Segment {
  /** The running checksum behind its last record. */
  endChain: number;
}

export type NewRecord = Pick<LogRecord, "type" | "payload">;

const spareName = "spare";

export class LogSegments {
  readonly #disk: Disk;
  readonly #segmentBytes: number;
  #segments: Segment[];
  #file: DiskFile | undefined;
  #position: number;
  #chain: number;
  #batch: number;
  /** The cluster's, in which new segments are written. */
  format = 1;
  #segmentFormat: number;

  /** Goes on behind what was found; nothing of that counts as durable before the next flush. */
  constructor(disk: Disk, segmentBytes: number, found: RecoveredLog) {
    this.#disk = disk;
    this.#segmentBytes = segmentBytes;
    this.#segments = found.segments;
    this.#position = found.position;
    this.#chain = found.chain;
    this.#batch = found.batch;
    this.#segmentFormat = found.format;
    const current = this.#segments.at(-1);
    if (current === undefined) return;
    this.#file = disk.open(current.name);
    // What is left of a batch that was cut off would look like damage, once the log goes on in another segment.
    const leftoverBytes = found.leftoverEnd - this.#position;
    if (leftoverBytes > 0) this.#file.write(this.#position, new Uint8Array(leftoverBytes));
  }

  /** No file has been made yet. */
  get isEmpty(): boolean {
    return this.#file === undefined;
  }

  get diskBytes(): number {
    return this.#segments.length * this.#segmentBytes;
  }

  /** From the oldest to the newest. */
  get closed(): ClosedSegment[] {
    return this.#segments
      .slice(0, -1)
      .map((segment, at) => ({ ...segment, endChain: (this.#segments[at + 1] as Segment).chain }));
  }

  /**
   * Writes a batch: it is durable after the next flush, as a whole. `state` is what a new segment begins with, so that
   * older ones are not needed for that. Throws as the disk does; nothing of the log has changed then.
   */
  append(records: readonly NewRecord[], state: Uint8Array, lastIndex: number): void {
    let size = 0;
    for (const { payload } of records) size += recordBytes(payload.length);
    const isFull = this.#file === undefined || this.#position + size > this.#file.sizeBytes;
    if (isFull || this.#segmentFormat !== this.format) this.#begin(state, size);
    const segment = this.#segments.at(-1) as Segment;
    const buffer = Buffer.alloc(size);
    let at = 0;
    let chain = this.#chain;
    records.forEach((record, place) => {
      const full = { ...record, batch: this.#batch + 1, endsBatch: place === records.length - 1 };
      chain = encodeRecord(buffer, at, full, segment.number, chain);
      at += recordBytes(record.payload.length);
    });
    (this.#file as DiskFile).write(this.#position, buffer);
    this.#position += size;
    this.#chain = chain;
    this.#batch++;
    segment.lastIndex = Math.max(segment.lastIndex, lastIndex);
  }

  /** Calls back with what `DiskFile.flush` says. Not while `isEmpty`. */
  flush(done: (error: Error | undefined) => void): void {
    (this.#file as DiskFile).flush(done);
  }

  /** Of the files whose entries are all compacted, one is kept for reuse; the rest goes. */
  giveUp(compactIndex: number): void {
    while (this.#segments.length > 1) {
      const oldest = this.#segments[0] as Segment;
      if (oldest.lastIndex > compactIndex) return;
      this.#segments.shift();
      const file = this.#disk.open(oldest.name);
      const reusable = file.sizeBytes === this.#segmentBytes && !this.#disk.list().includes(spareName);
      file.close();
      if (reusable) this.#disk.rename(oldest.name, spareName);
      else this.#disk.remove(oldest.name);
    }
  }

  close(): void {
    this.#file?.close();
  }

  /** Takes a used file, or makes one. */
  #begin(state: Uint8Array, neededBytes: number): void {
    const disk = this.#disk;
    const number = (this.#segments.at(-1)?.number ?? 0) + 1;
    const name = segmentName(number);
    const wanted = segmentHeaderBytes + recordBytes(state.length) + neededBytes;
    const reused = disk.list().includes(spareName) && wanted <= this.#segmentBytes;
    if (reused) disk.rename(spareName, name);
    const file = disk.open(name);
    try {
      if (!reused) allocate(file, Math.max(this.#segmentBytes, wanted));
      // Before anything is written: a used file that a power cut gives its old name back must have its old content.
      disk.flushNames();
      const header = Buffer.alloc(segmentHeaderBytes + recordBytes(state.length));
      header.set(encodeSegmentHeader({ number, format: this.format, chain: this.#chain }));
      const record: LogRecord = { type: "state", payload: state, batch: this.#batch + 1, endsBatch: false };
      const chain = encodeRecord(header, segmentHeaderBytes, record, number, this.#chain);
      file.write(0, header);
      this.#file?.close();
      this.#file = file;
      this.#segmentFormat = this.format;
      this.#position = header.length;
      this.#segments.push({ number, name, chain: this.#chain, lastIndex: 0 });
      this.#chain = chain;
    } catch (error) {
      file.close();
      disk.remove(name);
      throw error;
    }
  }
}

/** Zeroes a file up to a size: full disks are noticed here, and later flushes need not allocate. */
function allocate(file: DiskFile, sizeBytes: number): void {
  const zeros = Buffer.alloc(1 << 20);
  for (let at = 0; at < sizeBytes; at += zeros.length) {
    file.write(at, zeros.subarray(0, Math.min(zeros.length, sizeBytes - at)));
  }
}
