/** The spec of a Job, which CronJobs carry as a template: defaults and validation. */
import type { JobSpec, PodFailurePolicyRule } from "kubernetes-types/batch/v1.d.ts";
import {
  type FieldError,
  duplicate,
  invalid,
  omittedValue,
  notSupported,
  required,
  tooMany,
} from "./field-error.ts";
import { goPointer } from "./go-syntax.ts";
import { nonNegativeErrors } from "./int-or-string.ts";
import { validateLabelSelector } from "./label-selector.ts";
import { domainPathErrors, qualifiedNameErrors } from "./names.ts";
import { defaultPodTemplate, validatePodTemplate } from "./pod-template-spec.ts";

const maxIndexedParallelism = 100_000;

export type FullJobSpec = JobSpec & {
  podReplacementPolicy?: string;
  managedBy?: string;
  successPolicy?: { rules?: { succeededIndexes?: string; succeededCount?: number }[] };
};

export function defaultJobSpec(spec: FullJobSpec): void {
  if (spec.completions === undefined && spec.parallelism === undefined) {
    spec.completions = 1;
    spec.parallelism = 1;
  }
  spec.parallelism ??= 1;
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2147483647;
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? "TerminatingOrFailed" : "Failed";
  spec.manualSelector ??= false;
  for (const rule of spec.podFailurePolicy?.rules ?? [])
    for (const pattern of rule.onPodConditions ?? []) pattern.status ||= "True";
  defaultPodTemplate(spec.template);
}

