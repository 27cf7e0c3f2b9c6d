/** EndpointSlices: who serves a service, in slices of at most a hundred endpoints with the same ports. */
import type { EndpointSlice as DiscoverySlice } from "kubernetes-types/discovery/v1.d.ts";
import { create, on, remove, self, splitKey, update } from "./controller.ts";
import type { Controller, Plan, Unsaved, View } from "./controller.ts";
import {
  headlessLabel,
  hostnameFor,
  isHeadless,
  podAddress,
  servicesOfPod,
  servingPods,
  targetPort,
  targetReference,
} from "./endpoint-addresses.ts";
import { canonicalJson } from "./hash.ts";
import { equal } from "./equality.ts";
import { endpointSlices, nodes, pods, services } from "./kubernetes.ts";
import type { EndpointSlice, Node, Pod, Service } from "./kubernetes.ts";
import { controllerReference } from "./owner.ts";
import { isPodReady } from "./pod.ts";

type Endpoint = DiscoverySlice["endpoints"][number];
type Port = NonNullable<DiscoverySlice["ports"]>[number];

export const managedByLabel = "endpointslice.kubernetes.io/managed-by";
const managedBy = "endpointslice-controller.k8s.io";
export const serviceNameLabel = "kubernetes.io/service-name";
const zoneLabel = "topology.kubernetes.io/zone";
const maxEndpoints = 100;

export const endpointSliceController: Controller = {
  name: "endpointslice-controller",
  triggers: [
    on(services, self),
    on(pods, servicesOfPod),
    on(endpointSlices, serviceOfSlice),
    on(nodes, servicesOnNode, (node, old) => zoneOf(node) !== zoneOf(old)),
  ],
  writes: [endpointSlices],
  concurrency: 5,
  restMs: 20,
  plan: planSlices,
};

interface Group {
  ports: Port[];
  /** By the uid of the pod. */
  endpoints: Map<string, Endpoint>;
}

export function* planSlices(view: View, key: string): Plan {
  const { namespace, name } = splitKey(key);
  const service = view.get(services, namespace, name);
  if (service === undefined || service.metadata.deletionTimestamp !== undefined) return;
  if (service.spec.type === "ExternalName" || service.spec.selector === undefined) return;
  const existing = ownSlices(view, service);
  const families = service.spec.ipFamilies ?? ["IPv4"];
  for (const family of families) {
    const slices = existing.filter((each) => each.addressType === family);
    yield* reconcile(
      service,
      family as "IPv4" | "IPv6",
      slices,
      groupsOf(view, service, family as "IPv4" | "IPv6"),
    );
  }
  for (const each of existing) if (!families.includes(each.addressType)) yield* remove(endpointSlices, each);
}

/** Endpoints stay in the slice where they are; free room is used before new slices are made. */
function* reconcile(
  service: Service,
  family: "IPv4" | "IPv6",
  existing: readonly EndpointSlice[],
  groups: Map<string, Group>,
): Plan {
  const labels = labelsFor(service);
  const kept: { slice: EndpointSlice; group: Group; endpoints: Endpoint[] }[] = [];
  const unused: EndpointSlice[] = [];
  for (const slice of existing) {
    const group = groups.get(canonicalJson(slice.ports ?? []));
    if (group === undefined) {
      unused.push(slice);
      continue;
    }
    const endpoints: Endpoint[] = [];
    for (const { targetRef } of slice.endpoints ?? []) {
      const wanted = group.endpoints.get(targetRef?.uid ?? "");
      if (wanted === undefined) continue;
      endpoints.push(wanted);
      group.endpoints.delete(targetRef?.uid ?? "");
    }
    kept.push({ slice, group, endpoints });
  }
  for (const each of kept) fill(each.endpoints, each.group);
  const fresh: { ports: Port[]; endpoints: Endpoint[] }[] = [];
  for (const group of groups.values()) {
    while (group.endpoints.size > 0) {
      const endpoints: Endpoint[] = [];
      fill(endpoints, group);
      fresh.push({ ports: group.ports, endpoints });
    }
  }
  unused.push(...kept.filter((each) => each.endpoints.length === 0).map((each) => each.slice));
  const filled = kept.filter((each) => each.endpoints.length > 0);
  // A service always has a slice, so that its readers can tell "nobody" from "not yet known".
  if (filled.length === 0 && fresh.length === 0) fresh.push({ ports: [], endpoints: [] });
  for (const { slice, endpoints } of filled) yield* write(slice, labels, endpoints, slice.ports ?? []);
  for (const each of fresh) {
    const reused = unused.shift();
    if (reused !== undefined) yield* write(reused, labels, each.endpoints, each.ports);
    else yield* create(endpointSlices, newSlice(service, family, labels, each.endpoints, each.ports));
  }
  for (const each of unused) yield* remove(endpointSlices, each);
}

