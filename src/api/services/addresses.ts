/**
 * ClusterIPs and node ports of Services. A Service and the keys that reserve its address and ports are
 * written in one transaction, which fails when any of them is taken: two servers can't hand out the
 * same. The cache only says where to look for a free one.
 */
import type { Compare, Operation } from "#base/backend.ts";
import type { Random } from "#base/ports.ts";
import { type FieldError, invalid, invalidError } from "#kinds/field-error.ts";
import { cidrContains, formatIp, parseCidr, parseIp } from "#kinds/ip.ts";
import type { Cidr } from "#kinds/ip.ts";
import type { KubeObject } from "#kinds/object.ts";
import { CacheIndex } from "../cache/cache-index.ts";
import type { ResourceCache } from "../cache/resource-cache.ts";
import { internalError } from "../status.ts";

export interface Reservation {
  compare: Compare[];
  operations: Operation[];
}

interface ServicePort {
  name?: string;
  port: number;
  protocol?: string;
  nodePort?: number;
}

interface ServiceSpec {
  type?: string;
  clusterIP?: string;
  clusterIPs?: string[];
  ipFamilies?: string[];
  ipFamilyPolicy?: string;
  ports?: ServicePort[];
  selector?: Record<string, string>;
  allocateLoadBalancerNodePorts?: boolean;
  externalTrafficPolicy?: string;
  healthCheckNodePort?: number;
}

const addressPrefix = "/registry/trivet/serviceips/";
const portPrefix = "/registry/trivet/servicenodeports/";

export class ServiceAddresses {
  readonly #range: Cidr;
  readonly #rangeText: string;
  readonly #ports: { first: number; last: number };
  readonly #random: Random;
  /** The keys that the Services of the cache hold. */
  readonly #taken: CacheIndex;

