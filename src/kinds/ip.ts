/** IP addresses and networks: syntax checks and comparison, without any library. Addresses are compared as bigints. */

const badIp = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

export function ipErrors(text: string): string[] {
  return parseIp(text) === undefined ? [badIp] : [];
}

export function isIPv4(text: string): boolean {
  return parseIp(text)?.family === 4;
}

export function isIPv6(text: string): boolean {
  return parseIp(text)?.family === 6;
}

export interface Ip {
  family: 4 | 6;
  value: bigint;
}

/** The address, or undefined. IPv4 written with leading zeros is accepted, as upstream's sloppy parser does. */
export function parseIp(text: string): Ip | undefined {
  if (text.includes(":")) {
    const value = parseV6(text);
    if (value === undefined) return undefined;
    // ::ffff:1.2.3.4 is an IPv4 address to Go.
    if (value >> 32n === 0xffffn) return { family: 4, value: value & 0xffffffffn };
    return { family: 6, value };
  }
  const value = parseV4(text);
  return value === undefined ? undefined : { family: 4, value };
}

export interface Cidr extends Ip {
  bits: number;
}

/** "10.0.0.0/8"; the address need not be the network's first. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = "", length = "", more] = text.split("/");
  const ip = parseIp(address);
  if (ip === undefined || more !== undefined || !/^\d{1,3}$/.test(length)) return undefined;
  const bits = Number(length);
  return bits <= widthOf(ip) ? { ...ip, bits } : undefined;
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  if (cidr.family !== ip.family) return false;
  const shift = BigInt(widthOf(cidr) - cidr.bits);
  return cidr.value >> shift === ip.value >> shift;
}

export function formatIp(ip: Ip): string {
  if (ip.family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((ip.value >> shift) & 255n)).join(".");
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((ip.value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16),
  );
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (groups[start + length] === "0") length += 1;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}

function widthOf(ip: Ip): number {
  return ip.family === 4 ? 32 : 128;
}

function parseV4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^\d+$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parseV6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => groupsOf(half ?? ""));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const known = head.length + (tail?.length ?? 0);
  if (halves.length === 1 ? known !== 8 : known > 7) return undefined;
  const groups = [...head, ...Array.from({ length: 8 - known }, () => 0n), ...(tail ?? [])];
  return groups.reduce((value, group) => (value << 16n) | group, 0n);
}

function groupsOf(text: string): bigint[] | undefined {
  if (text === "") return [];
  const groups: bigint[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (part.includes(".")) {
      const v4 = index === parts.length - 1 ? parseV4(part) : undefined;
      if (v4 === undefined) return undefined;
      groups.push(v4 >> 16n, v4 & 0xffffn);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(BigInt(`0x${part}`));
    else return undefined;
  }
  return groups;
}
