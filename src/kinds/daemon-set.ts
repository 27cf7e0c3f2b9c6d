/** DaemonSet (apps/v1). */
import { dropDisabledPodFields } from "./pod-spec.ts";
import type { DaemonSetSpec, DaemonSetStatus } from "kubernetes-types/apps/v1.d.ts";
import { ageColumn, formatLabels, integer, nameColumn, text } from "./columns.ts";
import { type FieldError, invalid, notSupported, required } from "./field-error.ts";
import { goIntOrString, goLabelSelector, goPointer, goStringMapOf } from "./go-syntax.ts";
import {
  atMostHundredPercentErrors,
  countOrPercentErrors,
  nonNegativeErrors,
  numberOf,
} from "./int-or-string.ts";
import { defineKind } from "./kind.ts";
import type { Subresource } from "./kind.ts";
import { isEmptySelector, matchesLabelSelector, validateLabelSelector } from "./label-selector.ts";
import type { KubeObject } from "./object.ts";
import { defaultPodTemplate, restartAlwaysErrors, validatePodTemplate } from "./pod-template-spec.ts";
import { deepEqual } from "./equality.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";
import {
  containerColumns,
  immutableSelectorErrors,
  noDeadlineErrors,
  replicaStatusErrors,
  selectorColumn,
  workloadWarnings,
} from "./workload.ts";

const schemaName = "io.k8s.api.apps.v1.DaemonSet";
const status = withStatus<DaemonSetObject>(schemaName);

/** Counts changes of the template, for clients of versions long gone. */
const templateGeneration = "deprecated.daemonset.template.generation";

interface DaemonSetObject extends KubeObject {
  spec: DaemonSetSpec;
  status?: DaemonSetStatus;
}

