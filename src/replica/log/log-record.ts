/**
 * The bytes of the log: segment headers and records. Every record has a checksum of its own, seeded with
 * the segment's number, so that what a reused file held before is never taken for a record; and a running
 * checksum over all records, so that none can be missing. It also says to which flush it belongs: since
 * one flush ends before the next batch is written, a record of a later batch proves that the earlier
 * batch had been durable, and could have been acknowledged.
 */

import { crc32 } from "node:zlib";

export const segmentHeaderBytes = 32;
const recordHeaderBytes = 32;
const segmentMagic = 0x5452_4c47;
const recordMagic = 0x5452_4543;

export type RecordType = "entry" | "state";
const recordTypes: RecordType[] = ["entry", "state"];

export interface LogRecord {
  type: RecordType;
  /** Number of the batch that was flushed as a whole. */
  batch: number;
  /** The last record of its batch. */
  endsBatch: boolean;
  payload: Uint8Array;
}

export interface SegmentHeader {
  number: number;
  /** Of everything in the segment. */
  format: number;
  /** The running checksum before the first record. */
  chain: number;
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  bytes.writeUInt32LE(segmentMagic, 0);
  bytes.writeUIntLE(header.number, 4, 6);
  bytes.writeUInt32LE(header.chain, 12);
  bytes.writeUInt16LE(header.format, 16);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
  return bytes;
}

export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < segmentHeaderBytes || view.readUInt32LE(0) !== segmentMagic) return undefined;
  if (view.readUInt32LE(28) !== crc32(view.subarray(0, 28))) return undefined;
  // The first logs had no format: zero.
  const format = Math.max(view.readUInt16LE(16), 1);
  return { number: view.readUIntLE(4, 6), format, chain: view.readUInt32LE(12) };
}

/** What a record takes on disk: records begin at multiples of 8. */
export function recordBytes(payloadBytes: number): number {
  return recordHeaderBytes + Math.ceil(payloadBytes / 8) * 8;
}

/** Writes a record at `position` and returns the running checksum after it. */
export function encodeRecord(
  target: Buffer,
  position: number,
  record: LogRecord,
  segment: number,
  chain: number,
): number {
  const header = target.subarray(position, position + recordHeaderBytes);
  header.fill(0);
  header.writeUInt32LE(recordMagic, 0);
  header.writeUInt32LE(record.payload.length, 4);
  header.writeUIntLE(record.batch, 16, 6);
  header.writeUInt8(recordTypes.indexOf(record.type), 22);
  header.writeUInt8(record.endsBatch ? 1 : 0, 23);
  header.writeUIntLE(segment, 24, 6);
  const own = crc32(record.payload, crc32(header.subarray(16, 32), record.payload.length));
  const next = chainOf(own, chain);
  header.writeUInt32LE(own, 8);
  header.writeUInt32LE(next, 12);
  target.set(record.payload, position + recordHeaderBytes);
  return next;
}

export interface DecodedRecord {
  record: LogRecord;
  chain: number;
  sizeBytes: number;
}

/** The record at `position`, if one of this segment stands there undamaged. `chain` is checked by the caller. */
export function decodeRecord(bytes: Buffer, position: number, segment: number): DecodedRecord | undefined {
  if (position + recordHeaderBytes > bytes.length) return undefined;
  const header = bytes.subarray(position, position + recordHeaderBytes);
  if (header.readUInt32LE(0) !== recordMagic || header.readUIntLE(24, 6) !== segment) return undefined;
  const length = header.readUInt32LE(4);
  if (position + recordHeaderBytes + length > bytes.length) return undefined;
  const type = recordTypes[header.readUInt8(22)];
  const start = position + recordHeaderBytes;
  const payload = new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
  const own = crc32(payload, crc32(header.subarray(16, 32), length));
  if (type === undefined || header.readUInt32LE(8) !== own) return undefined;
  return {
    record: {
      type,
      batch: header.readUIntLE(16, 6),
      endsBatch: header.readUInt8(23) === 1,
      payload,
    },
    chain: header.readUInt32LE(12),
    sizeBytes: recordBytes(length),
  };
}

/** How long the record is that begins `bytes`, by its head alone; undefined if none does. */
export function recordSizeBytes(bytes: Buffer): number | undefined {
  if (bytes.length < recordHeaderBytes || bytes.readUInt32LE(0) !== recordMagic) return undefined;
  return recordBytes(bytes.readUInt32LE(4));
}

/** The running checksum after a record with this checksum. */
export function chainOf(own: number, chain: number): number {
  const word = Buffer.allocUnsafe(4);
  word.writeUInt32LE(own, 0);
  return crc32(word, chain);
}

/** The record's own checksum, as stored. */
export function ownChecksum(bytes: Buffer, position: number): number {
  return bytes.readUInt32LE(position + 8);
}
