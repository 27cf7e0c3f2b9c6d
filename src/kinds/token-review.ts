/** TokenReview (authentication.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { createOnly } from "./strategy.ts";

const schemaName = "io.k8s.api.authentication.v1.TokenReview";

export const tokenReview = defineKind({
  group: "authentication.k8s.io",
  version: "v1",
  kind: "TokenReview",
  plural: "tokenreviews",
  singular: "tokenreview",
  namespaced: false,
  schemaName,
  verbs: createOnly,
  stored: false,
  columns: [nameColumn, ageColumn],
});
