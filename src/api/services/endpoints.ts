/** Where a Service's port is answered at the moment: one of its ready endpoints. */
import type { KubeObject } from "#kinds/object.ts";
import type { ResourceRegistry } from "../registry.ts";

interface SliceObject extends KubeObject {
  endpoints?: { addresses: string[]; conditions?: { ready?: boolean } }[];
  ports?: { name?: string; port?: number }[];
}

/** `portName` is "" for the port without a name. Undefined: nothing is ready. */
export function endpointOf(
  registry: ResourceRegistry,
  namespace: string,
  service: string,
  portName: string,
): { ip: string; port: number } | undefined {
  const slices = registry.builtIn("discovery.k8s.io", "endpointslices").stored;
  for (const entry of slices?.cache.list(namespace) ?? []) {
    if (entry.labels?.["kubernetes.io/service-name"] !== service) continue;
    const slice = entry.decode() as SliceObject;
    const port = (slice.ports ?? []).find((each) => (each.name ?? "") === portName)?.port;
    const ready = (slice.endpoints ?? []).find((each) => each.conditions?.ready !== false);
    const ip = ready?.addresses[0];
    if (port !== undefined && ip !== undefined) return { ip, port };
  }
  return undefined;
}
