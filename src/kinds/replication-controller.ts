/** ReplicationController (v1). */
import { dropDisabledPodFields } from "./pod-spec.ts";
import type { ReplicationControllerSpec, ReplicationControllerStatus } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, integer, nameColumn } from "./columns.ts";
import { type FieldError, invalid, required } from "./field-error.ts";
import { goStringMapOf } from "./go-syntax.ts";
import { nonNegativeErrors } from "./int-or-string.ts";
import { defineKind } from "./kind.ts";
import { matchesSelectorMap } from "./label-selector.ts";
import type { KubeObject } from "./object.ts";
import { defaultPodTemplate, restartAlwaysErrors, validatePodTemplate } from "./pod-template-spec.ts";
import { allVerbs, scaleSubresource, statusSubresource, withStatus } from "./strategy.ts";
import {
  containerColumns,
  noDeadlineErrors,
  replicaStatusErrors,
  selectorMapColumn,
  workloadWarnings,
} from "./workload.ts";

const schemaName = "io.k8s.api.core.v1.ReplicationController";

interface ReplicationControllerObject extends KubeObject {
  spec: ReplicationControllerSpec;
  status?: ReplicationControllerStatus;
}

export const replicationController = defineKind<ReplicationControllerObject>({
  group: "",
  version: "v1",
  kind: "ReplicationController",
  plural: "replicationcontrollers",
  singular: "replicationcontroller",
  shortNames: ["rc"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  deletion: { defaultPropagation: "orphan" },
  ...withStatus(schemaName),
  dropDisabledFields: ({ spec }) => dropDisabledPodFields(spec.template?.spec),
  applyDefaults({ metadata, spec }) {
    const labels = spec.template?.metadata?.labels;
    if (labels !== undefined) {
      if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
      if (Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
    }
    spec.replicas ??= 1;
    defaultPodTemplate(spec.template);
  },
  validate: ({ spec }) => validateSpec(spec),
  validateUpdate: ({ spec }) => validateSpec(spec),
  warnings: workloadWarnings(({ spec }) => spec.template),
  subresources: {
    scale: scaleSubresource,
    status: statusSubresource<ReplicationControllerObject>({
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
  fieldSelectors: { "status.replicas": ({ status }) => String(status?.replicas ?? 0) },
  columns: [
    nameColumn,
    integer("Desired", "Pods wanted.", ({ spec }) => spec.replicas ?? 0),
    integer("Current", "Pods that exist.", ({ status }) => status?.replicas ?? 0),
    integer("Ready", "Pods that are ready.", ({ status }) => status?.readyReplicas ?? 0),
    ageColumn,
    ...containerColumns<ReplicationControllerObject>(({ spec }) => spec.template),
    selectorMapColumn(({ spec }) => spec.selector),
  ],
});

function validateSpec(spec: ReplicationControllerSpec): FieldError[] {
  const errors = [
    ...nonNegativeErrors(spec.minReadySeconds, "spec.minReadySeconds"),
    ...(Object.keys(spec.selector ?? {}).length === 0 ? [required("spec.selector")] : []),
    ...nonNegativeErrors(spec.replicas, "spec.replicas"),
  ];
  const { template, selector } = spec;
  if (template === undefined) return [...errors, required("spec.template")];
  const labels = template.metadata?.labels;
  if (Object.keys(selector ?? {}).length > 0 && !matchesSelectorMap(selector, labels))
    errors.push(
      invalid(
        "spec.template.metadata.labels",
        goStringMapOf(template.metadata, "labels"),
        "`selector` does not match template `labels`",
      ),
    );
  return [
    ...errors,
    ...validatePodTemplate(template, "spec.template"),
    ...restartAlwaysErrors(template, "spec.template"),
    ...noDeadlineErrors(template, "ReplicationController"),
  ];
}
