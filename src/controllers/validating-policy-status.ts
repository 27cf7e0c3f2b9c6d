/** ValidatingAdmissionPolicies: what is wrong with the types of their expressions stands in their status. */
import { on, self, updateStatus } from "./controller.ts";
import type { Controller, ExpressionWarning, Plan, View } from "./controller.ts";
import { validatingAdmissionPolicies } from "./kubernetes.ts";

export const validatingPolicyStatusController: Controller = {
  name: "validatingadmissionpolicy-status-controller",
  triggers: [on(validatingAdmissionPolicies, self)],
  writes: [validatingAdmissionPolicies],
  plan: planStatus,
};

function* planStatus(view: View, key: string): Plan {
  const policy = view.get(validatingAdmissionPolicies, undefined, key);
  const generation = policy?.metadata.generation;
  // Each generation is checked once; definitions that come later don't change the verdict, as upstream.
  if (policy === undefined || policy.status.observedGeneration === generation) return;
  const expressionWarnings = (yield { type: "checkPolicyTypes", policy }) as ExpressionWarning[];
  const typeChecking = expressionWarnings.length === 0 ? {} : { expressionWarnings };
  const status = {
    ...policy.status,
    typeChecking,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
  yield* updateStatus(validatingAdmissionPolicies, { ...policy, status });
}
