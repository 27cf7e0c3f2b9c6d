/** PersistentVolume (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.PersistentVolume";

export const persistentVolume = defineKind({
  group: "",
  version: "v1",
  kind: "PersistentVolume",
  plural: "persistentvolumes",
  singular: "persistentvolume",
  shortNames: ["pv"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource(),
  },
  columns: [nameColumn, ageColumn],
});
