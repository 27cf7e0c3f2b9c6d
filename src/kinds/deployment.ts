/** Deployment (apps/v1). */
import { dropDisabledPodFields } from "./pod-spec.ts";
import type { DeploymentSpec, DeploymentStatus } from "kubernetes-types/apps/v1.d.ts";
import { ageColumn, nameColumn, text } from "./columns.ts";
import { type FieldError, forbidden, invalid, notSupported } from "./field-error.ts";
import { goIntOrString, goPointer } from "./go-syntax.ts";
import {
  atMostHundredPercentErrors,
  countOrPercentErrors,
  nonNegativeErrors,
  numberOf,
} from "./int-or-string.ts";
import { deepEqual } from "./equality.ts";
import { defineKind } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { defaultPodTemplate } from "./pod-template-spec.ts";
import { validateReplicaTemplate } from "./replica-set.ts";
import {
  allVerbs,
  countGeneration,
  keepField,
  scaleSubresource,
  statusSubresource,
  withStatus,
} from "./strategy.ts";
import {
  containerColumns,
  immutableSelectorErrors,
  replicaStatusErrors,
  selectorColumn,
  workloadWarnings,
} from "./workload.ts";

const schemaName = "io.k8s.api.apps.v1.Deployment";

interface DeploymentObject extends KubeObject {
  spec: DeploymentSpec;
  status?: DeploymentStatus;
}

export const deployment = defineKind<DeploymentObject>({
  group: "apps",
  version: "v1",
  kind: "Deployment",
  plural: "deployments",
  singular: "deployment",
  shortNames: ["deploy"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  prepareUpdate(object, old) {
    keepField(object, old, "status");
    countGeneration(object, old);
    // Annotations are copied to ReplicaSets, and so are part of what the controller has to see.
    if (!deepEqual(object.metadata.annotations, old.metadata.annotations))
      object.metadata.generation = (old.metadata.generation ?? 0) + 1;
  },
  dropDisabledFields: ({ spec }) => dropDisabledPodFields(spec.template?.spec),
  applyDefaults({ spec }) {
    spec.replicas ??= 1;
    const strategy = (spec.strategy ??= {});
    strategy.type ||= "RollingUpdate";
    if (strategy.type === "RollingUpdate") {
      strategy.rollingUpdate ??= {};
      strategy.rollingUpdate.maxUnavailable ??= "25%";
      strategy.rollingUpdate.maxSurge ??= "25%";
    }
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    defaultPodTemplate(spec.template);
  },
  validate: ({ spec }) => validateDeploymentSpec(spec),
  validateUpdate: (object, old) => [
    ...validateDeploymentSpec(object.spec),
    ...immutableSelectorErrors(object.spec.selector, old.spec.selector),
  ],
  warnings: workloadWarnings(({ spec }) => spec.template),
  subresources: {
    scale: scaleSubresource,
    status: statusSubresource<DeploymentObject>({
      keepLabels: true,
      validateUpdate: ({ status }, old) => [
        ...replicaStatusErrors(
          status as Record<string, unknown> | undefined,
          [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "collisionCount",
          ],
          ["updatedReplicas", "readyReplicas", "availableReplicas"],
        ),
        ...((old.status?.collisionCount ?? 0) > (status?.collisionCount ?? 0)
          ? [invalid("status.collisionCount", status?.collisionCount, "cannot be decremented")]
          : []),
      ],
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
    {
      name: "Up-to-date",
      type: "string",
      description: "Pods that have the latest template.",
      priority: 0,
      cell: ({ status }) => status?.updatedReplicas ?? 0,
    },
    {
      name: "Available",
      type: "string",
      description: "Pods that have been ready for long enough.",
      priority: 0,
      cell: ({ status }) => status?.availableReplicas ?? 0,
    },
    ageColumn,
    ...containerColumns<DeploymentObject>(({ spec }) => spec.template),
    selectorColumn(({ spec }) => spec.selector),
  ],
});

function validateDeploymentSpec(spec: DeploymentSpec): FieldError[] {
  const errors = [
    ...nonNegativeErrors(spec.replicas, "spec.replicas"),
    ...validateReplicaTemplate(spec),
    ...validateStrategy(spec),
    ...nonNegativeErrors(spec.minReadySeconds, "spec.minReadySeconds"),
    ...nonNegativeErrors(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
  ];
  const deadline = spec.progressDeadlineSeconds;
  if (deadline !== undefined) {
    errors.push(...nonNegativeErrors(deadline, "spec.progressDeadlineSeconds"));
    if (deadline <= (spec.minReadySeconds ?? 0))
      errors.push(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"));
  }
  return errors;
}

function validateStrategy({ strategy = {} }: DeploymentSpec): FieldError[] {
  const path = "spec.strategy";
  const rolling = strategy.rollingUpdate;
  if (strategy.type === "Recreate")
    return rolling === undefined
      ? []
      : [forbidden(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'")];
  if (strategy.type !== "RollingUpdate")
    return [
      notSupported(
        path,
        {
          goSyntax: `apps.DeploymentStrategy{Type:${JSON.stringify(strategy.type ?? "")}, RollingUpdate:${goPointer("apps.RollingUpdateDeployment", rolling)}}`,
        },
        ["Recreate", "RollingUpdate"],
      ),
    ];
  const { maxUnavailable, maxSurge } = rolling ?? {};
  const errors = [
    ...countOrPercentErrors(maxUnavailable, `${path}.rollingUpdate.maxUnavailable`),
    ...countOrPercentErrors(maxSurge, `${path}.rollingUpdate.maxSurge`),
  ];
  if (numberOf(maxUnavailable) === 0 && numberOf(maxSurge) === 0)
    errors.push(
      invalid(
        `${path}.rollingUpdate.maxUnavailable`,
        goIntOrString(maxUnavailable ?? 0),
        "may not be 0 when `maxSurge` is 0",
      ),
    );
  return [...errors, ...atMostHundredPercentErrors(maxUnavailable, `${path}.rollingUpdate.maxUnavailable`)];
}
