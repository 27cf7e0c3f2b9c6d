/** PersistentVolumeClaim (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.PersistentVolumeClaim";

export const persistentVolumeClaim = defineKind({
  group: "",
  version: "v1",
  kind: "PersistentVolumeClaim",
  plural: "persistentvolumeclaims",
  singular: "persistentvolumeclaim",
  shortNames: ["pvc"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource(),
  },
  columns: [nameColumn, ageColumn],
});
