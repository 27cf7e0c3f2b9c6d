/** CronJob (batch/v1). */
import { dropDisabledPodFields } from "./pod-spec.ts";
import type { CronJobSpec, CronJobStatus } from "kubernetes-types/batch/v1.d.ts";
import { ageColumn, integer, nameColumn, text } from "./columns.ts";
import { cronErrors } from "./cron.ts";
import { type FieldError, invalid, notSupported, required } from "./field-error.ts";
import { nonNegativeErrors } from "./int-or-string.ts";
import { type FullJobSpec, defaultJobSpec, validateJobSpec } from "./job-spec.ts";
import { defineKind } from "./kind.ts";
import { dnsSubdomainErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { podTemplateWarnings } from "./pod-template-spec.ts";
import { hostnameWarnings } from "./pod-warnings.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";
import { formatAge } from "./time.ts";
import { containerColumns, selectorColumn } from "./workload.ts";

const schemaName = "io.k8s.api.batch.v1.CronJob";

interface CronJobObject extends KubeObject {
  spec: CronJobSpec;
  status?: CronJobStatus;
}

export const cronJob = defineKind<CronJobObject>({
  group: "batch",
  version: "v1",
  kind: "CronJob",
  plural: "cronjobs",
  singular: "cronjob",
  shortNames: ["cj"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  validateName(name, isPrefix) {
    const errors = dnsSubdomainErrors(isPrefix && name.endsWith("-") ? `${name}a` : name);
    // Names of its jobs get a suffix of eleven characters.
    return !isPrefix && name.length > 52 ? [...errors, "must be no more than 52 characters"] : errors;
  },
  dropDisabledFields: ({ spec }) => dropDisabledPodFields(spec.jobTemplate.spec?.template?.spec),
  applyDefaults({ spec }) {
    spec.concurrencyPolicy ||= "Allow";
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    const template = (spec.jobTemplate ??= {});
    const jobSpec = template.spec as FullJobSpec | undefined;
    if (jobSpec !== undefined) {
      defaultJobTemplate(jobSpec);
    }
  },
  validate: ({ spec }) => validateSpec(spec),
  validateUpdate: ({ spec }) => validateSpec(spec),
  warnings(object, old) {
    const names = old === undefined ? hostnameWarnings(object.metadata.name ?? "") : [];
    const zone = /\b(CRON_)?TZ=/.test(object.spec.schedule)
      ? ["spec.schedule: cannot use TZ or CRON_TZ in schedule, use timeZone instead"]
      : [];
    return [
      ...names,
      ...zone,
      ...podTemplateWarnings(object.spec.jobTemplate?.spec?.template, "spec.jobTemplate.spec.template"),
    ];
  },
  subresources: { status: statusSubresource() },
  columns: [
    nameColumn,
    text("Schedule", "When jobs start, in Cron format.", ({ spec }) => spec.schedule),
    text("Timezone", "Time zone of the schedule.", ({ spec }) => spec.timeZone ?? "<none>"),
    {
      name: "Suspend",
      type: "boolean",
      description: "Whether no jobs are started.",
      priority: 0,
      cell: ({ spec }) => (spec.suspend === undefined ? "<unset>" : spec.suspend ? "True" : "False"),
    },
    integer("Active", "Jobs that run.", ({ status }) => (status?.active ?? []).length),
    text("Last Schedule", "Time since the last start.", ({ status }, nowMs) =>
      status?.lastScheduleTime === undefined ? "<none>" : formatAge(status.lastScheduleTime, nowMs),
    ),
    ageColumn,
    ...containerColumns<CronJobObject>(({ spec }) => spec.jobTemplate?.spec?.template),
    selectorColumn(({ spec }) => spec.jobTemplate?.spec?.selector),
  ],
});

/** Jobs of a CronJob get their counts only when they are made. */
function defaultJobTemplate(spec: FullJobSpec): void {
  const {
    completions,
    parallelism,
    completionMode,
    suspend,
    backoffLimit,
    podReplacementPolicy,
    manualSelector,
  } = spec;
  defaultJobSpec(spec);
  const given = {
    completions,
    parallelism,
    completionMode,
    suspend,
    backoffLimit,
    podReplacementPolicy,
    manualSelector,
  };
  for (const [field, value] of Object.entries(given))
    if (value === undefined) delete (spec as unknown as Record<string, unknown>)[field];
}

function validateSpec(spec: CronJobSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { schedule, timeZone } = spec;
  if (schedule === "") errors.push(required("spec.schedule"));
  else {
    errors.push(...cronErrors(schedule).map((each) => invalid("spec.schedule", schedule, each)));
    if (schedule.includes("TZ"))
      errors.push(
        invalid(
          "spec.schedule",
          schedule,
          "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ),
      );
  }
  if (timeZone !== undefined) {
    if (timeZone === "")
      errors.push(invalid("spec.timeZone", timeZone, "timeZone must be nil or non-empty string"));
    else if (timeZone.toLowerCase() === "local")
      errors.push(
        invalid(
          "spec.timeZone",
          timeZone,
          "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ),
      );
    else if (!isTimeZone(timeZone))
      errors.push(invalid("spec.timeZone", timeZone, `unknown time zone ${timeZone}`));
  }
  errors.push(...nonNegativeErrors(spec.startingDeadlineSeconds, "spec.startingDeadlineSeconds"));
  const policy = spec.concurrencyPolicy ?? "";
  const policies = ["Allow", "Forbid", "Replace"];
  if (!policies.includes(policy))
    errors.push(
      policy === ""
        ? required("spec.concurrencyPolicy")
        : notSupported("spec.concurrencyPolicy", policy, policies),
    );
  errors.push(
    ...nonNegativeErrors(spec.successfulJobsHistoryLimit, "spec.successfulJobsHistoryLimit"),
    ...nonNegativeErrors(spec.failedJobsHistoryLimit, "spec.failedJobsHistoryLimit"),
  );
  const template = spec.jobTemplate ?? {};
  const at = "spec.jobTemplate";
  const jobSpec = (template.spec ?? {}) as FullJobSpec;
  if (jobSpec.manualSelector !== undefined && jobSpec.manualSelector)
    errors.push(notSupported(`${at}.spec.manualSelector`, true, ["nil", "false"]));
  if (jobSpec.selector !== undefined)
    errors.push(invalid(`${at}.spec.selector`, jobSpec.selector, "`selector` will be auto-generated"));
  return [...errors, ...validateJobSpec(jobSpec, `${at}.spec`)];
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
