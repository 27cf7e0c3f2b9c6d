/** SelfSubjectAccessReview (authorization.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { createOnly } from "./strategy.ts";

const schemaName = "io.k8s.api.authorization.v1.SelfSubjectAccessReview";

export const selfSubjectAccessReview = defineKind({
  group: "authorization.k8s.io",
  version: "v1",
  kind: "SelfSubjectAccessReview",
  plural: "selfsubjectaccessreviews",
  singular: "selfsubjectaccessreview",
  namespaced: false,
  schemaName,
  verbs: createOnly,
  stored: false,
  columns: [nameColumn, ageColumn],
});
