/** PodTemplate (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.PodTemplate";

export const podTemplate = defineKind({
  group: "",
  version: "v1",
  kind: "PodTemplate",
  plural: "podtemplates",
  singular: "podtemplate",
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  columns: [nameColumn, ageColumn],
});
