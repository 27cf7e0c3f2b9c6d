/** RoleBinding (rbac.authorization.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.rbac.v1.RoleBinding";

export const roleBinding = defineKind({
  group: "rbac.authorization.k8s.io",
  version: "v1",
  kind: "RoleBinding",
  plural: "rolebindings",
  singular: "rolebinding",
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  columns: [nameColumn, ageColumn],
});
