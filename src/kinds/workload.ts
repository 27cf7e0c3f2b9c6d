/** What workloads (kinds that own a pod template) have in common: table columns, warnings, status checks. */
import type { PodTemplateSpec } from "kubernetes-types/core/v1.d.ts";
import { formatLabels, orNone, wide } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, forbidden, invalid } from "./field-error.ts";
import { goLabelSelector } from "./go-syntax.ts";
import { nonNegativeErrors } from "./int-or-string.ts";
import type { Column } from "./kind.ts";
import { type LabelSelector, formatLabelSelector } from "./label-selector.ts";
import type { KubeObject } from "./object.ts";
import { podTemplateWarnings } from "./pod-template-spec.ts";
import { hostnameWarnings } from "./pod-warnings.ts";

type TemplateOf<T> = (object: T) => PodTemplateSpec | undefined;

export function containerNames(template: PodTemplateSpec | undefined): string {
  return (template?.spec?.containers ?? []).map((each) => each.name).join(",");
}

export function containerImages(template: PodTemplateSpec | undefined): string {
  return (template?.spec?.containers ?? []).map((each) => each.image ?? "").join(",");
}

/** Containers and Images, shown by `-o wide`. */
export function containerColumns<T extends KubeObject>(templateOf: TemplateOf<T>): Column<T>[] {
  return [
    wide("Containers", "Names of the template's containers.", (object) => containerNames(templateOf(object))),
    wide("Images", "Images of the template's containers.", (object) => containerImages(templateOf(object))),
  ];
}

export function selectorColumn<T extends KubeObject>(
  selectorOf: (object: T) => LabelSelector | undefined,
): Column<T> {
  return wide("Selector", "Labels that select the pods.", (object) =>
    formatLabelSelector(selectorOf(object)),
  );
}

export function selectorMapColumn<T extends KubeObject>(
  selectorOf: (object: T) => Record<string, string> | undefined,
): Column<T> {
  return wide("Selector", "Labels that select the pods.", (object) =>
    orNone(formatLabels(selectorOf(object))),
  );
}

/** Warnings of a workload: its name on creation, its template whenever that has changed. */
export function workloadWarnings<T extends KubeObject>(
  templateOf: TemplateOf<T>,
  path = "spec.template",
): (object: T, old: T | undefined) => string[] {
  return (object, old) => {
    const template = templateOf(object);
    const names = old === undefined ? hostnameWarnings(object.metadata.name ?? "") : [];
    const isSame = old !== undefined && deepEqual(template, templateOf(old));
    // Upstream warns again whenever the generation counts; DaemonSets count their template for this.
    if (isSame && (object.kind === "DaemonSet" || object.metadata.generation === old.metadata.generation))
      return names;
    return [...names, ...podTemplateWarnings(template, path)];
  };
}

export function immutableSelectorErrors(
  selector: LabelSelector | undefined,
  old: LabelSelector | undefined,
  path = "spec.selector",
): FieldError[] {
  if (deepEqual(selector, old)) return [];
  return [
    invalid(path, selector === undefined ? undefined : goLabelSelector(selector), "field is immutable"),
  ];
}

export function noDeadlineErrors(template: PodTemplateSpec, kind: string): FieldError[] {
  return template.spec?.activeDeadlineSeconds === undefined
    ? []
    : [
        forbidden(
          "spec.template.spec.activeDeadlineSeconds",
          `activeDeadlineSeconds in ${kind} is not Supported`,
        ),
      ];
}

/** Counts of a status are not negative, and those of `within` are at most `status.replicas`. */
export function replicaStatusErrors(
  status: Readonly<Record<string, unknown>> | undefined,
  fields: readonly string[],
  within: readonly string[] = [],
): FieldError[] {
  const count = (field: string): number => Number(status?.[field] ?? 0);
  const errors = fields.flatMap((field) => nonNegativeErrors(count(field), `status.${field}`));
  for (const field of within)
    if (count(field) > count("replicas"))
      errors.push(invalid(`status.${field}`, count(field), "cannot be greater than status.replicas"));
  if (within.includes("availableReplicas") && count("availableReplicas") > count("readyReplicas"))
    errors.push(
      invalid("status.availableReplicas", count("availableReplicas"), "cannot be greater than readyReplicas"),
    );
  return errors;
}
