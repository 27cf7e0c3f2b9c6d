/**
 * The Kubernetes objects this room reads, and where they live. Their types are derived from the
 * published ones; nothing here adds a field.
 */
import type { ResourceName } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";
import type * as core from "kubernetes-types/core/v1.d.ts";
import type * as discovery from "kubernetes-types/discovery/v1.d.ts";
import type * as networking from "kubernetes-types/networking/v1.d.ts";

export type Service = KubeObject & core.Service;
export type Node = KubeObject & core.Node;
export type Pod = KubeObject & core.Pod;
export type Namespace = KubeObject & core.Namespace;
export type EndpointSlice = KubeObject & discovery.EndpointSlice;
export type NetworkPolicy = KubeObject & networking.NetworkPolicy;

export type Protocol = "tcp" | "udp" | "sctp";

export const resources = {
  nodes: { group: "", version: "v1", plural: "nodes" },
  services: { group: "", version: "v1", plural: "services" },
  pods: { group: "", version: "v1", plural: "pods" },
  namespaces: { group: "", version: "v1", plural: "namespaces" },
  endpointSlices: { group: "discovery.k8s.io", version: "v1", plural: "endpointslices" },
  networkPolicies: { group: "networking.k8s.io", version: "v1", plural: "networkpolicies" },
} as const satisfies Record<string, ResourceName>;

/** The protocol of a Service or EndpointSlice port, as nftables writes it. */
export function protocolOf(protocol: string | undefined): Protocol {
  return (protocol ?? "TCP").toLowerCase() as Protocol;
}
