/** ValidatingAdmissionPolicy (admissionregistration.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy";

export const validatingAdmissionPolicy = defineKind({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "ValidatingAdmissionPolicy",
  plural: "validatingadmissionpolicies",
  singular: "validatingadmissionpolicy",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource(),
  },
  columns: [nameColumn, ageColumn],
});