function fill(endpoints: Endpoint[], group: Group): void {
  for (const [uid, endpoint] of group.endpoints) {
    if (endpoints.length >= maxEndpoints) return;
    endpoints.push(endpoint);
    group.endpoints.delete(uid);
  }
}

function* write(
  slice: EndpointSlice,
  labels: Record<string, string>,
  endpoints: Endpoint[],
  ports: Port[],
): Plan {
  const same =
    equal(slice.endpoints, endpoints) && equal(slice.ports, ports) && equal(slice.metadata.labels, labels);
  if (same) return;
  yield* update(endpointSlices, { ...slice, metadata: { ...slice.metadata, labels }, endpoints, ports });
}

function newSlice(
  service: Service,
  family: "IPv4" | "IPv6",
  labels: Record<string, string>,
  endpoints: Endpoint[],
  ports: Port[],
): Unsaved<EndpointSlice> {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace ?? "",
      labels,
      ownerReferences: [controllerReference(services, service)],
    },
    addressType: family,
    endpoints,
    ports,
  };
}

function groupsOf(view: View, service: Service, family: "IPv4" | "IPv6"): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const pod of servingPods(view, service)) {
    const address = podAddress(pod, family);
    if (address === undefined) continue;
    const node = view.get(nodes, undefined, pod.spec.nodeName ?? "");
    if (node === undefined && service.spec.publishNotReadyAddresses !== true) continue;
    const ports = portsOf(service, pod);
    const key = canonicalJson(ports);
    const group = groups.get(key) ?? { ports, endpoints: new Map<string, Endpoint>() };
    group.endpoints.set(pod.metadata.uid ?? "", endpointOf(service, pod, address, node));
    groups.set(key, group);
  }
  const distribution = (service.spec as { trafficDistribution?: string }).trafficDistribution;
  if (distribution === "PreferClose") for (const group of groups.values()) addZoneHints(group);
  return groups;
}

/** Traffic should stay in its zone, where every ready endpoint of the group has one. */
function addZoneHints({ endpoints }: Group): void {
  const ready = [...endpoints.values()].filter((each) => each.conditions?.ready === true);
  if (ready.some((each) => each.zone === undefined)) return;
  for (const each of ready) each.hints = { forZones: [{ name: each.zone! }] };
}

function endpointOf(service: Service, pod: Pod, address: string, node: Node | undefined): Endpoint {
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const hostname = hostnameFor(pod, service);
  const zone = zoneOf(node);
  const { nodeName } = pod.spec;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    targetRef: targetReference(pod),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
  };
}

function portsOf(service: Service, pod: Pod): Port[] {
  const ports: Port[] = [];
  for (const each of service.spec.ports ?? []) {
    const port = targetPort(pod, each);
    if (port === undefined) continue;
    ports.push({
      name: each.name ?? "",
      protocol: each.protocol ?? "TCP",
      port,
      ...(each.appProtocol === undefined ? {} : { appProtocol: each.appProtocol }),
    });
  }
  return ports;
}

function labelsFor(service: Service): Record<string, string> {
  const labels: Record<string, string> = { ...service.metadata.labels };
  delete labels[headlessLabel];
  if (isHeadless(service)) labels[headlessLabel] = "";
  labels[serviceNameLabel] = service.metadata.name ?? "";
  labels[managedByLabel] = managedBy;
  return labels;
}

function ownSlices(view: View, service: Service): EndpointSlice[] {
  return view
    .list(endpointSlices, service.metadata.namespace)
    .filter(
      ({ metadata }) =>
        metadata.deletionTimestamp === undefined &&
        metadata.labels?.[serviceNameLabel] === service.metadata.name &&
        metadata.labels?.[managedByLabel] === managedBy,
    );
}

function* serviceOfSlice(slice: EndpointSlice): Iterable<string> {
  const name = slice.metadata.labels?.[serviceNameLabel];
  if (name !== undefined && slice.metadata.labels?.[managedByLabel] === managedBy) {
    yield `${slice.metadata.namespace}/${name}`;
  }
}

function* servicesOnNode(node: Node, view: View): Iterable<string> {
  for (const pod of view.byIndex(pods, "node", node.metadata.name ?? "")) yield* servicesOfPod(pod, view);
}

/** "absent" differs from a node without zone: endpoints on unknown nodes are left out. */
function zoneOf(node: Node | undefined): string | undefined {
  return node?.metadata.labels?.[zoneLabel];
}
