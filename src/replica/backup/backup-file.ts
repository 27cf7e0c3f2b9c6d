/**
 * The format of a backup: one line that names format and version, then records (length, checksum, type,
 * content): the header first, the cluster's secrets, the state in the store's own chunks, and an end record
 * with the SHA-256 of everything before it. Written and read as streams, so a backup of any size takes the
 * memory of one chunk. It knows no file and no database.
 */

import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { StatusError } from "#base/errors.ts";
import { isSnapshotTrailer, trailerBytesMax } from "./snapshot-trailer.ts";
import type { MemberRecord } from "../types.ts";

/** What a backup says of itself. */
export interface BackupHeader {
  /** Version of Trivet that wrote it. */
  trivet: string;
  clusterId: string;
  /** Name of the node that was asked for it. */
  node: string;
  /** Milliseconds since the epoch, by that node's clock. */
  timeMs: number;
  /** The backup is the cluster's state at this revision. */
  revision: number;
  /** History reaches back to this revision. */
  compactRevision: number;
  index: number;
  term: number;
  /** False: taken without a majority, so that writes that it acknowledged last may be missing. */
  confirmed: boolean;
  members: MemberRecord[];
  /** Settings of the cluster that belong to its owner, e.g. address blocks. */
  settings: unknown;
}

export type BackupRecord =
  | { type: "header"; header: BackupHeader }
  /** Private keys of the cluster, JSON as its owner wrote it. */
  | { type: "secrets"; secrets: unknown }
  | { type: "chunk"; chunk: Uint8Array }
  | { type: "end"; chunks: number; sizeBytes: number };

const magic = "trivet-backup ";
const format = 1;
const firstLine = `${magic}${format}\n`;
const codes = { header: 0x48, secrets: 0x53, chunk: 0x43, end: 0x45 } as const;
const frameBytes = 9;
/** A chunk ends with the row that fills it, and a row is at most a value of 1.5 MiB. */
const recordBytesMax = 16 << 20;

/** The bytes of a backup, piece by piece. Errors of `chunks` go through. */
export async function* writeBackup(
  header: BackupHeader,
  secrets: unknown,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  let count = 0;
  const counted = (bytes: Uint8Array): Uint8Array => {
    hash.update(bytes);
    sizeBytes += bytes.length;
    return bytes;
  };
  yield counted(Buffer.from(firstLine, "latin1"));
  yield counted(encode("header", Buffer.from(JSON.stringify(header))));
  yield counted(encode("secrets", Buffer.from(JSON.stringify(secrets))));
  for await (const chunk of chunks) {
    count++;
    yield counted(encode("chunk", chunk));
  }
  const end = { chunks: count, sizeBytes, sha256: hash.digest("hex") };
  yield encode("end", Buffer.from(JSON.stringify(end)));
}

/**
 * Reads a backup to its end. Throws StatusError BadRequest, once, for what is not a whole, unchanged
 * backup of a known format: whoever acts on records before the last one came must be able to undo it.
 */
export async function* readBackup(source: AsyncIterable<Uint8Array>): AsyncGenerator<BackupRecord> {
  const from = new Pieces(source);
  const hash = createHash("sha256");
  let sizeBytes = 0;
  let chunks = 0;
  const line = await from.take(firstLine.length);
  checkFirstLine(line);
  hash.update(line);
  sizeBytes += line.length;
  for (let expected: keyof typeof codes = "header"; ;) {
    const frame = await from.take(frameBytes);
    if (frame.length < frameBytes) throw cut(sizeBytes + frame.length);
    const length = frame.readUInt32LE(0);
    if (length > recordBytesMax) throw changed(sizeBytes);
    const content = await from.take(length);
    if (content.length < length) throw cut(sizeBytes + frame.length + content.length);
    const type = typeOf(frame[8] ?? 0);
    const sum = crc32(content, crc32(frame.subarray(8)));
    if (type === undefined || sum !== frame.readUInt32LE(4)) throw changed(sizeBytes);
    if (type !== expected && !(expected === "chunk" && type === "end")) throw changed(sizeBytes);
    if (type === "end") {
      const end = parse(content) as { chunks: number; sizeBytes: number; sha256: string };
      const whole = hash.copy().update(frame).update(content);
      if (end.chunks !== chunks || end.sizeBytes !== sizeBytes || end.sha256 !== hash.digest("hex"))
        throw changed(sizeBytes);
      const wholeBytes = sizeBytes + frame.length + content.length;
      const rest = await from.take(trailerBytesMax + 1);
      if (rest.length > 0 && !isSnapshotTrailer(rest, wholeBytes, whole))
        throw refused("it goes on behind its end");
      yield { type, chunks, sizeBytes: wholeBytes };
      return;
    }
    hash.update(frame);
    hash.update(content);
    sizeBytes += frame.length + content.length;
    if (type === "header") yield { type, header: parse(content) as BackupHeader };
    else if (type === "secrets") yield { type, secrets: parse(content) };
    else {
      chunks++;
      yield { type, chunk: content };
    }
    expected = type === "header" ? "secrets" : "chunk";
  }
}

/** Reads all of a backup and gives its header. Throws as `readBackup` does. */
export async function verifyBackup(
  source: AsyncIterable<Uint8Array>,
): Promise<{ header: BackupHeader; chunks: number; sizeBytes: number }> {
  let header: BackupHeader | undefined;
  for await (const record of readBackup(source)) {
    if (record.type === "header") header = record.header;
    if (record.type === "end" && header !== undefined)
      return { header, chunks: record.chunks, sizeBytes: record.sizeBytes };
  }
  throw cut(0);
}

function encode(type: keyof typeof codes, content: Uint8Array): Uint8Array {
  const record = Buffer.allocUnsafe(frameBytes + content.length);
  record.writeUInt32LE(content.length, 0);
  record[8] = codes[type];
  record.set(content, frameBytes);
  record.writeUInt32LE(crc32(record.subarray(8)), 4);
  return record;
}

function typeOf(code: number): keyof typeof codes | undefined {
  return (Object.keys(codes) as (keyof typeof codes)[]).find((type) => codes[type] === code);
}

function checkFirstLine(line: Buffer): void {
  const text = line.toString("latin1");
  if (text === firstLine) return;
  if (!text.startsWith(magic)) {
    // What was cut within its first line can't be told from something else.
    throw refused("it does not begin as a backup of Trivet does");
  }
  const found = text.slice(magic.length).trim();
  throw refused(
    /^\d+$/.test(found)
      ? `it was written by a later version of Trivet (format ${found}, this version reads ${format}): install that one`
      : "its first line was changed",
  );
}

function parse(content: Uint8Array): unknown {
  return JSON.parse(Buffer.from(content).toString("utf8")) as unknown;
}

function cut(at: number): StatusError {
  return refused(`it is cut off after ${at} bytes`);
}

function changed(at: number): StatusError {
  return refused(`its content was changed behind byte ${at}`);
}

function refused(why: string): StatusError {
  return new StatusError("BadRequest", `the backup can't be used: ${why}`);
}

/** A stream of pieces of any size, read by the length that is wanted. */
class Pieces {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Fewer bytes than that only at the end of the stream. */
  async take(length: number): Promise<Buffer> {
    while (this.#heldBytes < length) {
      const { value, done } = await this.#source.next();
      if (done === true) break;
      this.#held.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
      this.#heldBytes += value.byteLength;
    }
    const all = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held);
    const taken = all.subarray(0, length);
    const rest = all.subarray(length);
    this.#held = rest.length === 0 ? [] : [rest];
    this.#heldBytes = rest.length;
    return taken;
  }
}
