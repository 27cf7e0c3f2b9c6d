/** PriorityClass (scheduling.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.scheduling.v1.PriorityClass";

export const priorityClass = defineKind({
  group: "scheduling.k8s.io",
  version: "v1",
  kind: "PriorityClass",
  plural: "priorityclasses",
  singular: "priorityclass",
  shortNames: ["pc"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  columns: [nameColumn, ageColumn],
});
