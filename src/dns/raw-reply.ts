/**
 * An upstream's answer kept as its bytes, so that records of any type pass through unharmed: only the id,
 * the letter case of the question and the TTLs are written anew (RFC 1035, section 4.1). Pure.
 */

export interface RawReply {
  bytes: Buffer;
  ttlOffsets: number[];
  /** How long the answer may be kept; 0 for not at all. */
  ttlSeconds: number;
  truncated: boolean;
  rcode: number;
}

const headerBytes = 12;
const soaType = 6;
const optType = 41;

/** Undefined if the bytes are not a whole message. */
export function readRawReply(bytes: Buffer): RawReply | undefined {
  try {
    return parse(bytes);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function parse(bytes: Buffer): RawReply {
  const flags = bytes.readUInt16BE(2);
  const questions = bytes.readUInt16BE(4);
  const answers = bytes.readUInt16BE(6);
  const records = answers + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  let offset = headerBytes;
  for (let at = 0; at < questions; at++) offset = endOfName(bytes, offset) + 4;
  const ttlOffsets: number[] = [];
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (let at = 0; at < records; at++) {
    offset = endOfName(bytes, offset);
    const type = bytes.readUInt16BE(offset);
    const ttl = bytes.readUInt32BE(offset + 4);
    const end = offset + 10 + bytes.readUInt16BE(offset + 8);
    if (end > bytes.length) throw new RangeError("record beyond the end");
    if (type !== optType) {
      ttlOffsets.push(offset + 4);
      ttlSeconds = Math.min(ttlSeconds, ttl);
      // Without answers the SOA's last field limits how long the absence is remembered (RFC 2308, section 5).
      if (type === soaType && answers === 0) ttlSeconds = Math.min(ttlSeconds, bytes.readUInt32BE(end - 4));
    }
    offset = end;
  }
  const rcode = flags & 15;
  const keepable = (rcode === 0 || rcode === 3) && Number.isFinite(ttlSeconds);
  return {
    bytes,
    ttlOffsets,
    ttlSeconds: keepable ? ttlSeconds : 0,
    truncated: (flags & (1 << 9)) !== 0,
    rcode,
  };
}

/** The answer for another asker, `ageSeconds` after it came. */
export function rewrite(reply: RawReply, id: number, question: Buffer, ageSeconds: number): Buffer {
  const bytes = Buffer.from(reply.bytes);
  bytes.writeUInt16BE(id, 0);
  question.copy(bytes, headerBytes);
  for (const offset of reply.ttlOffsets)
    bytes.writeUInt32BE(Math.max(0, bytes.readUInt32BE(offset) - ageSeconds), offset);
  return bytes;
}

/** Header and question alone, telling the asker to come by TCP. */
export function truncate(bytes: Buffer): Buffer {
  const cut = Buffer.from(bytes.subarray(0, headerBytes + questionBytes(bytes).length));
  cut.writeUInt16BE(cut.readUInt16BE(2) | (1 << 9), 2);
  cut.fill(0, 6, headerBytes);
  return cut;
}

/** The question section of a message with one question. */
export function questionBytes(bytes: Buffer): Buffer {
  return bytes.subarray(headerBytes, endOfName(bytes, headerBytes) + 4);
}

function endOfName(bytes: Buffer, start: number): number {
  let offset = start;
  for (;;) {
    const length = bytes.readUInt8(offset);
    if ((length & 0xc0) === 0xc0) return offset + 2;
    if (length === 0) return offset + 1;
    offset += length + 1;
  }
}
