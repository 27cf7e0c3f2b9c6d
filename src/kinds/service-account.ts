/** ServiceAccount (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, createOnly } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.ServiceAccount";

export const serviceAccount = defineKind({
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  singular: "serviceaccount",
  shortNames: ["sa"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  subresources: {
    token: {
      speaks: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" },
      verbs: createOnly,
    },
  },
  columns: [nameColumn, ageColumn],
});
