/** Lease (coordination.k8s.io/v1). */
import type { LeaseSpec } from "kubernetes-types/coordination/v1.d.ts";
import { ageColumn, nameColumn, text } from "./columns.ts";
import { type FieldError, invalid } from "./field-error.ts";
import { nonNegativeErrors } from "./int-or-string.ts";
import { defineKind } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs } from "./strategy.ts";

interface LeaseObject extends KubeObject {
  spec: LeaseSpec & { strategy?: string; preferredHolder?: string };
}

export const lease = defineKind<LeaseObject>({
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  singular: "lease",
  namespaced: true,
  schemaName: "io.k8s.api.coordination.v1.Lease",
  verbs: allVerbs,
  createOnUpdate: true,
  unconditionalUpdate: false,
  prepareCreate: dropDisabled,
  prepareUpdate: dropDisabled,
  validate: validateLease,
  validateUpdate: validateLease,
  columns: [
    nameColumn,
    text("Holder", "Who holds the lease.", ({ spec }) => spec.holderIdentity ?? ""),
    ageColumn,
  ],
});

/** Fields of coordinated leader election, which is off by default upstream. */
function dropDisabled({ spec }: LeaseObject): void {
  delete spec.strategy;
  delete spec.preferredHolder;
}

function validateLease({ spec }: LeaseObject): FieldError[] {
  const errors: FieldError[] = [];
  const { leaseDurationSeconds: duration, leaseTransitions } = spec;
  if (duration !== undefined && duration <= 0)
    errors.push(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"));
  errors.push(...nonNegativeErrors(leaseTransitions, "spec.leaseTransitions"));
  return errors;
}
