/** PodDisruptionBudget (policy/v1). */
import type { PodDisruptionBudgetSpec, PodDisruptionBudgetStatus } from "kubernetes-types/policy/v1.d.ts";
import { ageColumn, integer, nameColumn, text } from "./columns.ts";
import { type FieldError, invalid, notSupported } from "./field-error.ts";
import { atMostHundredPercentErrors, countOrPercentErrors } from "./int-or-string.ts";
import { defineKind } from "./kind.ts";
import { validateLabelSelector } from "./label-selector.ts";
import { pathSegmentErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";
import { replicaStatusErrors } from "./workload.ts";

const schemaName = "io.k8s.api.policy.v1.PodDisruptionBudget";

interface BudgetObject extends KubeObject {
  spec: PodDisruptionBudgetSpec;
  status?: PodDisruptionBudgetStatus;
}

const policies = ["AlwaysAllow", "IfHealthyBudget"];

export const podDisruptionBudget = defineKind<BudgetObject>({
  group: "policy",
  version: "v1",
  kind: "PodDisruptionBudget",
  plural: "poddisruptionbudgets",
  singular: "poddisruptionbudget",
  shortNames: ["pdb"],
  namespaced: true,
  validateName: pathSegmentErrors,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  ...withStatus(schemaName),
  unconditionalUpdate: false,
  validate: ({ spec }) => validateSpec(spec),
  validateUpdate: ({ spec }) => validateSpec(spec),
  subresources: {
    status: statusSubresource<BudgetObject>({
      validateUpdate: ({ status }) =>
        replicaStatusErrors(status as Record<string, unknown> | undefined, [
          "disruptionsAllowed",
          "currentHealthy",
          "desiredHealthy",
          "expectedPods",
        ]),
    }),
  },
  columns: [
    nameColumn,
    text("Min Available", "Pods that must stay available.", ({ spec }) => String(spec.minAvailable ?? "N/A")),
    text("Max Unavailable", "Pods that may be unavailable.", ({ spec }) =>
      String(spec.maxUnavailable ?? "N/A"),
    ),
    integer(
      "Allowed Disruptions",
      "Disruptions allowed now.",
      ({ status }) => status?.disruptionsAllowed ?? 0,
    ),
    ageColumn,
  ],
});

function validateSpec(spec: PodDisruptionBudgetSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { minAvailable, maxUnavailable, unhealthyPodEvictionPolicy: policy } = spec;
  if (minAvailable !== undefined && maxUnavailable !== undefined)
    errors.push(
      invalid("spec", { goSyntax: goSpec(spec) }, "minAvailable and maxUnavailable cannot be both set"),
    );
  for (const [field, value] of Object.entries({ minAvailable, maxUnavailable }))
    errors.push(
      ...countOrPercentErrors(value, `spec.${field}`),
      ...atMostHundredPercentErrors(value, `spec.${field}`),
    );
  errors.push(...validateLabelSelector(spec.selector, "spec.selector"));
  if (policy !== undefined && !policies.includes(policy))
    errors.push(notSupported("spec.unhealthyPodEvictionPolicy", policy, policies));
  return errors;
}

function goSpec(spec: PodDisruptionBudgetSpec): string {
  const pointer = (type: string, value: unknown): string =>
    `(*${type})(${value === undefined ? "nil" : "0xc000000000"})`;
  return `policy.PodDisruptionBudgetSpec{MinAvailable:${pointer("intstr.IntOrString", spec.minAvailable)}, Selector:${pointer("v1.LabelSelector", spec.selector)}, MaxUnavailable:${pointer("intstr.IntOrString", spec.maxUnavailable)}, UnhealthyPodEvictionPolicy:${pointer("policy.UnhealthyPodEvictionPolicyType", spec.unhealthyPodEvictionPolicy)}}`;
}
