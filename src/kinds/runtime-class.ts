/** RuntimeClass (node.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.node.v1.RuntimeClass";

export const runtimeClass = defineKind({
  group: "node.k8s.io",
  version: "v1",
  kind: "RuntimeClass",
  plural: "runtimeclasses",
  singular: "runtimeclass",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  columns: [nameColumn, ageColumn],
});
