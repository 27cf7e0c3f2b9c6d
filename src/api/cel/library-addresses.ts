/** IP addresses and CIDRs: ip(…), cidr(…) and what can be asked of them. */
import type { Environment } from "@marcbachmann/cel-js";
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

class CelIp {
  readonly address: Address;

  constructor(address: Address) {
    this.address = address;
  }

  toString(): string {
    return this.address.toString();
  }

  isSame(other: CelIp): boolean {
    return this.toString() === other.toString();
  }
}

class CelCidr {
  readonly address: Address;
  readonly prefix: number;

  constructor(address: Address, prefix: number) {
    this.address = address;
    this.prefix = prefix;
  }

  toString(): string {
    return `${this.address.toString()}/${this.prefix}`;
  }

  isSame(other: CelCidr): boolean {
    return this.toString() === other.toString();
  }
}

export function registerAddresses(environment: Environment): void {
  const rangeIs =
    (...names: string[]) =>
    (value: CelIp) =>
      names.includes(value.address.range());
  const names = class IpNamespace {};
  environment
    .registerType("net.IP", { ctor: CelIp, fields: {} })
    .registerType("net.CIDR", { ctor: CelCidr, fields: {} })
    .registerOperator("net.IP == net.IP", (left: CelIp, right: CelIp) => left.isSame(right))
    .registerOperator("net.CIDR == net.CIDR", (left: CelCidr, right: CelCidr) => left.isSame(right))
    .registerFunction("ip(string): net.IP", (text: string) => parseIp(text))
    .registerFunction("isIP(string): bool", (text: string) => isIp(text))
    .registerFunction("string(net.IP): string", (value: CelIp) => value.toString())
    .registerFunction("net.IP.family(): int", (value: CelIp) => (value.address.kind() === "ipv4" ? 4n : 6n))
    .registerFunction("net.IP.isUnspecified(): bool", rangeIs("unspecified"))
    .registerFunction("net.IP.isLoopback(): bool", rangeIs("loopback"))
    .registerFunction("net.IP.isLinkLocalUnicast(): bool", rangeIs("linkLocal"))
    .registerFunction("net.IP.isLinkLocalMulticast(): bool", (value: CelIp) =>
      /^(224\.0\.0\.|ff02:)/.test(value.toString()),
    )
    .registerFunction("net.IP.isGlobalUnicast(): bool", (value: CelIp) =>
      ["unicast", "private", "uniqueLocal", "reserved", "carrierGradeNat"].includes(value.address.range()),
    )
    .registerFunction("cidr(string): net.CIDR", (text: string) => parseCidr(text))
    .registerFunction("isCIDR(string): bool", (text: string) => isCidr(text))
    .registerFunction("string(net.CIDR): string", (value: CelCidr) => value.toString())
    .registerType("IpNamespace", { ctor: names, fields: {} })
    .registerConstant("ip", "IpNamespace", new names())
    .registerFunction(
      "IpNamespace.isCanonical(string): bool",
      (_ip: unknown, text: string) => parseIp(text).toString() === text,
    )
    .registerFunction("net.CIDR.ip(): net.IP", (value: CelCidr) => new CelIp(value.address))
    .registerFunction("net.CIDR.prefixLength(): int", (value: CelCidr) => BigInt(value.prefix))
    .registerFunction("net.CIDR.masked(): net.CIDR", (value: CelCidr) => {
      const text = value.toString();
      const network =
        value.address.kind() === "ipv4"
          ? ipaddr.IPv4.networkAddressFromCIDR(text)
          : ipaddr.IPv6.networkAddressFromCIDR(text);
      return new CelCidr(network, value.prefix);
    })
    .registerFunction("net.CIDR.containsIP(net.IP): bool", (value: CelCidr, ip: CelIp) =>
      contains(value, ip.address),
    )
    .registerFunction("net.CIDR.containsIP(string): bool", (value: CelCidr, text: string) =>
      contains(value, parseIp(text).address),
    )
    .registerFunction("net.CIDR.containsCIDR(net.CIDR): bool", (value: CelCidr, other: CelCidr) =>
      containsCidr(value, other),
    )
    .registerFunction("net.CIDR.containsCIDR(string): bool", (value: CelCidr, text: string) =>
      containsCidr(value, parseCidr(text)),
    );
}

function isIp(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text);
}

function parseIp(text: string): CelIp {
  if (!isIp(text))
    throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
  return new CelIp(ipaddr.parse(text));
}

function isCidr(text: string): boolean {
  try {
    parseCidr(text);
    return true;
  } catch {
    return false;
  }
}

function parseCidr(text: string): CelCidr {
  try {
    const [address, prefix] = ipaddr.parseCIDR(text);
    return new CelCidr(address, prefix);
  } catch (cause) {
    throw new Error(`network address parse error during conversion from string: ${JSON.stringify(text)}`, {
      cause,
    });
  }
}

function contains(range: CelCidr, address: Address): boolean {
  return address.kind() === range.address.kind() && address.match(range.address as never, range.prefix);
}

function containsCidr(range: CelCidr, other: CelCidr): boolean {
  return other.prefix >= range.prefix && contains(range, other.address);
}
