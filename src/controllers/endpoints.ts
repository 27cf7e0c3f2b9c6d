/** Endpoints: the older picture of who serves a service, one object per service. */
import { StatusError } from "#base/errors.ts";
import type { Endpoints as CoreEndpoints } from "kubernetes-types/core/v1.d.ts";
import { create, on, remove, self, splitKey, update } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
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
import { endpoints, pods, services } from "./kubernetes.ts";
import type { Pod, Service } from "./kubernetes.ts";
import { isPodReady } from "./pod.ts";

type Subset = NonNullable<CoreEndpoints["subsets"]>[number];
type Address = NonNullable<Subset["addresses"]>[number];
type Port = NonNullable<Subset["ports"]>[number];

const capacity = 1000;
const capacityAnnotation = "endpoints.kubernetes.io/over-capacity";

export const endpointsController: Controller = {
  name: "endpoint-controller",
  triggers: [
    on(services, self),
    on(pods, servicesOfPod),
    on(endpoints, self, (object) => object === undefined),
  ],
  writes: [endpoints],
  concurrency: 5,
  restMs: 20,
  plan: planEndpoints,
};

export function* planEndpoints(view: View, key: string): Plan {
  const { namespace, name } = splitKey(key);
  const service = view.get(services, namespace, name);
  const current = view.get(endpoints, namespace, name);
  if (service === undefined) {
    if (current !== undefined) yield* ignoring("NotFound", remove(endpoints, current));
    return;
  }
  if (service.spec.type === "ExternalName" || service.spec.selector === undefined) return;
  if (service.metadata.deletionTimestamp !== undefined) return;
  const { subsets, overCapacity } = truncated(subsetsOf(service, servingPods(view, service)));
  const labels = { ...service.metadata.labels, ...(isHeadless(service) ? { [headlessLabel]: "" } : {}) };
  if (!isHeadless(service)) delete labels[headlessLabel];
  const annotations = { ...current?.metadata.annotations };
  delete annotations[capacityAnnotation];
  if (overCapacity) annotations[capacityAnnotation] = "truncated";
  if (current === undefined) {
    const metadata = { name, namespace, labels, ...(overCapacity ? { annotations } : {}) };
    yield* ignoring(
      "AlreadyExists",
      create(endpoints, { apiVersion: "v1", kind: "Endpoints", metadata, subsets }),
    );
    return;
  }
  const same =
    equal(repack(current.subsets ?? []), subsets) &&
    equal(current.metadata.labels, labels) &&
    equal(current.metadata.annotations, annotations);
  if (same) return;
  yield* update(endpoints, { ...current, metadata: { ...current.metadata, labels, annotations }, subsets });
}

function subsetsOf(service: Service, serving: readonly Pod[]): Subset[] {
  const family = service.spec.ipFamilies?.[0] === "IPv6" ? "IPv6" : "IPv4";
  const subsets: Subset[] = [];
  for (const pod of serving) {
    const ip = podAddress(pod, family);
    const terminating = pod.metadata.deletionTimestamp !== undefined;
    if (ip === undefined || (terminating && service.spec.publishNotReadyAddresses !== true)) continue;
    const hostname = hostnameFor(pod, service);
    const { nodeName } = pod.spec;
    const address: Address = {
      ip,
      ...(hostname === undefined ? {} : { hostname }),
      ...(nodeName === undefined ? {} : { nodeName }),
      targetRef: targetReference(pod),
    };
    const ready = isPodReady(pod) || service.spec.publishNotReadyAddresses === true;
    const add = (ports: Port[] | undefined): void => {
      const addresses = ready ? { addresses: [address] } : { notReadyAddresses: [address] };
      subsets.push({ ...addresses, ...(ports === undefined ? {} : { ports }) });
    };
    const servicePorts = service.spec.ports ?? [];
    if (servicePorts.length === 0 && isHeadless(service)) add(undefined);
    for (const each of servicePorts) {
      const port = targetPort(pod, each);
      if (port === undefined) continue;
      add([
        {
          ...(each.name === undefined ? {} : { name: each.name }),
          port,
          protocol: each.protocol ?? "TCP",
          ...(each.appProtocol === undefined ? {} : { appProtocol: each.appProtocol }),
        },
      ]);
    }
  }
  return repack(subsets);
}

/** Ports with the same set of addresses share one subset; everything is in a fixed order. */
function repack(subsets: readonly Subset[]): Subset[] {
  const byPort = new Map<
    string,
    { port: Port | undefined; addresses: Map<string, { address: Address; ready: boolean }> }
  >();
  for (const subset of subsets) {
    const ports: (Port | undefined)[] = (subset.ports ?? []).length === 0 ? [undefined] : subset.ports!;
    for (const port of ports) {
      const key = canonicalJson(port);
      const entry = byPort.get(key) ?? {
        port,
        addresses: new Map<string, { address: Address; ready: boolean }>(),
      };
      for (const address of subset.addresses ?? [])
        entry.addresses.set(`r${canonicalJson(address)}`, { address, ready: true });
      for (const address of subset.notReadyAddresses ?? []) {
        entry.addresses.set(`n${canonicalJson(address)}`, { address, ready: false });
      }
      byPort.set(key, entry);
    }
  }
  const groups = new Map<string, { ports: Port[]; members: { address: Address; ready: boolean }[] }>();
  for (const [, { port, addresses }] of [...byPort].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const key = [...addresses.keys()].sort((a, b) => (a < b ? -1 : 1)).join();
    const group = groups.get(key) ?? { ports: [], members: [...addresses.values()] };
    if (port !== undefined) group.ports.push(port);
    groups.set(key, group);
  }
  const byIp = (a: Address, b: Address): number => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : 0);
  return [...groups.values()].map(({ ports, members }) => {
    const ready = members.filter((each) => each.ready).map((each) => each.address);
    const notReady = members.filter((each) => !each.ready).map((each) => each.address);
    return {
      ...(ready.length === 0 ? {} : { addresses: ready.sort(byIp) }),
      ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady.sort(byIp) }),
      ...(ports.length === 0 ? {} : { ports }),
    };
  });
}

/** At most a thousand addresses, ready ones first. */
function truncated(subsets: Subset[]): { subsets: Subset[]; overCapacity: boolean } {
  const count = (which: "addresses" | "notReadyAddresses"): number =>
    subsets.reduce((sum, each) => sum + (each[which]?.length ?? 0), 0);
  if (count("addresses") + count("notReadyAddresses") <= capacity) return { subsets, overCapacity: false };
  let left = capacity;
  const take = (addresses: readonly Address[] | undefined): Address[] => {
    const taken = (addresses ?? []).slice(0, left);
    left -= taken.length;
    return taken;
  };
  const ready = subsets.map((each) => take(each.addresses));
  const notReady = subsets.map((each) => take(each.notReadyAddresses));
  const kept = subsets.map((each, index) => ({
    ...(ready[index]!.length === 0 ? {} : { addresses: ready[index]! }),
    ...(notReady[index]!.length === 0 ? {} : { notReadyAddresses: notReady[index]! }),
    ...(each.ports === undefined ? {} : { ports: each.ports }),
  }));
  return {
    subsets: kept.filter((each) => "addresses" in each || "notReadyAddresses" in each),
    overCapacity: true,
  };
}

function* ignoring<T>(reason: string, steps: Plan<T>): Plan {
  try {
    yield* steps;
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === reason)) throw error;
  }
}
