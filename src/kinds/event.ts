/** Event (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.Event";

export const event = defineKind({
  group: "",
  version: "v1",
  kind: "Event",
  plural: "events",
  singular: "event",
  shortNames: ["ev"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  columns: [nameColumn, ageColumn],
});
