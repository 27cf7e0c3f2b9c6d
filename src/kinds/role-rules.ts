/** Rules and bindings of RBAC: defaults, validation and columns that roles and cluster roles share. */
import type { PolicyRule, RoleRef, Subject } from "kubernetes-types/rbac/v1.d.ts";
import { ageColumn, nameColumn, text, wide } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, invalid, notSupported, required } from "./field-error.ts";
import { goStrings } from "./go-syntax.ts";
import type { Column } from "./kind.ts";
import { pathSegmentErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";

export const rbacGroup = "rbac.authorization.k8s.io";

export function validateRules(
  rules: readonly PolicyRule[] | null | undefined,
  namespaced: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, rule] of (rules ?? []).entries()) {
    const at = `rules[${index}]`;
    const { verbs, nonResourceURLs = [], apiGroups = [], resources = [], resourceNames = [] } = rule;
    if (((verbs as string[] | null) ?? []).length === 0)
      errors.push(required(`${at}.verbs`, "verbs must contain at least one value"));
    if (nonResourceURLs.length > 0) {
      const shown = goStrings(nonResourceURLs);
      if (namespaced)
        errors.push(
          invalid(`${at}.nonResourceURLs`, shown, "namespaced rules cannot apply to non-resource URLs"),
        );
      if (apiGroups.length > 0 || resources.length > 0 || resourceNames.length > 0)
        errors.push(
          invalid(
            `${at}.nonResourceURLs`,
            shown,
            "rules cannot apply to both regular resources and non-resource URLs",
          ),
        );
      continue;
    }
    if (apiGroups.length === 0)
      errors.push(required(`${at}.apiGroups`, "resource rules must supply at least one api group"));
    if (resources.length === 0)
      errors.push(required(`${at}.resources`, "resource rules must supply at least one resource"));
  }
  return errors;
}

export interface BindingObject extends KubeObject {
  subjects?: Subject[];
  roleRef: RoleRef;
}

export function defaultBinding({ roleRef, subjects }: BindingObject): void {
  roleRef.apiGroup ||= rbacGroup;
  for (const subject of subjects ?? [])
    subject.apiGroup ||=
      subject.kind === "ServiceAccount"
        ? ""
        : subject.kind === "User" || subject.kind === "Group"
          ? rbacGroup
          : "";
}

export function validateBinding({ roleRef, subjects }: BindingObject, namespaced: boolean): FieldError[] {
  const errors: FieldError[] = [];
  if (roleRef.apiGroup !== rbacGroup)
    errors.push(notSupported("roleRef.apiGroup", roleRef.apiGroup ?? "", [rbacGroup]));
  const kinds = namespaced ? ["Role", "ClusterRole"] : ["ClusterRole"];
  if (!kinds.includes(roleRef.kind)) errors.push(notSupported("roleRef.kind", roleRef.kind ?? "", kinds));
  if (!roleRef.name) errors.push(required("roleRef.name"));
  else
    errors.push(
      ...pathSegmentErrors(roleRef.name).map((each) => invalid("roleRef.name", roleRef.name, each)),
    );
  for (const [index, subject] of (subjects ?? []).entries())
    errors.push(...subjectErrors(subject, namespaced, `subjects[${index}]`));
  return errors;
}

function subjectErrors(subject: Subject, namespaced: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const group = subject.apiGroup ?? "";
  if (!subject.name) errors.push(required(`${path}.name`));
  switch (subject.kind) {
    case "ServiceAccount":
      if (subject.name)
        errors.push(
          ...pathSegmentErrors(subject.name).map((each) => invalid(`${path}.name`, subject.name, each)),
        );
      if (group !== "") errors.push(notSupported(`${path}.apiGroup`, group, [""]));
      if (!namespaced && !subject.namespace) errors.push(required(`${path}.namespace`));
      break;
    case "User":
    case "Group":
      if (group !== rbacGroup) errors.push(notSupported(`${path}.apiGroup`, group, [rbacGroup]));
      break;
    default:
      errors.push(notSupported(`${path}.kind`, subject.kind ?? "", ["ServiceAccount", "User", "Group"]));
  }
  return errors;
}

export function roleRefUpdateErrors(object: BindingObject, old: BindingObject): FieldError[] {
  if (deepEqual(object.roleRef, old.roleRef)) return [];
  const { apiGroup, kind, name } = object.roleRef;
  return [
    invalid(
      "roleRef",
      {
        goSyntax: `rbac.RoleRef{APIGroup:${JSON.stringify(apiGroup)}, Kind:${JSON.stringify(kind)}, Name:${JSON.stringify(name)}}`,
      },
      "cannot change roleRef",
    ),
  ];
}

export const bindingColumns: readonly Column<BindingObject>[] = [
  nameColumn,
  text("Role", "Role that is granted.", ({ roleRef }) => `${roleRef.kind}/${roleRef.name}`),
  ageColumn,
  wide("Users", "Users of the binding.", ({ subjects }) => subjectsOf(subjects, "User")),
  wide("Groups", "Groups of the binding.", ({ subjects }) => subjectsOf(subjects, "Group")),
  wide("ServiceAccounts", "Service accounts of the binding.", ({ subjects }) =>
    subjectsOf(subjects, "ServiceAccount"),
  ),
];

function subjectsOf(subjects: readonly Subject[] | undefined, kind: string): string {
  return (subjects ?? [])
    .filter((each) => each.kind === kind)
    .map((each) => (kind === "ServiceAccount" ? `${each.namespace ?? ""}/${each.name}` : each.name))
    .join(", ");
}
