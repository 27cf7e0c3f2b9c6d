/** ReplicaSet (apps/v1). Its template rules are Deployment's too. */
import { dropDisabledPodFields } from "./pod-spec.ts";
import type { ReplicaSetSpec, ReplicaSetStatus } from "kubernetes-types/apps/v1.d.ts";
import type { PodTemplateSpec } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, integer, nameColumn } from "./columns.ts";
import type { FieldError } from "./field-error.ts";
import { nonNegativeErrors } from "./int-or-string.ts";
import { defineKind } from "./kind.ts";
import { type LabelSelector, validateLabelSelector } from "./label-selector.ts";
import type { KubeObject } from "./object.ts";
import {
  defaultPodTemplate,
  restartAlwaysErrors,
  selectorErrors,
  selectorMismatch,
  validatePodTemplate,
} from "./pod-template-spec.ts";
import { allVerbs, scaleSubresource, statusSubresource, withStatus } from "./strategy.ts";
import {
  containerColumns,
  immutableSelectorErrors,
  noDeadlineErrors,
  replicaStatusErrors,
  selectorColumn,
  workloadWarnings,
} from "./workload.ts";

const schemaName = "io.k8s.api.apps.v1.ReplicaSet";

interface ReplicaSetObject extends KubeObject {
  spec: ReplicaSetSpec;
  status?: ReplicaSetStatus;
}

export const replicaSet = defineKind<ReplicaSetObject>({
  group: "apps",
  version: "v1",
  kind: "ReplicaSet",
  plural: "replicasets",
  singular: "replicaset",
  shortNames: ["rs"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  dropDisabledFields: ({ spec }) => dropDisabledPodFields(spec.template?.spec),
  applyDefaults({ spec }) {
    spec.replicas ??= 1;
    defaultPodTemplate(spec.template);
  },
  validate: ({ spec }) => validateReplicaSetSpec(spec),
  // Upstream validates the spec on its own and once more against the old one.
  validateUpdate: (object, old) => [
    ...validateReplicaSetSpec(object.spec),
    ...validateReplicaSetSpec(object.spec),
    ...immutableSelectorErrors(object.spec.selector, old.spec.selector),
  ],
  warnings: workloadWarnings(({ spec }) => spec.template),
  subresources: {
    scale: scaleSubresource,
    status: statusSubresource<ReplicaSetObject>({
      validateUpdate: ({ status }) =>
        replicaStatusErrors(
          status as Record<string, unknown> | undefined,
          ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"],
          ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        ),
    }),
  },
  scale: {
    specReplicasPath: "spec.replicas",
    statusReplicasPath: "status.replicas",
    labelSelectorPath: "spec.selector",
  },
  columns: [
    nameColumn,
    integer("Desired", "Pods wanted.", ({ spec }) => spec.replicas ?? 0),
    integer("Current", "Pods that exist.", ({ status }) => status?.replicas ?? 0),
    integer("Ready", "Pods that are ready.", ({ status }) => status?.readyReplicas ?? 0),
    ageColumn,
    ...containerColumns<ReplicaSetObject>(({ spec }) => spec.template),
    selectorColumn(({ spec }) => spec.selector),
  ],
});

function validateReplicaSetSpec(spec: ReplicaSetSpec): FieldError[] {
  return [
    ...nonNegativeErrors(spec.replicas, "spec.replicas"),
    ...nonNegativeErrors(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateReplicaTemplate(spec),
  ];
}

/** Selector and template of a ReplicaSet or Deployment. A template is not looked at while the selector is unusable. */
export function validateReplicaTemplate(spec: {
  selector?: LabelSelector;
  template?: PodTemplateSpec;
}): FieldError[] {
  const { selector, template = {} } = spec;
  const errors = [
    ...selectorErrors(selector, "spec.selector", "deployment"),
    ...selectorMismatch(selector, template, "spec.template"),
  ];
  if (validateLabelSelector(selector, "").length > 0) return errors;
  errors.push(...validatePodTemplate(template, "spec.template"));
  errors.push(...restartAlwaysErrors(template, "spec.template"), ...noDeadlineErrors(template, "ReplicaSet"));
  return errors;
}
