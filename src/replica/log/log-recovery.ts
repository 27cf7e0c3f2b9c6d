/**
 * Reading the log at the start. A damaged place is the end of the log only if nothing behind it proves
 * that it had been durable (see log-record.ts); else the log is refused, because cutting it could lose
 * what was acknowledged.
 */

import { FatalError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import type { Entry, HardState } from "#raft/types.ts";
import { ByteReader } from "#store/bytes.ts";
import type { ByteWriter } from "#store/bytes.ts";
import { checkFormat, supportedFormats } from "#store/format.ts";
import type { LogRecord } from "./log-record.ts";
import { chainOf, decodeRecord, decodeSegmentHeader, ownChecksum, segmentHeaderBytes } from "./log-record.ts";
import type { Segment } from "./log-segments.ts";
import type { Disk } from "../ports.ts";
import { readEntry } from "./raft-records.ts";

/** What the log holds besides entries. */
export interface LogState {
  hardState: HardState;
  /** The last entry that is no longer there. */
  compactIndex: number;
  compactTerm: number;
}

export interface RecoveredLog {
  state: LogState;
  entries: Entry[];
  segments: Segment[];
  /** Where the newest segment goes on. */
  position: number;
  /** Up to here the newest segment may hold what is left of a batch that was not flushed. */
  leftoverEnd: number;
  chain: number;
  batch: number;
  /** Of the newest segment. */
  format: number;
}

export function segmentName(number: number): string {
  return `log-${String(number).padStart(12, "0")}`;
}

export function writeLogState(out: ByteWriter, state: LogState, reset: boolean): void {
  const { term, vote, commit } = state.hardState;
  out.integer(term).integer(vote).integer(commit);
  out.integer(state.compactIndex).integer(state.compactTerm).boolean(reset);
}

/**
 * Throws FatalError "corrupt" when entries that may have been acknowledged can't be read, "unsupported" when
 * another release has written them in a format that is not among `formats`.
 */
export function recoverLog(disk: Disk, logger: Logger, formats = supportedFormats): RecoveredLog {
  const log: RecoveredLog = {
    state: { hardState: { term: 0, vote: 0, commit: 0 }, compactIndex: 0, compactTerm: 0 },
    entries: [],
    segments: [],
    position: 0,
    leftoverEnd: 0,
    chain: 0,
    batch: 0,
    format: 0,
  };
  const numbers = disk
    .list()
    .filter((name) => /^log-\d{12}$/.test(name))
    .map((name) => Number(name.slice(4)))
    .toSorted((a, b) => a - b);
  let damaged: string | undefined;
  for (const number of numbers) {
    const bytes = readAll(disk, segmentName(number));
    const header = decodeSegmentHeader(bytes);
    if (header === undefined || header.number !== number) {
      // A segment that was being started when the power went: nothing in it was durable.
      if (hasRecords(bytes, number, log.batch + 1)) throw corrupt(segmentName(number), 0);
      disk.remove(segmentName(number));
      continue;
    }
    checkFormat(header.format, formats, `the replica's log ${segmentName(number)}`);
    if (damaged !== undefined) throw corrupt(damaged, log.position);
    log.format = header.format;
    const previous = log.segments.at(-1);
    if (previous !== undefined && (previous.number !== number - 1 || header.chain !== log.chain)) {
      throw corrupt(segmentName(number), 0);
    }
    const { chain } = header;
    log.segments.push({ number, name: segmentName(number), chain, lastIndex: 0 });
    log.chain = chain;
    damaged = recoverSegment(log, bytes, logger) ? segmentName(number) : undefined;
  }
  checkBeginning(log);
  return log;
}

/** Takes the complete batches. Returns true when something that came after them was cut off. */
function recoverSegment(log: RecoveredLog, bytes: Buffer, logger: Logger): boolean {
  const segment = log.segments.at(-1) as Segment;
  let at = segmentHeaderBytes;
  let chain = log.chain;
  let batch: LogRecord[] = [];
  log.position = at;
  for (;;) {
    const decoded = decodeRecord(bytes, at, segment.number);
    if (decoded === undefined || decoded.chain !== chainOf(ownChecksum(bytes, at), chain)) break;
    batch.push(decoded.record);
    chain = decoded.chain;
    at += decoded.sizeBytes;
    if (!decoded.record.endsBatch) continue;
    for (const record of batch) takeRecord(log, record);
    segment.lastIndex = Math.max(segment.lastIndex, log.entries.at(-1)?.index ?? 0);
    log.chain = chain;
    log.batch = decoded.record.batch;
    log.position = at;
    batch = [];
  }
  if (hasRecords(bytes.subarray(log.position), segment.number, log.batch + 1)) {
    throw corrupt(segment.name, log.position);
  }
  log.leftoverEnd = leftoverEnd(bytes, log.position, segment.number);
  const cut = batch.length > 0 || isOwnRecord(bytes, at, segment.number);
  if (cut) logger.warn("cut off the end of the log, which had not been flushed", { file: segment.name, at });
  return cut;
}

/** Older entries may be missing from the oldest segments, if a later record says that they are compacted. */
function takeRecord(log: RecoveredLog, record: LogRecord): void {
  const from = new ByteReader(record.payload);
  if (record.type === "entry") {
    const entry = readEntry(from);
    if (entry.index <= log.state.compactIndex) return;
    const place = entry.index - (log.entries[0]?.index ?? entry.index);
    if (place > log.entries.length) throw corrupt("entries", entry.index);
    log.entries.length = Math.max(place, 0);
    log.entries.push(entry);
    return;
  }
  const hardState = { term: from.integer(), vote: from.integer(), commit: from.integer() };
  const compactIndex = from.integer();
  const compactTerm = from.integer();
  const reset = from.boolean();
  log.entries = reset ? [] : log.entries.filter((entry) => entry.index > compactIndex);
  log.state = { hardState, compactIndex, compactTerm };
}

function checkBeginning(log: RecoveredLog): void {
  const first = log.entries[0];
  if (first !== undefined && first.index !== log.state.compactIndex + 1)
    throw corrupt("entries", first.index);
}

/** True when an undamaged record of a batch after `batch` stands anywhere in `bytes`. */
function hasRecords(bytes: Buffer, segment: number, batch: number): boolean {
  for (let at = 0; at + 32 <= bytes.length; at += 8) {
    if (!isOwnRecord(bytes, at, segment)) continue;
    const found = decodeRecord(bytes, at, segment);
    if (found !== undefined && found.record.batch > batch) return true;
  }
  return false;
}

/** Behind the last place from `position` on that looks like the head of a record; `position` if there is none. */
function leftoverEnd(bytes: Buffer, position: number, segment: number): number {
  let end = position;
  for (let at = position; at + 32 <= bytes.length; at += 8)
    if (isOwnRecord(bytes, at, segment)) end = at + 32;
  return end;
}

/** A cheap look before checksums: does a record of this segment begin here? */
function isOwnRecord(bytes: Buffer, at: number, segment: number): boolean {
  return (
    at + 32 <= bytes.length &&
    bytes.readUInt32LE(at) === 0x5452_4543 &&
    bytes.readUIntLE(at + 24, 6) === segment
  );
}

function readAll(disk: Disk, name: string): Buffer {
  const file = disk.open(name);
  const bytes = file.read(0, file.sizeBytes);
  file.close();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function corrupt(file: string, at: number): FatalError {
  return new FatalError(
    "corrupt",
    `the replica's log is damaged in ${file} at ${at}, behind which durable entries follow: ` +
      'remove this node from the cluster and join it again; if no other node is left, bring it back from a backup ("trivet restore FILE")',
  );
}