  constructor(options: {
    serviceCidr: string;
    nodePorts: { first: number; last: number };
    random: Random;
    services: () => ResourceCache;
  }) {
    const range = parseCidr(options.serviceCidr);
    if (range === undefined) throw new RangeError(`${options.serviceCidr} is not an address range`);
    this.#range = range;
    this.#rangeText = options.serviceCidr;
    this.#ports = options.nodePorts;
    this.#random = options.random;
    this.#taken = new CacheIndex(options.services, (entry) =>
      heldKeys((entry.decode()["spec"] ?? {}) as ServiceSpec),
    );
  }

  /** The address at an index of the range; 1 is the `kubernetes` Service's. */
  at(index: number): string {
    return formatIp({ ...this.#range, value: this.#range.value + BigInt(index) });
  }

  /**
   * Gives a Service what it lacks and returns what to reserve and release with its write. For a dry run
   * nothing is looked for: the range's own address stands for any.
   */
  reserve(object: KubeObject, old: KubeObject | undefined, dryRun = false): Reservation {
    const spec = (object["spec"] ?? {}) as ServiceSpec;
    const oldSpec = (old?.["spec"] ?? {}) as ServiceSpec;
    object["spec"] = spec;
    this.#assignAddress(object, spec, oldSpec, dryRun);
    const taken = new Set<number>();
    this.#assignPorts(object, spec, oldSpec, taken, dryRun);
    this.#assignHealthCheckPort(object, spec, oldSpec, taken, dryRun);
    const owner = `${object.metadata.namespace ?? ""}/${object.metadata.name ?? ""}`;
    return difference(heldKeys(spec), old === undefined ? [] : heldKeys(oldSpec), owner);
  }

  /** What the deletion of a Service releases. */
  release(old: KubeObject): Operation[] {
    return heldKeys((old["spec"] ?? {}) as ServiceSpec).map((key) => ({ type: "delete", key }));
  }

  #isTaken(key: string): boolean {
    return this.#taken.has(key);
  }

  #assignAddress(object: KubeObject, spec: ServiceSpec, old: ServiceSpec, dryRun: boolean): void {
    if (spec.type === "ExternalName") {
      delete spec.clusterIP;
      delete spec.clusterIPs;
      delete spec.ipFamilies;
      delete spec.ipFamilyPolicy;
      return;
    }
    if ((spec.clusterIP ?? "") === "" && (old.clusterIP ?? "") !== "" && old.type !== "ExternalName") {
      spec.clusterIP = old.clusterIP ?? "";
    }
    if ((spec.clusterIP ?? "") === "") spec.clusterIP = dryRun ? this.at(0) : this.#freeAddress();
    else if (spec.clusterIP !== "None" && spec.clusterIP !== old.clusterIP)
      this.#checkGivenAddress(object, spec.clusterIP ?? "");
    spec.clusterIPs = [spec.clusterIP ?? ""];
    spec.ipFamilies ??= ["IPv4"];
    if (spec.clusterIP !== "None" || Object.keys(spec.selector ?? {}).length > 0) checkFamilies(object, spec);
    const isSelectorless = spec.clusterIP === "None" && Object.keys(spec.selector ?? {}).length === 0;
    spec.ipFamilyPolicy ??= isSelectorless ? "RequireDualStack" : "SingleStack";
    if (isSelectorless && spec.ipFamilyPolicy === "RequireDualStack" && spec.ipFamilies.length === 1) {
      spec.ipFamilies = [...spec.ipFamilies, spec.ipFamilies[0] === "IPv4" ? "IPv6" : "IPv4"];
    }
  }

  #checkGivenAddress(object: KubeObject, address: string): void {
    const ip = parseIp(address);
    const problem =
      ip === undefined || !cidrContains(this.#range, ip)
        ? `failed to allocate IP ${address}: the provided IP (${address}) is not in the valid range. The range of valid IPs is ${this.#rangeText}`
        : this.#isTaken(addressPrefix + address)
          ? `failed to allocate IP ${address}: provided IP is already allocated`
          : undefined;
    if (problem === undefined) return;
    const shown = JSON.stringify([address]);
    throw invalidError({ group: "", kind: "Service", name: object.metadata.name ?? "" }, [
      {
        reason: "FieldValueInvalid",
        field: "spec.clusterIPs",
        message: `Invalid value: []string{${shown.slice(1, -1)}}: ${problem}`,
      },
    ]);
  }

  /** Random, above the part of the range that is left for addresses that people choose. */
  #freeAddress(): string {
    const size = 2 ** (32 - this.#range.bits) - 2;
    const reserved = Math.min(Math.max(16, Math.floor(size / 16)), 256, Math.floor(size / 2));
    const start = this.#random.integer(Math.max(1, size - reserved));
    for (let step = 0; step < size; step++) {
      const index =
        step < size - reserved
          ? reserved + 1 + ((start + step) % (size - reserved))
          : step - (size - reserved) + 1;
      const address = this.at(index);
      if (!this.#isTaken(addressPrefix + address)) return address;
    }
    throw internalError(new Error("failed to allocate a serviceIP: range is full"));
  }

  /** `chosen` gets the ports that this write allocates. */
  #assignPorts(
    object: KubeObject,
    spec: ServiceSpec,
    old: ServiceSpec,
    chosen: Set<number>,
    dryRun: boolean,
  ): void {
    const ports = spec.ports ?? [];
    const takesPorts =
      spec.type === "NodePort" ||
      (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);
    if (!takesPorts) {
      if (spec.type !== "LoadBalancer") for (const each of ports) delete each.nodePort;
      return;
    }
    const isUsed = (port: number): boolean => chosen.has(port) || this.#isTaken(portPrefix + String(port));
    const own = new Set((old.ports ?? []).map((each) => each.nodePort));
    for (const [index, each] of ports.entries()) {
      const before = (old.ports ?? []).find(
        (known) => known.port === each.port && known.protocol === each.protocol,
      );
      if ((each.nodePort ?? 0) === 0 && before?.nodePort !== undefined) each.nodePort = before.nodePort;
      if ((each.nodePort ?? 0) === 0) each.nodePort = dryRun ? dummyPort(chosen) : this.#freePort(isUsed);
      else if (!own.has(each.nodePort)) this.#checkGivenPort(object, index, each.nodePort ?? 0, isUsed);
      chosen.add(each.nodePort ?? 0);
    }
  }

  /** Where a load balancer asks whether a node has endpoints: needed once traffic stays on its node. */
  #assignHealthCheckPort(
    object: KubeObject,
    spec: ServiceSpec,
    old: ServiceSpec,
    chosen: Set<number>,
    dryRun: boolean,
  ): void {
    if (!needsHealthCheckPort(spec)) return;
    const isUsed = (port: number): boolean => chosen.has(port) || this.#isTaken(portPrefix + String(port));
    const given = spec.healthCheckNodePort ?? 0;
    if (given === 0)
      spec.healthCheckNodePort =
        old.healthCheckNodePort ?? (dryRun ? dummyPort(chosen) : this.#freePort(isUsed));
    else if (given !== old.healthCheckNodePort)
      this.#checkPort(object, "spec.healthCheckNodePort", given, isUsed);
  }

  #checkGivenPort(object: KubeObject, index: number, port: number, isUsed: (port: number) => boolean): void {
    this.#checkPort(object, `spec.ports[${index}].nodePort`, port, isUsed);
  }

  #checkPort(object: KubeObject, path: string, port: number, isUsed: (port: number) => boolean): void {
    const { first, last } = this.#ports;
    const problem =
      port < first || port > last
        ? `provided port is not in the valid range. The range of valid ports is ${first}-${last}`
        : isUsed(port)
          ? "provided port is already allocated"
          : undefined;
    if (problem === undefined) return;
    throw invalidError({ group: "", kind: "Service", name: object.metadata.name ?? "" }, [
      invalid(path, port, problem),
    ]);
  }

  #freePort(isUsed: (port: number) => boolean): number {
    const { first, last } = this.#ports;
    const count = last - first + 1;
    const start = this.#random.integer(count);
    for (let step = 0; step < count; step++) {
      const port = first + ((start + step) % count);
      if (!isUsed(port)) return port;
    }
    throw internalError(new Error("failed to allocate a nodePort: range is full"));
  }
}

