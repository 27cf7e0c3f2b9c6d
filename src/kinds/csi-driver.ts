/** CSIDriver (storage.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.storage.v1.CSIDriver";

export const csiDriver = defineKind({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIDriver",
  plural: "csidrivers",
  singular: "csidriver",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  columns: [nameColumn, ageColumn],
});
