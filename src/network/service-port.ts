/**
 * What the proxy must know of one port of one Service: where clients reach it and which endpoints answer.
 * Joins Services and EndpointSlices; the rules themselves are made in compile-rules.ts. Pure.
 */
import { protocolOf } from "./objects.ts";
import type { EndpointSlice, Protocol, Service } from "./objects.ts";

export interface ServiceEndpoint {
  ip: string;
  port: number;
  /** On this node. */
  local: boolean;
}

export interface ServicePort {
  /** `namespace/service/protocol/port`, the port by name or, without one, by number. */
  id: string;
  protocol: Protocol;
  port: number;
  clusterIP: string;
  /** External addresses: externalIPs, and load balancer addresses whose traffic arrives unchanged. */
  externalIPs: string[];
  nodePort: number | undefined;
  /** Sources that load balancer addresses accept; empty for all. */
  sourceRanges: string[];
  loadBalancerIPs: string[];
  internalLocal: boolean;
  externalLocal: boolean;
  affinitySeconds: number | undefined;
  /** Usable endpoints anywhere in the cluster. */
  endpoints: ServiceEndpoint[];
  /** Usable endpoints on this node: with a Local traffic policy a terminating one here beats a ready one elsewhere. */
  localEndpoints: ServiceEndpoint[];
}

export interface NodeView {
  name: string;
  /** Label topology.kubernetes.io/zone. */
  zone?: string;
}

interface Candidate extends ServiceEndpoint {
  ready: boolean;
  serving: boolean;
  zones: string[] | undefined;
}

/** Sorted by id, so that equal inputs in any order compile to equal rules. Only IPv4. */
export function servicePorts(
  services: readonly Service[],
  slices: readonly EndpointSlice[],
  node: NodeView,
): ServicePort[] {
  const slicesOf = groupByService(slices);
  const ports: ServicePort[] = [];
  for (const service of services) {
    const clusterIP = ipv4ClusterIP(service);
    if (clusterIP === undefined) continue;
    const namespacedName = `${service.metadata.namespace}/${service.metadata.name}`;
    for (const port of service.spec?.ports ?? []) {
      const candidates = endpointsOf(slicesOf.get(namespacedName) ?? [], port.name, port.protocol, node);
      ports.push(servicePort(service, namespacedName, clusterIP, port, candidates, node));
    }
  }
  return ports.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

type Port = NonNullable<NonNullable<Service["spec"]>["ports"]>[number];

function servicePort(
  service: Service,
  namespacedName: string,
  clusterIP: string,
  port: Port,
  candidates: Candidate[],
  node: NodeView,
): ServicePort {
  const spec = service.spec!;
  const protocol = protocolOf(port.protocol);
  const externallyReachable = spec.type === "NodePort" || spec.type === "LoadBalancer";
  const loadBalancerIPs =
    spec.type === "LoadBalancer"
      ? (service.status?.loadBalancer?.ingress ?? [])
          .filter((ingress) => ingress.ip !== undefined && ingress.ipMode !== "Proxy")
          .map((ingress) => ingress.ip!)
          .filter(isIPv4)
      : [];
  return {
    id: `${namespacedName}/${protocol}/${port.name || port.port}`,
    protocol,
    port: port.port,
    clusterIP,
    externalIPs: (spec.externalIPs ?? []).filter(isIPv4),
    nodePort: externallyReachable && port.nodePort ? port.nodePort : undefined,
    sourceRanges: (spec.loadBalancerSourceRanges ?? []).map((range) => range.trim()).filter(isIPv4),
    loadBalancerIPs,
    internalLocal: spec.internalTrafficPolicy === "Local",
    externalLocal: spec.externalTrafficPolicy === "Local",
    affinitySeconds:
      spec.sessionAffinity === "ClientIP"
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800)
        : undefined,
    endpoints: inZone(usable(candidates), node.zone).map(bare),
    localEndpoints: usable(candidates.filter((candidate) => candidate.local)).map(bare),
  };
}

/** Ready ones; if there are none, those that still serve while they terminate. */
function usable(candidates: Candidate[]): Candidate[] {
  const ready = candidates.filter((candidate) => candidate.ready);
  return ready.length > 0 ? ready : candidates.filter((candidate) => candidate.serving);
}

/** Topology hints count only if every endpoint has them and this node's zone is among them. */
function inZone(candidates: Candidate[], zone: string | undefined): Candidate[] {
  if (zone === undefined || candidates.some((candidate) => !candidate.zones?.length)) return candidates;
  const near = candidates.filter((candidate) => candidate.zones!.includes(zone));
  return near.length > 0 ? near : candidates;
}

function bare({ ip, port, local }: Candidate): ServiceEndpoint {
  return { ip, port, local };
}

function endpointsOf(
  slices: EndpointSlice[],
  portName: string | undefined,
  protocol: string | undefined,
  node: NodeView,
): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const slice of slices) {
    const port = slice.ports?.find(
      (candidate) =>
        (candidate.name ?? "") === (portName ?? "") &&
        protocolOf(candidate.protocol) === protocolOf(protocol),
    )?.port;
    if (port === undefined || slice.addressType !== "IPv4") continue;
    for (const endpoint of slice.endpoints ?? []) {
      const ip = endpoint.addresses[0];
      if (ip === undefined) continue;
      const ready = endpoint.conditions?.ready ?? true;
      const candidate: Candidate = {
        ip,
        port,
        local: endpoint.nodeName === node.name,
        ready,
        serving: endpoint.conditions?.serving ?? ready,
        zones: endpoint.hints?.forZones?.map((hint) => hint.name),
      };
      // While an endpoint moves between slices it is in both: the better news counts.
      const known = found.get(`${ip}:${port}`);
      if (known === undefined || (!known.ready && ready)) found.set(`${ip}:${port}`, candidate);
    }
  }
  return [...found.values()].sort((a, b) => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : a.port - b.port));
}

function groupByService(slices: readonly EndpointSlice[]): Map<string, EndpointSlice[]> {
  const groups = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const service = slice.metadata.labels?.["kubernetes.io/service-name"];
    if (service === undefined) continue;
    const key = `${slice.metadata.namespace}/${service}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [slice]);
    else group.push(slice);
  }
  return groups;
}

/** Undefined for headless Services, ExternalName, and those without an IPv4 address. */
function ipv4ClusterIP(service: Service): string | undefined {
  const spec = service.spec;
  if (spec === undefined || spec.type === "ExternalName") return undefined;
  return [...(spec.clusterIPs ?? []), spec.clusterIP ?? ""].find((ip) => isIPv4(ip));
}

function isIPv4(address: string): boolean {
  return /^\d+\.\d+\.\d+\.\d+(\/\d+)?$/.test(address);
}
