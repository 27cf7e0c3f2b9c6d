/** What Endpoints and EndpointSlices have in common: which pods serve a service, and on which ports. */
import type { View } from "./controller.ts";
import { keyOf } from "./controller.ts";
import { pods, services } from "./kubernetes.ts";
import type { Pod, Service } from "./kubernetes.ts";
import { isPodFinished } from "./pod.ts";
import { selectsMap } from "./selector.ts";

export type ServicePort = NonNullable<Service["spec"]["ports"]>[number];

export const headlessLabel = "service.kubernetes.io/headless";

export function servingPods(view: View, service: Service): Pod[] {
  return view
    .list(pods, service.metadata.namespace)
    .filter((pod) => selectsMap(service.spec.selector, pod.metadata.labels))
    .filter((pod) => !isPodFinished(pod) && (pod.status.podIP ?? "") !== "")
    .sort((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
}

export function* servicesOfPod(pod: Pod, view: View): Iterable<string> {
  for (const service of view.list(services, pod.metadata.namespace)) {
    if (selectsMap(service.spec.selector, pod.metadata.labels)) yield keyOf(service);
  }
}

export function isHeadless(service: Service): boolean {
  return service.spec.clusterIP === "None";
}

/** The number of the target port in this pod; undefined when the pod has no port of that name. */
export function targetPort(pod: Pod, port: ServicePort): number | undefined {
  const target = port.targetPort;
  if (typeof target === "number") return target;
  if (target === undefined || target === "") return port.port;
  const sidecars = (pod.spec.initContainers ?? []).filter(
    (each) => (each as { restartPolicy?: string }).restartPolicy === "Always",
  );
  for (const container of [...pod.spec.containers, ...sidecars]) {
    for (const each of container.ports ?? []) {
      if (each.name === target && (each.protocol ?? "TCP") === (port.protocol ?? "TCP"))
        return each.containerPort;
    }
  }
  return undefined;
}

/** The addresses of a pod in one family, by the form of their text. */
export function podAddress(pod: Pod, family: "IPv4" | "IPv6"): string | undefined {
  const addresses = (pod.status.podIPs ?? []).map((each) => each.ip ?? "");
  if (addresses.length === 0 && pod.status.podIP !== undefined) addresses.push(pod.status.podIP);
  return addresses.find((each) => each.includes(":") === (family === "IPv6"));
}

export function hostnameFor(pod: Pod, service: Service): string | undefined {
  const { hostname, subdomain } = pod.spec;
  return hostname !== undefined && hostname !== "" && subdomain === service.metadata.name
    ? hostname
    : undefined;
}

export function targetReference(pod: Pod): { kind: string; namespace: string; name: string; uid: string } {
  const { namespace = "", name = "", uid = "" } = pod.metadata;
  return { kind: "Pod", namespace, name, uid };
}
