/** Binding (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { createOnly } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.Binding";

export const binding = defineKind({
  group: "",
  version: "v1",
  kind: "Binding",
  plural: "bindings",
  singular: "binding",
  namespaced: true,
  schemaName,
  verbs: createOnly,
  stored: false,
  columns: [nameColumn, ageColumn],
});
