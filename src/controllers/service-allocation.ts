/**
 * Addresses and node ports of Services that collide or lie outside of their ranges: told in events, since
 * only a person can decide which Service to make anew. The API server hands out no such address; they
 * come with data from elsewhere, or with a changed range.
 */
import { keyOf, on, record, splitKey } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { services } from "./kubernetes.ts";
import type { Service } from "./kubernetes.ts";
import { cidrContains, parseCidr, parseIp } from "#kinds/ip.ts";

export interface ServiceRanges {
  /** Of cluster addresses. */
  serviceCidr: string;
  nodePorts: { first: number; last: number };
}

export function serviceAllocationController(ranges: ServiceRanges): Controller {
  return {
    name: "service-allocation-controller",
    triggers: [
      on(
        services,
        (service) => [keyOf(service)],
        (service, old) => service !== undefined && !equal(held(service), old === undefined ? {} : held(old)),
      ),
    ],
    // It asks for nothing but events.
    writes: [],
    plan: (view, key) => planService(view, key, ranges),
  };
}

function* planService(view: View, key: string, { serviceCidr, nodePorts }: ServiceRanges): Plan {
  const { namespace, name } = splitKey(key);
  const service = view.get(services, namespace, name);
  if (service === undefined) return;
  const { addresses, ports } = held(service);
  if (addresses.length === 0 && ports.length === 0) return;
  const range = parseCidr(serviceCidr);
  const others = view
    .list(services)
    .filter((each) => keyOf(each) !== key)
    .map(held);
  for (const address of addresses) {
    const ip = parseIp(address);
    const start = `Cluster IP [IPv${address.includes(":") ? 6 : 4}]:${address}`;
    if (range !== undefined && (ip === undefined || !cidrContains(range, ip)))
      yield* record(
        service,
        "Warning",
        "ClusterIPOutOfRange",
        `${start} is not within any configured Service CIDR; please recreate service`,
      );
    else if (others.some((each) => each.addresses.includes(address)))
      yield* record(
        service,
        "Warning",
        "ClusterIPAlreadyAllocated",
        `${start} was assigned to multiple services; please recreate service`,
      );
  }
  for (const port of ports) {
    if (port < nodePorts.first || port > nodePorts.last)
      yield* record(
        service,
        "Warning",
        "PortOutOfRange",
        `Port ${port} is not within the port range ${nodePorts.first}-${nodePorts.last}; please recreate service`,
      );
    else if (others.some((each) => each.ports.includes(port)))
      yield* record(
        service,
        "Warning",
        "PortAlreadyAllocated",
        `Port ${port} was assigned to multiple services; please recreate service`,
      );
  }
}

function held({ spec }: Service): { addresses: string[]; ports: number[] } {
  const addresses = spec.type === "ExternalName" ? [] : (spec.clusterIPs ?? [spec.clusterIP ?? ""]);
  const ports = [...(spec.ports ?? []).map((each) => each.nodePort ?? 0), spec.healthCheckNodePort ?? 0];
  return {
    addresses: addresses.filter((each) => each !== "" && each !== "None"),
    ports: [...new Set(ports.filter((each) => each !== 0))],
  };
}