/** The cluster's services have one range, of IPv4 addresses. */
function checkFamilies(object: KubeObject, { ipFamilies = [], ipFamilyPolicy: policy }: ServiceSpec): void {
  const at = "spec.ipFamilyPolicy";
  const errors: FieldError[] = [];
  if (policy === "SingleStack" && ipFamilies.length === 2)
    errors.push(
      invalid(
        at,
        policy,
        "must be RequireDualStack or PreferDualStack when multiple ipFamilies are specified",
      ),
    );
  else {
    if (policy === "RequireDualStack")
      errors.push(invalid(at, policy, "this cluster is not configured for dual-stack services"));
    for (const [index, family] of ipFamilies.entries())
      if (family !== "IPv4")
        errors.push(invalid(`spec.ipFamilies[${index}]`, family, "not configured on this cluster"));
  }
  if (errors.length > 0)
    throw invalidError({ group: "", kind: "Service", name: object.metadata.name ?? "" }, errors);
}

/** What a dry run shows for a port that would be allocated: none that exists. */
function dummyPort(chosen: ReadonlySet<number>): number {
  return Math.max(32767, ...chosen) + 1;
}

function needsHealthCheckPort(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

/** The keys that a Service's spec holds. */
function heldKeys(spec: ServiceSpec): string[] {
  const keys: string[] = [];
  const address = spec.clusterIP ?? "";
  if (address !== "" && address !== "None" && spec.type !== "ExternalName")
    keys.push(addressPrefix + address);
  const ports = new Set((spec.ports ?? []).map((each) => each.nodePort ?? 0));
  ports.add(spec.healthCheckNodePort ?? 0);
  for (const port of ports) if (port !== 0) keys.push(portPrefix + String(port));
  return keys;
}

function difference(after: readonly string[], before: readonly string[], owner: string): Reservation {
  const added = after.filter((key) => !before.includes(key));
  const removed = before.filter((key) => !after.includes(key));
  return {
    compare: added.map((key) => ({ key, operator: "=", target: "create", number: 0 })),
    operations: [
      ...added.map((key): Operation => ({ type: "put", key, value: Buffer.from(owner) })),
      ...removed.map((key): Operation => ({ type: "delete", key })),
    ],
  };
}
