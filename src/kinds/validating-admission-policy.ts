/** ValidatingAdmissionPolicy (admissionregistration.k8s.io/v1). */
import { ageColumn, integer, nameColumn, text } from "./columns.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy";

interface PolicyObject extends KubeObject {
  spec: {
    validations?: unknown[];
    paramKind?: { apiVersion?: string; kind?: string };
    failurePolicy?: string;
    matchConstraints?: MatchResources;
  };
}

interface MatchResources {
  matchPolicy?: string;
  namespaceSelector?: object;
  objectSelector?: object;
  resourceRules?: { scope?: string }[];
  excludeResourceRules?: { scope?: string }[];
}

export const validatingAdmissionPolicy = defineKind<PolicyObject>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "ValidatingAdmissionPolicy",
  plural: "validatingadmissionpolicies",
  singular: "validatingadmissionpolicy",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  unconditionalUpdate: false,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource({ keepMetadata: true }),
  },
  applyDefaults({ spec }) {
    spec.failurePolicy ??= "Fail";
    const match = spec.matchConstraints;
    if (match === undefined) return;
    match.matchPolicy ??= "Equivalent";
    match.namespaceSelector ??= {};
    match.objectSelector ??= {};
    for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])])
      rule.scope ??= "*";
  },
  columns: [
    nameColumn,
    integer("Validations", "Number of validations.", ({ spec }) => (spec.validations ?? []).length),
    text("ParamKind", "Kind of the parameters.", ({ spec }) =>
      spec.paramKind === undefined ? "<unset>" : `${spec.paramKind.apiVersion}/${spec.paramKind.kind}`,
    ),
    ageColumn,
  ],
});
