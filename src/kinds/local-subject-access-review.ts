/** LocalSubjectAccessReview (authorization.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { createOnly } from "./strategy.ts";

const schemaName = "io.k8s.api.authorization.v1.LocalSubjectAccessReview";

export const localSubjectAccessReview = defineKind({
  group: "authorization.k8s.io",
  version: "v1",
  kind: "LocalSubjectAccessReview",
  plural: "localsubjectaccessreviews",
  singular: "localsubjectaccessreview",
  namespaced: true,
  schemaName,
  verbs: createOnly,
  stored: false,
  columns: [nameColumn, ageColumn],
});
