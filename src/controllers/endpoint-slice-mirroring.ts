/**
 * EndpointSlices of services without selector: copies of the Endpoints that somebody keeps by hand, for
 * the readers of slices. Endpoints that are a lock, or that say so, are not copied.
 */
import type { Endpoints as CoreEndpoints } from "kubernetes-types/core/v1.d.ts";
import type { EndpointSlice as DiscoverySlice } from "kubernetes-types/discovery/v1.d.ts";
import { create, on, remove, self, splitKey, update } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { managedByLabel, serviceNameLabel } from "./endpoint-slice.ts";
import { equal } from "./equality.ts";
import { canonicalJson } from "./hash.ts";
import { endpointSlices, endpoints, services } from "./kubernetes.ts";
import type { EndpointSlice, Endpoints } from "./kubernetes.ts";
import { controllerReference } from "./owner.ts";

type Subset = NonNullable<CoreEndpoints["subsets"]>[number];
type Address = NonNullable<Subset["addresses"]>[number];
type Endpoint = DiscoverySlice["endpoints"][number];
type Port = NonNullable<DiscoverySlice["ports"]>[number];

const managedBy = "endpointslicemirroring-controller.k8s.io";
const skipLabel = "endpointslice.kubernetes.io/skip-mirror";
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader";
/** Not copied: about the Endpoints object itself. */
const ownAnnotations = new Set([
  "endpoints.kubernetes.io/last-change-trigger-time",
  "kubectl.kubernetes.io/last-applied-configuration",
]);
/** Upstream's --mirroring-max-endpoints-per-subset: what a subset has beyond it is left out. */
const maxEndpoints = 1000;

export const endpointSliceMirroringController: Controller = {
  name: "endpointslice-mirroring-controller",
  triggers: [on(services, self), on(endpoints, self), on(endpointSlices, endpointsOfSlice)],
  writes: [endpointSlices],
  concurrency: 5,
  plan: planMirror,
};

/** A slice to be: all addresses of a family that have the same ports. */
interface Wanted {
  addressType: "IPv4" | "IPv6";
  ports: Port[];
  endpoints: Endpoint[];
}

export function* planMirror(view: View, key: string): Plan {
  const { namespace, name } = splitKey(key);
  const source = view.get(endpoints, namespace, name);
  const service = view.get(services, namespace, name);
  const mirrors = source !== undefined && isMirrored(source) && service !== undefined;
  const unused = new Set(mirroredSlices(view, namespace, name));
  if (mirrors && service.spec.selector === undefined) {
    const metadata = { labels: labelsFor(source), annotations: annotationsFor(source) };
    for (const wanted of slicesOf(source)) {
      const found = findSlice(unused, wanted);
      if (found === undefined) {
        yield* create(endpointSlices, {
          apiVersion: "discovery.k8s.io/v1",
          kind: "EndpointSlice",
          metadata: {
            generateName: `${name}-`,
            namespace,
            ...metadata,
            ownerReferences: [controllerReference(endpoints, source)],
          },
          ...wanted,
        });
        continue;
      }
      unused.delete(found);
      const same =
        equal(found.endpoints, wanted.endpoints) &&
        equal(found.ports, wanted.ports) &&
        equal(found.metadata.labels, metadata.labels) &&
        equal(found.metadata.annotations, metadata.annotations);
      if (same) continue;
      yield* update(endpointSlices, { ...found, metadata: { ...found.metadata, ...metadata }, ...wanted });
    }
  }
  for (const each of unused) yield* remove(endpointSlices, each);
}

function isMirrored({ metadata }: Endpoints): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    metadata.labels?.[skipLabel] !== "true" &&
    metadata.annotations?.[leaderAnnotation] === undefined
  );
}

function mirroredSlices(view: View, namespace: string, name: string): EndpointSlice[] {
  return view
    .list(endpointSlices, namespace)
    .filter(
      ({ metadata }) =>
        metadata.deletionTimestamp === undefined &&
        metadata.labels?.[serviceNameLabel] === name &&
        metadata.labels?.[managedByLabel] === managedBy,
    );
}

/** The slice with the same ports, or else any of the family. */
function findSlice(slices: ReadonlySet<EndpointSlice>, wanted: Wanted): EndpointSlice | undefined {
  const candidates = [...slices].filter((each) => each.addressType === wanted.addressType);
  return candidates.find((each) => equal(each.ports, wanted.ports)) ?? candidates[0];
}

function slicesOf(source: Endpoints): Wanted[] {
  const slices = new Map<string, Wanted>();
  for (const subset of source.subsets ?? []) {
    const ports = (subset.ports ?? []).map((port) => ({ ...port, name: port.name ?? "" }));
    let room = maxEndpoints;
    const add = (address: Address, ready: boolean): void => {
      if (room-- <= 0) return;
      const addressType = address.ip.includes(":") ? "IPv6" : "IPv4";
      const key = `${addressType} ${canonicalJson(ports)}`;
      let slice = slices.get(key);
      if (slice === undefined) slices.set(key, (slice = { addressType, ports, endpoints: [] }));
      if (slice.endpoints.length < maxEndpoints) slice.endpoints.push(endpointOf(address, ready));
    };
    for (const each of subset.addresses ?? []) add(each, true);
    for (const each of subset.notReadyAddresses ?? []) add(each, false);
  }
  return [...slices.values()];
}

function endpointOf({ ip, hostname, nodeName, targetRef }: Address, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === undefined || hostname === "" ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}

function labelsFor({ metadata }: Endpoints): Record<string, string> {
  return { ...metadata.labels, [serviceNameLabel]: metadata.name ?? "", [managedByLabel]: managedBy };
}

function annotationsFor({ metadata }: Endpoints): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([name]) => !ownAnnotations.has(name)),
  );
}

function* endpointsOfSlice(slice: EndpointSlice): Iterable<string> {
  const name = slice.metadata.labels?.[serviceNameLabel];
  if (name !== undefined && slice.metadata.labels?.[managedByLabel] === managedBy) {
    yield `${slice.metadata.namespace}/${name}`;
  }
}
