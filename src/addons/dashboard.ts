/**
 * The add-on `dashboard`: serves the pages of the room `web` beside the API, and a service account that may
 * look at everything but secrets, for those who have no other token.
 */
import type { HttpHandler } from "#base/http.ts";
import type { KubeObject } from "#kinds/object.ts";
import { defineAddon } from "./addon.ts";
import type { Addon } from "./addon.ts";

export const dashboardPath = "/trivet/dashboard";

const accountName = "trivet-dashboard";
const accountNamespace = "kube-system";
const rbac = "rbac.authorization.k8s.io";

/** `load` brings the pages when the add-on starts. */
export function dashboardAddon(load: () => Promise<HttpHandler>): Addon {
  return defineAddon({
    name: "dashboard",
    description: "A dashboard in the browser: nodes, high availability, workloads, pods, logs, events",
    requires: [],
    objects: [
      {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: accountName, namespace: accountNamespace },
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: "ClusterRole",
        metadata: { name: "trivet:dashboard" },
        rules: [
          { apiGroups: [""], resources: ["nodes", "namespaces", "events"], verbs: ["get", "list", "watch"] },
          { apiGroups: ["metrics.k8s.io"], resources: ["nodes", "pods"], verbs: ["get", "list"] },
          { nonResourceURLs: ["/trivet/v1/status"], verbs: ["get"] },
        ],
      },
      binding("trivet:dashboard", "trivet:dashboard"),
      binding("trivet:dashboard:view", "view"),
    ],
    nextSteps: (apiUrl) => [
      `open ${apiUrl}${dashboardPath}/ in a browser (the certificate is the cluster's own)`,
      `kubectl create token ${accountName} -n ${accountNamespace}     # the token to log in with; it may only look`,
      `or: kubectl proxy, and open http://127.0.0.1:8001${dashboardPath}/`,
    ],
    async start(context) {
      const remove = context.addRoute({ prefix: dashboardPath, handler: await load() });
      return { close: async () => remove() };
    },
  });
}

function binding(name: string, role: string): KubeObject {
  return {
    apiVersion: `${rbac}/v1`,
    kind: "ClusterRoleBinding",
    metadata: { name },
    roleRef: { apiGroup: rbac, kind: "ClusterRole", name: role },
    subjects: [{ kind: "ServiceAccount", name: accountName, namespace: accountNamespace }],
  };
}
