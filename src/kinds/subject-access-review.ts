/** SubjectAccessReview (authorization.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { createOnly } from "./strategy.ts";

const schemaName = "io.k8s.api.authorization.v1.SubjectAccessReview";

export const subjectAccessReview = defineKind({
  group: "authorization.k8s.io",
  version: "v1",
  kind: "SubjectAccessReview",
  plural: "subjectaccessreviews",
  singular: "subjectaccessreview",
  namespaced: false,
  schemaName,
  verbs: createOnly,
  stored: false,
  columns: [nameColumn, ageColumn],
});
