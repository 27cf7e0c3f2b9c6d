/** PriorityClass (scheduling.k8s.io/v1). */
import { ageColumn, boolean, integer, nameColumn, text } from "./columns.ts";
import { type FieldError, forbidden, notSupported, required } from "./field-error.ts";
import { defineKind } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs, startGeneration } from "./strategy.ts";

interface PriorityClassObject extends KubeObject {
  value: number;
  globalDefault?: boolean;
  preemptionPolicy?: string;
}

const systemClasses: Readonly<Record<string, number>> = {
  "system-node-critical": 2_000_001_000,
  "system-cluster-critical": 2_000_000_000,
};
const highestUserValue = 1_000_000_000;
const policies = ["Never", "PreemptLowerPriority"];

export const priorityClass = defineKind<PriorityClassObject>({
  group: "scheduling.k8s.io",
  version: "v1",
  kind: "PriorityClass",
  plural: "priorityclasses",
  singular: "priorityclass",
  shortNames: ["pc"],
  namespaced: false,
  schemaName: "io.k8s.api.scheduling.v1.PriorityClass",
  verbs: allVerbs,
  prepareCreate: startGeneration,
  applyDefaults(object) {
    object.preemptionPolicy ??= "PreemptLowerPriority";
  },
  validate(object) {
    const errors: FieldError[] = [];
    const name = object.metadata.name ?? "";
    if (name.startsWith("system-")) {
      if (systemClasses[name] !== object.value)
        errors.push(
          forbidden(
            "metadata.name",
            "priority class names with 'system-' prefix are reserved for system use only. error: " +
              (systemClasses[name] === undefined
                ? `${name} is not a known system priority class`
                : `value of ${name} PriorityClass must be ${systemClasses[name]}`),
          ),
        );
    } else if (object.value > highestUserValue)
      errors.push(
        forbidden("value", `maximum allowed value of a user defined priority is ${highestUserValue}`),
      );
    return [...errors, ...policyErrors(object)];
  },
  validateUpdate(object, old) {
    const errors: FieldError[] = [];
    if (object.value !== old.value) errors.push(forbidden("value", "may not be changed in an update."));
    if (object.preemptionPolicy !== old.preemptionPolicy)
      errors.push(forbidden("preemptionPolicy", "may not be changed in an update."));
    return errors;
  },
  columns: [
    nameColumn,
    integer("Value", "Priority; larger is more important.", ({ value }) => value),
    boolean(
      "Global-Default",
      "Whether pods without a class have it.",
      ({ globalDefault }) => globalDefault ?? false,
    ),
    ageColumn,
    text(
      "PreemptionPolicy",
      "Whether others may be preempted.",
      ({ preemptionPolicy }) => preemptionPolicy ?? "",
    ),
  ],
});

function policyErrors({ preemptionPolicy }: PriorityClassObject): FieldError[] {
  if (preemptionPolicy === "") return [required("preemptionPolicy")];
  return preemptionPolicy === undefined || policies.includes(preemptionPolicy)
    ? []
    : [notSupported("preemptionPolicy", preemptionPolicy, ["PreemptLowerPriority", "Never"])];
}
