/** The namespaces that every cluster has. */
import type { KubeObject } from "#kinds/object.ts";

export const systemNamespaces = ["kube-system", "kube-public", "kube-node-lease", "default"] as const;

export function namespaceObject(name: string): KubeObject {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name } };
}
