/** ResourceQuota (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.ResourceQuota";

export const resourceQuota = defineKind({
  group: "",
  version: "v1",
  kind: "ResourceQuota",
  plural: "resourcequotas",
  singular: "resourcequota",
  shortNames: ["quota"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource(),
  },
  columns: [nameColumn, ageColumn],
});
