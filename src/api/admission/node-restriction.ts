/**
 * NodeRestriction: a node's credentials may change only this node, its lease, and pods that run on it.
 */
import type { KubeObject } from "#kinds/object.ts";
import { nodeNameOf } from "../auth/node-authorizer.ts";
import { objectKey } from "../registry.ts";
import type { ResourceRegistry } from "../registry.ts";
import { forbiddenError } from "../status.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./admission.ts";

export function nodeRestriction(registry: ResourceRegistry): AdmissionPlugin {
  return {
    name: "NodeRestriction",
    validate(request) {
      const nodeName = nodeNameOf(request.user);
      if (nodeName === undefined) return;
      const { group, plural } = request.resource.kind;
      if (group === "" && plural === "pods") checkPod(request, nodeName, registry);
      else if (group === "" && plural === "nodes") checkNode(request, nodeName);
      else if (group === "coordination.k8s.io" && plural === "leases") checkLease(request, nodeName);
      else if (group === "storage.k8s.io" && plural === "csinodes")
        checkOwnName(request, nodeName, "CSINode");
      else if (group === "discovery.k8s.io" && plural === "endpointslices") checkSlice(request, nodeName);
    },
  };
}

function refuse(request: AdmissionRequest, why: string): never {
  throw forbiddenError(request.resource.groupResource, request.name, why);
}

function podNode(pod: KubeObject | undefined): string {
  return (pod?.["spec"] as { nodeName?: string } | undefined)?.nodeName ?? "";
}

function checkPod(request: AdmissionRequest, nodeName: string, registry: ResourceRegistry): void {
  const stored = registry.builtIn("", "pods").stored;
  const current =
    request.old ?? stored?.cache.get(objectKey(stored, request.namespace, request.name))?.decode();
  switch (request.operation) {
    case "CREATE": {
      if (request.subresource === "eviction") break;
      const isMirror = request.object?.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined;
      if (!isMirror)
        refuse(
          request,
          `pod does not have "kubernetes.io/config.mirror" annotation, node ${JSON.stringify(nodeName)} can only create mirror pods`,
        );
      if (podNode(request.object) !== nodeName)
        refuse(
          request,
          `node ${JSON.stringify(nodeName)} can only create pods with spec.nodeName set to itself`,
        );
      return;
    }
    case "UPDATE":
      if (request.subresource !== "status")
        refuse(
          request,
          `unexpected operation "UPDATE", node ${JSON.stringify(nodeName)} can only update the status of pods`,
        );
      break;
    case "DELETE":
      break;
    case "CONNECT":
      return;
  }
  if (podNode(current) !== nodeName) {
    refuse(
      request,
      `node ${JSON.stringify(nodeName)} can only ${request.operation.toLowerCase()} pods with spec.nodeName set to itself`,
    );
  }
}

function checkNode(request: AdmissionRequest, nodeName: string): void {
  const name = request.name === "" ? (request.object?.metadata.name ?? "") : request.name;
  if (name !== nodeName)
    refuse(request, `node ${JSON.stringify(nodeName)} is not allowed to modify node ${JSON.stringify(name)}`);
  if (request.operation !== "UPDATE") return;
  const before = JSON.stringify((request.old?.["spec"] as { taints?: unknown } | undefined)?.taints ?? []);
  const after = JSON.stringify((request.object?.["spec"] as { taints?: unknown } | undefined)?.taints ?? []);
  if (before !== after) refuse(request, `node ${JSON.stringify(nodeName)} is not allowed to modify taints`);
}

/** Only its own part of the cluster's DNS Service, and of no other Service. */
function checkSlice(request: AdmissionRequest, nodeName: string): void {
  const name = request.name === "" ? (request.object?.metadata.name ?? "") : request.name;
  const service = request.object?.metadata.labels?.["kubernetes.io/service-name"];
  if (name !== `kube-dns-${nodeName}` || (request.operation !== "DELETE" && service !== "kube-dns"))
    refuse(request, `node ${JSON.stringify(nodeName)} can only publish its own part of the kube-dns Service`);
}

function checkLease(request: AdmissionRequest, nodeName: string): void {
  if (request.namespace !== "kube-node-lease") {
    refuse(request, `can only access leases in the "kube-node-lease" system namespace`);
  }
  checkOwnName(request, nodeName, "lease");
}

function checkOwnName(request: AdmissionRequest, nodeName: string, what: string): void {
  const name = request.name === "" ? (request.object?.metadata.name ?? "") : request.name;
  if (name !== nodeName)
    refuse(request, `can only access node ${what} with the same name as the requesting node`);
}
