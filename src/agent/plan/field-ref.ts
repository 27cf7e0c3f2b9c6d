/** What fieldRef and resourceFieldRef give: parts of the pod itself, as text, for env and the downward API. */
import type { Pod } from "../types.ts";
import { allContainers } from "./containers.ts";
import { quantityValue } from "./quantity.ts";

export interface NodeFacts {
  nodeName: string;
  hostIps: readonly string[];
  /** What a container without limit may use. */
  allocatable: { cpu: number; memory: number; "ephemeral-storage": number };
}

/** Throws when the path isn't one that the API allows. */
export function fieldValue(path: string, pod: Pod, podIps: readonly string[], node: NodeFacts): string {
  const subscript = /^metadata\.(annotations|labels)\['(.*)'\]$/.exec(path);
  if (subscript) {
    const map = subscript[1] === "labels" ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[subscript[2]!] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return pod.metadata.name ?? "";
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(pod.metadata.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata.annotations);
    case "spec.nodeName":
      return node.nodeName;
    case "spec.serviceAccountName":
      return pod.spec.serviceAccountName ?? "";
    case "status.hostIP":
      return node.hostIps[0] ?? "";
    case "status.hostIPs":
      return node.hostIps.join(",");
    case "status.podIP":
      return podIps[0] ?? "";
    case "status.podIPs":
      return podIps.join(",");
    default:
      throw new Error(`unsupported fieldPath: ${path}`);
  }
}

export interface ResourceReference {
  containerName?: string;
  resource: string;
  divisor?: string;
}

/** Rounded up to whole divisors. `ownContainer` is meant where the reference names none. */
export function resourceValue(
  reference: ResourceReference,
  pod: Pod,
  ownContainer: string,
  node: NodeFacts,
): string {
  const name = reference.containerName || ownContainer;
  const container = allContainers(pod.spec).find((each) => each.container.name === name)?.container;
  if (!container) throw new Error(`container ${name} not found`);
  const [kind, ...rest] = reference.resource.split(".");
  const resource = rest.join(".");
  if (kind !== "limits" && kind !== "requests")
    throw new Error(`unsupported container resource : ${reference.resource}`);
  const fallback = kind === "limits" ? node.allocatable[resource as keyof NodeFacts["allocatable"]] : 0;
  const value = quantityValue(container.resources?.[kind]?.[resource]) ?? fallback ?? 0;
  const divisor = quantityValue(reference.divisor) || 1;
  return String(Math.ceil(Number((value / divisor).toFixed(6))));
}

/** Lines of name="value", sorted, as the downward API writes labels and annotations. */
export function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.keys(map ?? {})
    .sort()
    .map((key) => `${key}=${JSON.stringify(map?.[key])}`)
    .join("\n");
}
