/** Event (events.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.events.v1.Event";

export const eventEvents = defineKind({
  group: "events.k8s.io",
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
