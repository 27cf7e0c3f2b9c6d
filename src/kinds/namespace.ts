/** Namespace (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.Namespace";

export const namespace = defineKind({
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  singular: "namespace",
  shortNames: ["ns"],
  namespaced: false,
  schemaName,
  verbs: ["create", "delete", "get", "list", "patch", "update", "watch"],
  ...withStatus(schemaName),
  subresources: {
    finalize: { verbs: ["update"] },
    status: statusSubresource(),
  },
  columns: [nameColumn, ageColumn],
});
