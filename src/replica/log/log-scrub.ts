/**
 * Looks through a file of the log that is no longer written to, a part at a time: whether each record is as it was
 * written, and whether they end where the next file goes on.
 */

import {
  chainOf,
  decodeRecord,
  decodeSegmentHeader,
  ownChecksum,
  recordSizeBytes,
  segmentHeaderBytes,
} from "./log-record.ts";
import type { ClosedSegment } from "./log-segments.ts";
import type { Disk, DiskFile } from "../ports.ts";

/** What is read at a time; a record that is longer is read as a whole. */
const partBytes = 64 << 10;

export class LogScrub {
  readonly segment: ClosedSegment;
  readonly #disk: Disk;
  #position = segmentHeaderBytes;
  #chain: number;

  constructor(disk: Disk, segment: ClosedSegment) {
    this.#disk = disk;
    this.segment = segment;
    this.#chain = segment.chain;
  }

  /** Looks at the next part. Only while the segment is there. */
  step(): "more" | "sound" | "damaged" {
    const { name, number, chain, endChain } = this.segment;
    const file = this.#disk.open(name);
    try {
      if (this.#position === segmentHeaderBytes) {
        const header = decodeSegmentHeader(file.read(0, segmentHeaderBytes));
        if (header?.number !== number || header.chain !== chain) return "damaged";
      }
      if (this.#readPart(file)) return "more";
      return this.#chain === endChain ? "sound" : "damaged";
    } finally {
      file.close();
    }
  }

  /** Returns false when no sound record stands at the present place: it is the end, or damaged. */
  #readPart(file: DiskFile): boolean {
    const { number } = this.segment;
    let bytes = bufferOf(file.read(this.#position, partBytes));
    const wanted = recordSizeBytes(bytes) ?? 0;
    if (wanted > bytes.length && this.#position + wanted <= file.sizeBytes)
      bytes = bufferOf(file.read(this.#position, wanted));
    let at = 0;
    for (;;) {
      const decoded = decodeRecord(bytes, at, number);
      if (decoded === undefined || decoded.chain !== chainOf(ownChecksum(bytes, at), this.#chain)) break;
      this.#chain = decoded.chain;
      at += decoded.sizeBytes;
    }
    this.#position += at;
    return at > 0;
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
