/** IngressClass (networking.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.networking.v1.IngressClass";

export const ingressClass = defineKind({
  group: "networking.k8s.io",
  version: "v1",
  kind: "IngressClass",
  plural: "ingressclasses",
  singular: "ingressclass",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  columns: [nameColumn, ageColumn],
});
