/** Service (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, proxyVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.Service";

export const service = defineKind({
  group: "",
  version: "v1",
  kind: "Service",
  plural: "services",
  singular: "service",
  shortNames: ["svc"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    proxy: { speaks: { group: "", version: "v1", kind: "ServiceProxyOptions" }, verbs: proxyVerbs },
    status: statusSubresource(),
  },
  columns: [nameColumn, ageColumn],
});