export function validateJobSpec(spec: FullJobSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of [
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
  ] as const)
    errors.push(...nonNegativeErrors(spec[field], `${path}.${field}`));
  const failed = spec.maxFailedIndexes;
  if (failed !== undefined) {
    errors.push(...nonNegativeErrors(failed, `${path}.maxFailedIndexes`));
    if (spec.backoffLimitPerIndex === undefined)
      errors.push(required(`${path}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
  }
  const indexed = spec.completionMode === "Indexed";
  if (spec.completionMode !== undefined) {
    if (!indexed && spec.completionMode !== "NonIndexed")
      errors.push(notSupported(`${path}.completionMode`, spec.completionMode, ["NonIndexed", "Indexed"]));
    if (indexed) {
      if (spec.completions === undefined)
        errors.push(required(`${path}.completions`, "when completion mode is Indexed"));
      if ((spec.parallelism ?? 0) > maxIndexedParallelism)
        errors.push(
          invalid(
            `${path}.parallelism`,
            spec.parallelism,
            `must be less than or equal to ${maxIndexedParallelism} when completion mode is Indexed`,
          ),
        );
      if (failed !== undefined && spec.completions !== undefined && failed > spec.completions)
        errors.push(invalid(`${path}.maxFailedIndexes`, failed, "must be less than or equal to completions"));
    }
  }
  if (spec.completionMode === undefined || spec.completionMode === "NonIndexed")
    for (const field of ["backoffLimitPerIndex", "maxFailedIndexes"] as const)
      if (spec[field] !== undefined)
        errors.push(invalid(`${path}.${field}`, spec[field], "requires indexed completion mode"));
  errors.push(
    ...failurePolicyErrors(spec, path),
    ...successPolicyErrors(spec, indexed, `${path}.successPolicy`),
  );
  const replacement = spec.podReplacementPolicy;
  const replacements = spec.podFailurePolicy === undefined ? ["Failed", "TerminatingOrFailed"] : ["Failed"];
  if (replacement !== undefined && !replacements.includes(replacement))
    errors.push(notSupported(`${path}.podReplacementPolicy`, replacement, replacements));
  if (spec.managedBy !== undefined)
    errors.push(
      ...domainPathErrors(spec.managedBy).map((each) => invalid(`${path}.managedBy`, spec.managedBy, each)),
    );
  const template = spec.template ?? {};
  errors.push(...validatePodTemplate(template, `${path}.template`));
  const restart = template.spec?.restartPolicy ?? "";
  if (restart === "Always")
    errors.push(required(`${path}.template.spec.restartPolicy`, 'valid values: "OnFailure", "Never"'));
  else if (restart !== "OnFailure" && restart !== "Never")
    errors.push(notSupported(`${path}.template.spec.restartPolicy`, restart, ["OnFailure", "Never"]));
  else if (spec.podFailurePolicy !== undefined && restart !== "Never")
    errors.push(
      invalid(
        `${path}.template.spec.restartPolicy`,
        restart,
        'only "Never" is supported when podFailurePolicy is specified',
      ),
    );
  return [...errors, ...validateLabelSelector(spec.selector, `${path}.selector`)];
}

function failurePolicyErrors(spec: FullJobSpec, path: string): FieldError[] {
  const rules = spec.podFailurePolicy?.rules ?? [];
  if (rules.length > 20) return [tooMany(`${path}.podFailurePolicy.rules`, rules.length, 20)];
  const names = new Set(
    [...(spec.template?.spec?.containers ?? []), ...(spec.template?.spec?.initContainers ?? [])].map(
      (each) => each.name,
    ),
  );
  return rules.flatMap((rule, index) =>
    failureRuleErrors(rule, spec, names, `${path}.podFailurePolicy.rules[${index}]`),
  );
}

const actions = ["Count", "FailIndex", "FailJob", "Ignore"];

function failureRuleErrors(
  rule: PodFailurePolicyRule,
  spec: FullJobSpec,
  names: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const { action, onExitCodes } = rule;
  if (action === "")
    errors.push(
      required(`${path}.action`, `valid values: [${actions.map((each) => `"${each}"`).join(" ")}]`),
    );
  else if (action === "FailIndex") {
    if (spec.backoffLimitPerIndex === undefined)
      errors.push(invalid(`${path}.action`, action, "requires the backoffLimitPerIndex to be set"));
  } else if (!actions.includes(action)) errors.push(notSupported(`${path}.action`, action, actions));
  if (onExitCodes !== undefined) {
    const at = `${path}.onExitCodes`;
    const { operator } = onExitCodes;
    const values = onExitCodes.values ?? [];
    if (operator === "") errors.push(required(`${at}.operator`, 'valid values: ["In" "NotIn"]'));
    else if (operator !== "In" && operator !== "NotIn")
      errors.push(notSupported(`${at}.operator`, operator, ["In", "NotIn"]));
    const name = onExitCodes.containerName;
    if (name !== undefined && !names.has(name))
      errors.push(
        invalid(
          `${at}.containerName`,
          name,
          "must be one of the container or initContainer names in the pod template",
        ),
      );
    if (values.length === 0)
      errors.push(
        invalid(
          `${at}.values`,
          {
            goSyntax:
              onExitCodes.values === null || onExitCodes.values === undefined ? "[]int32(nil)" : "[]int32{}",
          },
          "at least one value is required",
        ),
      );
    else if (values.length > 255) errors.push(tooMany(`${at}.values`, values.length, 255));
    const seen = new Set<number>();
    let ordered = true;
    for (const [index, value] of values.entries()) {
      if (operator === "In" && value === 0)
        errors.push(invalid(`${at}.values[${index}]`, value, "must not be 0 for the In operator"));
      if (seen.has(value)) errors.push(duplicate(`${at}.values[${index}]`, value));
      seen.add(value);
      if (index > 0 && (values[index - 1] ?? 0) > value) ordered = false;
    }
    if (!ordered)
      errors.push(invalid(`${at}.values`, { goSyntax: `[]int32{${values.join(", ")}}` }, "must be ordered"));
  }
  const patterns = rule.onPodConditions ?? [];
  if (patterns.length > 20) errors.push(tooMany(`${path}.onPodConditions`, patterns.length, 20));
  for (const [index, { type = "", status = "" }] of patterns.entries()) {
    const at = `${path}.onPodConditions[${index}]`;
    errors.push(...qualifiedNameErrors(type).map((each) => invalid(`${at}.type`, type, each)));
    if (!["True", "False", "Unknown"].includes(status))
      errors.push(
        status === ""
          ? required(`${at}.status`, 'valid values: ["False" "True" "Unknown"]')
          : notSupported(`${at}.status`, status, ["False", "True", "Unknown"]),
      );
  }
  if ((onExitCodes !== undefined) === patterns.length > 0)
    errors.push(
      invalid(
        path,
        omittedValue,
        onExitCodes === undefined
          ? "specifying one of OnExitCodes and OnPodConditions is required"
          : "specifying both OnExitCodes and OnPodConditions is not supported",
      ),
    );
  return errors;
}

function successPolicyErrors(spec: FullJobSpec, indexed: boolean, path: string): FieldError[] {
  const policy = spec.successPolicy;
  if (policy === undefined) return [];
  const rules = policy.rules ?? [];
  const goRules = rules.map(
    (rule) =>
      `batch.SuccessPolicyRule{SucceededIndexes:${goPointer("string", rule.succeededIndexes)}, SucceededCount:${goPointer("int32", rule.succeededCount)}}`,
  );
  if (!indexed)
    return [
      invalid(
        path,
        { goSyntax: `batch.SuccessPolicy{Rules:[]batch.SuccessPolicyRule{${goRules.join(", ")}}}` },
        "requires indexed completion mode",
      ),
    ];
  if (rules.length === 0)
    return [
      required(`${path}.rules`, "at least one rules must be specified when the successPolicy is specified"),
    ];
  if (rules.length > 20) return [tooMany(`${path}.rules`, rules.length, 20)];
  const completions = spec.completions ?? 0;
  return rules.flatMap((rule, index) => {
    const at = `${path}.rules[${index}]`;
    const errors: FieldError[] = [];
    if (rule.succeededCount === undefined && rule.succeededIndexes === undefined)
      errors.push(required(at, "at least one of succeededCount or succeededIndexes must be specified"));
    let total = 0;
    if (rule.succeededIndexes !== undefined) {
      const parsed = countIndexes(rule.succeededIndexes, completions);
      if (typeof parsed === "string")
        errors.push(
          invalid(
            `${at}.succeededIndexes`,
            rule.succeededIndexes,
            `error parsing succeededIndexes: ${parsed}`,
          ),
        );
      else total = parsed;
    }
    const count = rule.succeededCount;
    if (count !== undefined) {
      errors.push(...nonNegativeErrors(count, `${at}.succeededCount`));
      if (count > completions)
        errors.push(
          invalid(
            `${at}.succeededCount`,
            count,
            `must be less than or equal to ${completions} (the number of specified completions)`,
          ),
        );
      if (rule.succeededIndexes !== undefined && count > total)
        errors.push(
          invalid(
            `${at}.succeededCount`,
            count,
            `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`,
          ),
        );
    }
    return errors;
  });
}

/** "1,3-5" as the number of indexes, or what is wrong with it. */
function countIndexes(text: string, completions: number): number | string {
  let count = 0;
  let last = -1;
  if (text === "") return 0;
  for (const part of text.split(",")) {
    const limits = part.split("-");
    if (limits.length > 2) return `cannot parse interval, too many ends: ${JSON.stringify(part)}`;
    const numbers = limits.map((each) => (/^\d+$/.test(each) ? Number(each) : Number.NaN));
    if (numbers.some(Number.isNaN))
      return `cannot convert string to integer for index: ${JSON.stringify(limits[numbers.findIndex(Number.isNaN)])}`;
    const [first = 0, end = first] = numbers;
    for (const [index, value] of [first, ...(limits.length === 2 ? [end] : [])].entries())
      if (value >= completions) return `too large index: ${JSON.stringify(limits[index])}`;
    if (last >= first) return `non-increasing order, previous: ${last}, current: ${first}`;
    if (limits.length === 2 && end <= first)
      return `non-increasing order, previous: ${first}, current: ${end}`;
    count += end - first + 1;
    last = end;
  }
  return count;
}
