/** Node (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, proxyVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.Node";

export const node = defineKind({
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  singular: "node",
  shortNames: ["no"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    proxy: { speaks: { group: "", version: "v1", kind: "NodeProxyOptions" }, verbs: proxyVerbs },
    status: statusSubresource(),
  },
  columns: [nameColumn, ageColumn],
});
