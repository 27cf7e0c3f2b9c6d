/** StatefulSet (apps/v1). */
import { dropDisabledPodFields } from "./pod-spec.ts";
import type { StatefulSetSpec, StatefulSetStatus } from "kubernetes-types/apps/v1.d.ts";
import { ageColumn, nameColumn, text } from "./columns.ts";
import { copyOf, deepEqual } from "./equality.ts";
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { goLabelSelector, goPointer } from "./go-syntax.ts";
import { countOrPercentErrors, nonNegativeErrors } from "./int-or-string.ts";
import { defineKind } from "./kind.ts";
import { isEmptySelector, validateLabelSelector } from "./label-selector.ts";
import { validateAnnotations, validateLabels } from "./metadata.ts";
import { dnsLabelErrors, nameRule } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { defaultPodTemplate, restartAlwaysErrors, selectorMismatch } from "./pod-template-spec.ts";
import { allVerbs, scaleSubresource, statusSubresource, withStatus } from "./strategy.ts";
import { containerColumns, noDeadlineErrors, replicaStatusErrors, workloadWarnings } from "./workload.ts";

const schemaName = "io.k8s.api.apps.v1.StatefulSet";

interface StatefulSetObject extends KubeObject {
  spec: StatefulSetSpec;
  status?: StatefulSetStatus;
}

export const statefulSet = defineKind<StatefulSetObject>({
  group: "apps",
  version: "v1",
  kind: "StatefulSet",
  plural: "statefulsets",
  singular: "statefulset",
  shortNames: ["sts"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  validateName: nameRule(dnsLabelErrors),
  dropDisabledFields: ({ spec }) => dropDisabledPodFields(spec.template?.spec),
  applyDefaults({ spec }) {
    spec.podManagementPolicy ||= "OrderedReady";
    const strategy = (spec.updateStrategy ??= {});
    if (!strategy.type) {
      strategy.type = "RollingUpdate";
      strategy.rollingUpdate ??= {};
    }
    if (strategy.type === "RollingUpdate" && strategy.rollingUpdate !== undefined)
      strategy.rollingUpdate.partition ??= 0;
    const retention = (spec.persistentVolumeClaimRetentionPolicy ??= {});
    retention.whenDeleted ||= "Retain";
    retention.whenScaled ||= "Retain";
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    defaultPodTemplate(spec.template);
    for (const claim of spec.volumeClaimTemplates ?? []) {
      claim.apiVersion = "v1";
      claim.kind = "PersistentVolumeClaim";
      claim.spec ??= {};
      claim.spec.volumeMode ??= "Filesystem";
      Object.assign(claim, { status: { phase: "Pending" } });
    }
  },
  validate: ({ spec }) => validateStatefulSetSpec(spec),
  validateUpdate(object, old) {
    const errors = validateStatefulSetSpec(object.spec);
    const munged = copyOf(object.spec);
    for (const field of [
      "replicas",
      "template",
      "updateStrategy",
      "minReadySeconds",
      "ordinals",
      "persistentVolumeClaimRetentionPolicy",
    ] as const) {
      if (old.spec[field] === undefined) delete munged[field];
      else (munged as unknown as Record<string, unknown>)[field] = old.spec[field];
    }
    if (!deepEqual(munged, old.spec))
      errors.push(
        forbidden(
          "spec",
          "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ),
      );
    return errors;
  },
  warnings: workloadWarnings(({ spec }) => spec.template),
  subresources: {
    scale: scaleSubresource,
    status: statusSubresource<StatefulSetObject>({
      validateUpdate: ({ status }) =>
        replicaStatusErrors(
          status as Record<string, unknown> | undefined,
          [
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
          ],
          ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
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
    text(
      "Ready",
      "Ready pods of the pods wanted.",
      ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    ),
    ageColumn,
    ...containerColumns<StatefulSetObject>(({ spec }) => spec.template),
  ],
});

function validateStatefulSetSpec(spec: StatefulSetSpec): FieldError[] {
  const errors: FieldError[] = [];
  const policy = spec.podManagementPolicy ?? "";
  if (policy !== "OrderedReady" && policy !== "Parallel")
    errors.push(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"));
  errors.push(...validateUpdateStrategy(spec));
  for (const field of ["whenDeleted", "whenScaled"] as const) {
    const value = spec.persistentVolumeClaimRetentionPolicy?.[field];
    if (value !== "Retain" && value !== "Delete")
      errors.push(
        notSupported(`spec.persistentVolumeClaimRetentionPolicy.${field}`, value ?? "", ["Retain", "Delete"]),
      );
  }
  errors.push(
    ...nonNegativeErrors(spec.replicas, "spec.replicas"),
    ...nonNegativeErrors(spec.minReadySeconds, "spec.minReadySeconds"),
    ...nonNegativeErrors(spec.ordinals?.start, "spec.ordinals.start"),
  );
  const { selector } = spec;
  if (selector === undefined) errors.push(required("spec.selector"));
  else {
    errors.push(...validateLabelSelector(selector, "spec.selector"));
    if (isEmptySelector(selector))
      errors.push(
        invalid("spec.selector", goLabelSelector(selector), "empty selector is invalid for statefulset"),
      );
  }
  const template = spec.template ?? {};
  if (selector !== undefined && validateLabelSelector(selector, "").length > 0)
    errors.push(invalid("spec.selector", goLabelSelector(selector), ""));
  else
    // Upstream has never validated the pods' spec itself here.
    errors.push(
      ...selectorMismatch(selector, template, "spec.template"),
      ...validateLabels(template.metadata?.labels, "spec.template.labels"),
      ...validateAnnotations(template.metadata?.annotations, "spec.template.annotations"),
    );
  return [
    ...errors,
    ...restartAlwaysErrors(template, "spec.template"),
    ...noDeadlineErrors(template, "StatefulSet"),
  ];
}

function validateUpdateStrategy({ updateStrategy = {} }: StatefulSetSpec): FieldError[] {
  const path = "spec.updateStrategy";
  const { type = "", rollingUpdate } = updateStrategy;
  const goStrategy = {
    goSyntax: `apps.StatefulSetUpdateStrategy{Type:${JSON.stringify(type)}, RollingUpdate:${goPointer("apps.RollingUpdateStatefulSetStrategy", rollingUpdate)}}`,
  };
  if (type === "") return [required(path)];
  if (type === "OnDelete")
    return rollingUpdate === undefined
      ? []
      : [invalid(`${path}.rollingUpdate`, goStrategy, `only allowed for updateStrategy 'RollingUpdate'`)];
  if (type !== "RollingUpdate") return [invalid(path, goStrategy, "must be 'RollingUpdate' or 'OnDelete'")];
  if (rollingUpdate === undefined) return [];
  return [
    ...nonNegativeErrors(rollingUpdate.partition, `${path}.rollingUpdate.partition`),
    ...countOrPercentErrors(rollingUpdate.maxUnavailable, `${path}.rollingUpdate.maxUnavailable`),
  ];
}
