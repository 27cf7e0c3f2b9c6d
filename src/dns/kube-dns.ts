/**
 * The Service by which tools find the cluster's DNS. Pods reach its address without a rule, because every
 * node bears it; the EndpointSlices, one per node, say so truthfully.
 */
import { StatusError } from "#base/errors.ts";
import type { StatusReason } from "#base/errors.ts";
import type { Client, ResourceName } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";

const services: ResourceName = { group: "", version: "v1", plural: "services" };
const nodes: ResourceName = { group: "", version: "v1", plural: "nodes" };
const slices: ResourceName = { group: "discovery.k8s.io", version: "v1", plural: "endpointslices" };
const namespace = "kube-system";
const ports = [
  { name: "dns", port: 53, protocol: "UDP" },
  { name: "dns-tcp", port: 53, protocol: "TCP" },
];

/** Creates the Service if it is missing; leaves one that exists alone. */
export async function ensureDnsService(client: Client, dnsServiceIP: string): Promise<void> {
  await createUnlessPresent(client, services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "kube-dns",
      namespace,
      labels: {
        "k8s-app": "kube-dns",
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
      },
    },
    spec: {
      type: "ClusterIP",
      clusterIP: dnsServiceIP,
      clusterIPs: [dnsServiceIP],
      ports: ports.map((port) => ({ ...port, targetPort: port.port })),
    },
  });
}

/** This node's part of the Service's endpoints. It goes with the Node, by its owner reference. */
export async function publishEndpoint(client: Client, nodeName: string, address: string): Promise<void> {
  const node = await client.get(nodes, undefined, nodeName);
  const name = `kube-dns-${nodeName}`;
  const slice: KubeObject = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name,
      namespace,
      labels: {
        "kubernetes.io/service-name": "kube-dns",
        "endpointslice.kubernetes.io/managed-by": "dns.trivet",
      },
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name: nodeName, uid: node.metadata.uid! }],
    },
    addressType: "IPv4",
    endpoints: [
      { addresses: [address], nodeName, conditions: { ready: true, serving: true, terminating: false } },
    ],
    ports,
  };
  if (await createUnlessPresent(client, slices, slice)) return;
  const { endpoints, ports: slicePorts, metadata } = slice;
  await client.patch(slices, namespace, name, "merge", {
    metadata: { ownerReferences: metadata.ownerReferences },
    endpoints,
    ports: slicePorts,
  });
}

/**
 * True if it was created. Looks first: a Service whose address is taken, by itself, is refused as Invalid,
 * not as existing.
 */
async function createUnlessPresent(
  client: Client,
  resource: ResourceName,
  object: KubeObject,
): Promise<boolean> {
  try {
    await client.get(resource, namespace, object.metadata.name!);
    return false;
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
  }
  try {
    await client.create(resource, object);
    return true;
  } catch (error) {
    // Another node was first.
    if (isReason(error, "AlreadyExists")) return false;
    throw error;
  }
}

function isReason(error: unknown, reason: StatusReason): boolean {
  return error instanceof StatusError && error.reason === reason;
}