export const daemonSet = defineKind<DaemonSetObject>({
  group: "apps",
  version: "v1",
  kind: "DaemonSet",
  plural: "daemonsets",
  singular: "daemonset",
  shortNames: ["ds"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...status,
  versionAnnotations: [templateGeneration],
  dropDisabledFields: ({ spec }) => dropDisabledPodFields(spec.template?.spec),
  applyDefaults({ metadata, spec }) {
    const strategy = (spec.updateStrategy ??= {});
    strategy.type ||= "RollingUpdate";
    if (strategy.type === "RollingUpdate") {
      strategy.rollingUpdate ??= {};
      strategy.rollingUpdate.maxUnavailable ??= 1;
      strategy.rollingUpdate.maxSurge ??= 0;
    }
    spec.revisionHistoryLimit ??= 10;
    metadata.annotations = { [templateGeneration]: "0", ...metadata.annotations };
    defaultPodTemplate(spec.template);
  },
  prepareCreate(object, context) {
    status.prepareCreate(object, context);
    object.metadata.annotations = {
      ...object.metadata.annotations,
      [templateGeneration]: "1",
    };
  },
  prepareUpdate(object, old, context) {
    status.prepareUpdate(object, old, context);
    const generation = Number(old.metadata.annotations?.[templateGeneration] ?? 0);
    const changed = !deepEqual(object.spec.template, old.spec.template);
    object.metadata.annotations = {
      ...object.metadata.annotations,
      [templateGeneration]: String(changed ? generation + 1 : generation),
    };
  },
  validate: ({ spec }) => validateDaemonSetSpec(spec),
  // Upstream validates the spec on its own and once more against the old one.
  validateUpdate: (object, old) => [
    ...validateDaemonSetSpec(object.spec),
    ...validateDaemonSetSpec(object.spec),
    ...immutableSelectorErrors(object.spec.selector, old.spec.selector),
  ],
  warnings: workloadWarnings(({ spec }) => spec.template),
  subresources: {
    status: keepingTemplateGeneration(
      statusSubresource<DaemonSetObject>({
        validateUpdate: (object) =>
          replicaStatusErrors(object.status as Record<string, unknown> | undefined, [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
          ]),
      }),
    ),
  },
  columns: [
    nameColumn,
    integer(
      "Desired",
      "Nodes that should run the pod.",
      (object) => object.status?.desiredNumberScheduled ?? 0,
    ),
    integer("Current", "Nodes that run the pod.", (object) => object.status?.currentNumberScheduled ?? 0),
    integer("Ready", "Nodes on which the pod is ready.", (object) => object.status?.numberReady ?? 0),
    integer(
      "Up-to-date",
      "Nodes with the latest template.",
      (object) => object.status?.updatedNumberScheduled ?? 0,
    ),
    integer(
      "Available",
      "Nodes on which the pod is available.",
      (object) => object.status?.numberAvailable ?? 0,
    ),
    text("Node Selector", "Labels of the nodes that should run the pod.", ({ spec }) =>
      formatLabels(spec.template?.spec?.nodeSelector as Record<string, string> | undefined),
    ),
    ageColumn,
    ...containerColumns<DaemonSetObject>(({ spec }) => spec.template),
    selectorColumn(({ spec }) => spec.selector),
  ],
});

function validateDaemonSetSpec(spec: DaemonSetSpec): FieldError[] {
  const { selector, template } = spec;
  const errors = validateLabelSelector(selector, "spec.selector");
  const labels = template.metadata?.labels;
  if (errors.length === 0 && !matchesLabelSelector(selector, labels))
    errors.push(
      invalid(
        "spec.template.metadata.labels",
        goStringMapOf(template.metadata, "labels"),
        "`selector` does not match template `labels`",
      ),
    );
  if (selector !== undefined && isEmptySelector(selector))
    errors.push(
      invalid("spec.selector", goLabelSelector(selector), "empty selector is invalid for daemonset"),
    );
  return [
    ...errors,
    ...validatePodTemplate(template, "spec.template"),
    ...restartAlwaysErrors(template, "spec.template"),
    ...noDeadlineErrors(template, "DaemonSet"),
    ...nonNegativeErrors(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateUpdateStrategy(spec),
    ...nonNegativeErrors(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
  ];
}

function validateUpdateStrategy({ updateStrategy = {} }: DaemonSetSpec): FieldError[] {
  const path = "spec.updateStrategy";
  const { type = "", rollingUpdate } = updateStrategy;
  if (type === "OnDelete") return [];
  if (type !== "RollingUpdate")
    return [
      notSupported(
        path,
        {
          goSyntax: `apps.DaemonSetUpdateStrategy{Type:${JSON.stringify(type)}, RollingUpdate:${goPointer("apps.RollingUpdateDaemonSet", rollingUpdate)}}`,
        },
        ["RollingUpdate", "OnDelete"],
      ),
    ];
  if (rollingUpdate === undefined) return [required(`${path}.rollingUpdate`)];
  const { maxUnavailable, maxSurge } = rollingUpdate;
  const errors = [
    ...countOrPercentErrors(maxUnavailable, `${path}.rollingUpdate.maxUnavailable`),
    ...atMostHundredPercentErrors(maxUnavailable, `${path}.rollingUpdate.maxUnavailable`),
    ...countOrPercentErrors(maxSurge, `${path}.rollingUpdate.maxSurge`),
    ...atMostHundredPercentErrors(maxSurge, `${path}.rollingUpdate.maxSurge`),
  ];
  const unavailable = numberOf(maxUnavailable);
  const surge = numberOf(maxSurge);
  if (unavailable !== 0 && surge !== 0)
    errors.push(
      invalid(
        `${path}.rollingUpdate.maxSurge`,
        goIntOrString(maxSurge ?? 0),
        "may not be set when maxUnavailable is non-zero",
      ),
    );
  else if (unavailable === 0 && surge === 0)
    errors.push(required(`${path}.rollingUpdate.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
  return errors;
}

/** The count is the server's: a status that is written without it does not reset it. */
function keepingTemplateGeneration(subresource: Subresource<DaemonSetObject>): Subresource<DaemonSetObject> {
  return {
    ...subresource,
    prepareUpdate(object, old, context) {
      subresource.prepareUpdate?.(object, old, context);
      const kept = old.metadata.annotations?.[templateGeneration];
      if (kept !== undefined)
        object.metadata.annotations = { ...object.metadata.annotations, [templateGeneration]: kept };
    },
  };
}
