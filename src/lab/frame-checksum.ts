/**
 * TCP and UDP checksums of Ethernet frames. The kernel leaves them to the network card, which in a switch in
 * user space does not exist: without this every frame would arrive as damaged. RFC 9293 section 3.1, RFC 768.
 */

const etherHeaderBytes = 14;
const tcp = 6;
const udp = 17;

/** Completes the checksum in place. Frames of other protocols and fragments stay as they are. */
export function completeChecksum(frame: Buffer): void {
  if (frame.length < etherHeaderBytes + 20) return;
  const etherType = frame.readUInt16BE(12);
  if (etherType === 0x0800) completeIpv4(frame);
  else if (etherType === 0x86dd) completeIpv6(frame);
}

function completeIpv4(frame: Buffer): void {
  const start = etherHeaderBytes;
  const headerBytes = (frame[start]! & 15) * 4;
  const isFragment = (frame.readUInt16BE(start + 6) & 0x3fff) !== 0;
  const end = start + frame.readUInt16BE(start + 2);
  if (isFragment) return;
  complete(frame, frame[start + 9]!, start + headerBytes, end, start + 12, start + 20);
}

function completeIpv6(frame: Buffer): void {
  const start = etherHeaderBytes;
  if (frame.length < start + 40) return;
  const end = start + 40 + frame.readUInt16BE(start + 4);
  complete(frame, frame[start + 6]!, start + 40, end, start + 8, start + 40);
}

function complete(
  frame: Buffer,
  protocol: number,
  start: number,
  end: number,
  addressesStart: number,
  addressesEnd: number,
): void {
  const field = start + (protocol === tcp ? 16 : 6);
  if ((protocol !== tcp && protocol !== udp) || end > frame.length || field + 2 > end) return;
  // A UDP checksum of zero means that there is none.
  if (protocol === udp && frame.readUInt16BE(field) === 0) return;
  frame.writeUInt16BE(0, field);
  let sum = protocol + (end - start);
  sum += sumWords(frame, addressesStart, addressesEnd);
  sum += sumWords(frame, start, end);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  const checksum = ~sum & 0xffff;
  frame.writeUInt16BE(protocol === udp && checksum === 0 ? 0xffff : checksum, field);
}

function sumWords(bytes: Buffer, start: number, end: number): number {
  let sum = 0;
  let at = start;
  for (; at + 1 < end; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  return at < end ? sum + (bytes[at]! << 8) : sum;
}
