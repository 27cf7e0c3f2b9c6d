/** ValidatingAdmissionPolicyBinding (admissionregistration.k8s.io/v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, withGeneration } from "./strategy.ts";

const schemaName = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding";

interface PolicyBindingObject extends KubeObject {
  spec: {
    policyName?: string;
    paramRef?: { name?: string; namespace?: string };
    matchResources?: {
      matchPolicy?: string;
      namespaceSelector?: object;
      objectSelector?: object;
      resourceRules?: { scope?: string }[];
    };
  };
}

export const validatingAdmissionPolicyBinding = defineKind<PolicyBindingObject>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "ValidatingAdmissionPolicyBinding",
  plural: "validatingadmissionpolicybindings",
  singular: "validatingadmissionpolicybinding",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  unconditionalUpdate: false,
  ...withGeneration<PolicyBindingObject>(["spec"]),
  applyDefaults({ spec }) {
    const match = spec.matchResources;
    if (match === undefined) return;
    match.matchPolicy ??= "Equivalent";
    match.namespaceSelector ??= {};
    match.objectSelector ??= {};
    for (const rule of match.resourceRules ?? []) rule.scope ??= "*";
  },
  columns: [
    nameColumn,
    text("PolicyName", "Policy that is bound.", ({ spec }) => spec.policyName ?? ""),
    text("ParamRef", "Parameters of the policy.", ({ spec }) => {
      if (spec.paramRef === undefined) return "<unset>";
      const { name = "", namespace = "*" } = spec.paramRef;
      return name === "" ? "*" : `${namespace}/${name}`;
    }),
    ageColumn,
  ],
});
