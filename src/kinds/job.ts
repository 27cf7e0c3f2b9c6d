/** Job (batch/v1). */
import { dropDisabledPodFields } from "./pod-spec.ts";
import type { JobStatus } from "kubernetes-types/batch/v1.d.ts";
import { ageColumn, nameColumn, text } from "./columns.ts";
import { copyOf, deepEqual } from "./equality.ts";
import { type FieldError, invalid, required } from "./field-error.ts";
import { goLabelSelector, goStringMap, goStringMapOf } from "./go-syntax.ts";
import { type FullJobSpec, defaultJobSpec, validateJobSpec } from "./job-spec.ts";
import { defineKind } from "./kind.ts";
import { matchesLabelSelector } from "./label-selector.ts";
import { dnsLabelErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { podTemplateWarnings } from "./pod-template-spec.ts";
import { hostnameWarnings } from "./pod-warnings.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";
import { formatDuration, parseTimeMs } from "./time.ts";
import { containerColumns, replicaStatusErrors, selectorColumn } from "./workload.ts";

const schemaName = "io.k8s.api.batch.v1.Job";
const status = withStatus<JobObject>(schemaName);
const uidLabels = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const nameLabels = ["job-name", "batch.kubernetes.io/job-name"];

export interface JobObject extends KubeObject {
  spec: FullJobSpec;
  status?: JobStatus;
}

export const job = defineKind<JobObject>({
  group: "batch",
  version: "v1",
  kind: "Job",
  plural: "jobs",
  singular: "job",
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  deletion: { defaultPropagation: "orphan" },
  ...status,
  dropDisabledFields: ({ spec }) => dropDisabledPodFields(spec.template?.spec),
  applyDefaults({ metadata, spec }) {
    defaultJobSpec(spec);
    // Without labels of its own, a job has those of its template: one map, as upstream, which grows with both.
    const labels = spec.template?.metadata?.labels;
    if (Object.keys(metadata.labels ?? {}).length === 0 && labels !== undefined) metadata.labels = labels;
  },
  prepareCreate(object, context) {
    status.prepareCreate(object, context);
    generateSelector(object);
  },
  canonicalize({ metadata, spec }) {
    // The template has got labels in the meantime; they are there when the job is read.
    const labels = spec.template?.metadata?.labels;
    if (Object.keys(metadata.labels ?? {}).length === 0 && labels !== undefined)
      metadata.labels = { ...labels };
  },
  validate: validateJob,
  validateUpdate(object, old) {
    return [...validateJob(object), ...immutableErrors(object.spec, old)];
  },
  warnings(object, old) {
    const names = old === undefined ? hostnameWarnings(object.metadata.name ?? "") : [];
    return [...names, ...podTemplateWarnings(object.spec.template, "spec.template")];
  },
  subresources: {
    status: statusSubresource<JobObject>({
      validateUpdate: (object) =>
        replicaStatusErrors(object.status as Record<string, unknown> | undefined, [
          "active",
          "succeeded",
          "failed",
          "ready",
          "terminating",
        ]),
    }),
  },
  fieldSelectors: { "status.successful": (object) => String(object.status?.succeeded ?? 0) },
  columns: [
    nameColumn,
    text("Status", "How the job is doing.", statusText),
    text("Completions", "Succeeded pods of those wanted.", completionsText),
    text("Duration", "How long the job took, or has been running.", (object, nowMs) => {
      const startMs = parseTimeMs(object.status?.startTime);
      if (startMs === undefined) return "";
      return formatDuration((parseTimeMs(object.status?.completionTime) ?? nowMs) - startMs);
    }),
    ageColumn,
    ...containerColumns<JobObject>(({ spec }) => spec.template),
    selectorColumn(({ spec }) => spec.selector),
  ],
});

function statusText({ metadata, status: state }: JobObject): string {
  const has = (type: string): boolean =>
    state?.conditions?.some((each) => each.type === type && each.status === "True") ?? false;
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (metadata.deletionTimestamp !== undefined) return "Terminating";
  if (has("Suspended")) return "Suspended";
  if (has("FailureTarget")) return "FailureTarget";
  if (has("SuccessCriteriaMet")) return "SuccessCriteriaMet";
  return "Running";
}

function completionsText({ spec, status: state }: JobObject): string {
  const succeeded = state?.succeeded ?? 0;
  if (spec.completions !== undefined) return `${succeeded}/${spec.completions}`;
  const parallelism = spec.parallelism ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

/** Unless told otherwise, a job selects its pods by its own uid, in labels with and without a prefix. Needs metadata.uid. */
function generateSelector({ metadata, spec }: JobObject): void {
  if (spec.manualSelector === true) return;
  const template = (spec.template ??= {});
  const meta = (template.metadata ??= {});
  const labels: Record<string, string> = meta.labels ?? {};
  for (const key of uidLabels) labels[key] ??= metadata.uid ?? "";
  for (const key of nameLabels) labels[key] ??= metadata.name ?? "";
  meta.labels = labels;
  const selector = (spec.selector ??= {});
  selector.matchLabels ??= {};
  selector.matchLabels["batch.kubernetes.io/controller-uid"] ??= metadata.uid ?? "";
}

function validateJob(object: JobObject): FieldError[] {
  const { metadata, spec } = object;
  const errors: FieldError[] = [];
  const labels = spec.template?.metadata?.labels;
  if (spec.manualSelector !== true && metadata.uid !== undefined) {
    const expected = { "batch.kubernetes.io/controller-uid": metadata.uid };
    const wrong = (keys: string[], value: string): FieldError[] =>
      keys.flatMap((key) =>
        labels?.[key] === value
          ? []
          : [invalid(`spec.template.metadata.labels[${key}]`, goStringMap(labels), `must be '${value}'`)],
      );
    errors.push(...wrong(uidLabels, metadata.uid), ...wrong(nameLabels, metadata.name ?? ""));
    if (spec.selector !== undefined && !deepEqual(spec.selector.matchLabels, expected))
      errors.push(invalid("spec.selector", goLabelSelector(spec.selector), "`selector` not auto-generated"));
  }
  errors.push(...validateJobSpec(spec, "spec"));
  if (spec.completionMode === "Indexed" && (spec.completions ?? 0) > 0) {
    const hostname = `${metadata.name ?? ""}-${(spec.completions ?? 0) - 1}`;
    if (dnsLabelErrors(hostname).length > 0)
      errors.push(
        invalid(
          "metadata.name",
          metadata.name ?? "",
          `will not able to create pod with invalid DNS label: ${hostname}`,
        ),
      );
  }
  if (spec.selector === undefined) errors.push(required("spec.selector"));
  else if (!matchesLabelSelector(spec.selector, labels))
    errors.push(
      invalid(
        "spec.template.metadata.labels",
        goStringMapOf(spec.template.metadata, "labels"),
        "`selector` does not match template `labels`",
      ),
    );
  return errors;
}

function immutableErrors(spec: FullJobSpec, old: JobObject): FieldError[] {
  const before = old.spec;
  const errors: FieldError[] = [];
  const immutable = (field: keyof FullJobSpec): void => {
    if (!deepEqual(spec[field], before[field]))
      errors.push(
        invalid(
          `spec.${field}`,
          field === "selector" && spec.selector !== undefined ? goLabelSelector(spec.selector) : spec[field],
          "field is immutable",
        ),
      );
  };
  // Elastic indexed jobs: completions may follow parallelism.
  const elastic =
    spec.completionMode === "Indexed" &&
    spec.completions === spec.parallelism &&
    before.completions === before.parallelism;
  if (!elastic) immutable("completions");
  immutable("selector");
  const template = copyOf(spec.template);
  const suspended = before.suspend === true && old.status?.startTime === undefined;
  if (suspended && template?.spec !== undefined && before.template?.spec !== undefined) {
    for (const field of ["nodeSelector", "affinity", "tolerations", "schedulingGates"] as const) {
      const value = before.template.spec[field];
      if (value === undefined) delete template.spec[field];
      else (template.spec as unknown as Record<string, unknown>)[field] = value;
    }
    const was = before.template.metadata;
    template.metadata = { ...template.metadata };
    if (was?.labels === undefined) delete template.metadata.labels;
    else template.metadata.labels = was.labels;
    if (was?.annotations === undefined) delete template.metadata.annotations;
    else template.metadata.annotations = was.annotations;
  }
  if (!deepEqual(template, before.template))
    errors.push(invalid("spec.template", spec.template, "field is immutable"));
  for (const field of [
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
  ] as const)
    immutable(field);
  return errors;
}
