/** Pod (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, createOnly, objectVerbs, proxyVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.Pod";

export const pod = defineKind({
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  singular: "pod",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    attach: { speaks: { group: "", version: "v1", kind: "PodAttachOptions" }, verbs: ["create", "get"] },
    binding: { speaks: { group: "", version: "v1", kind: "Binding" }, verbs: createOnly },
    ephemeralcontainers: { verbs: objectVerbs },
    eviction: { speaks: { group: "policy", version: "v1", kind: "Eviction" }, verbs: createOnly },
    exec: { speaks: { group: "", version: "v1", kind: "PodExecOptions" }, verbs: ["create", "get"] },
    log: { verbs: ["get"] },
    portforward: {
      speaks: { group: "", version: "v1", kind: "PodPortForwardOptions" },
      verbs: ["create", "get"],
    },
    proxy: { speaks: { group: "", version: "v1", kind: "PodProxyOptions" }, verbs: proxyVerbs },
    status: statusSubresource(),
  },
  columns: [nameColumn, ageColumn],
});
