/** CustomResourceDefinition (apiextensions.k8s.io/v1). */
import { createdAtColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";

export const customResourceDefinition = defineKind({
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  plural: "customresourcedefinitions",
  singular: "customresourcedefinition",
  shortNames: ["crd", "crds"],
  categories: ["api-extensions"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource(),
  },
  columns: [nameColumn, createdAtColumn],
});
