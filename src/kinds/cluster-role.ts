/** ClusterRole (rbac.authorization.k8s.io/v1). */
import type { AggregationRule, PolicyRule } from "kubernetes-types/rbac/v1.d.ts";
import { createdAtColumn, nameColumn } from "./columns.ts";
import { type FieldError, invalid, required } from "./field-error.ts";
import { defineKind } from "./kind.ts";
import { validateLabelSelector } from "./label-selector.ts";
import { pathSegmentErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { rbacGroup, validateRules } from "./role-rules.ts";
import { allVerbs } from "./strategy.ts";

interface ClusterRoleObject extends KubeObject {
  rules: PolicyRule[] | null;
  aggregationRule?: AggregationRule;
}

export const clusterRole = defineKind<ClusterRoleObject>({
  group: rbacGroup,
  version: "v1",
  kind: "ClusterRole",
  plural: "clusterroles",
  singular: "clusterrole",
  namespaced: false,
  schemaName: "io.k8s.api.rbac.v1.ClusterRole",
  verbs: allVerbs,
  createOnUpdate: true,
  validateName: pathSegmentErrors,
  validate: ({ rules, aggregationRule }) => [
    ...validateRules(rules, false),
    ...aggregationErrors(aggregationRule),
  ],
  validateUpdate: ({ rules, aggregationRule }) => [
    ...validateRules(rules, false),
    ...aggregationErrors(aggregationRule),
  ],
  columns: [nameColumn, createdAtColumn],
});

function aggregationErrors(aggregation: AggregationRule | undefined): FieldError[] {
  if (aggregation === undefined) return [];
  const selectors = aggregation.clusterRoleSelectors ?? [];
  if (selectors.length === 0)
    return [
      required(
        "aggregationRule.clusterRoleSelectors",
        "at least one clusterRoleSelector required if aggregationRule is non-nil",
      ),
    ];
  return selectors.flatMap((selector, index) => {
    const at = `aggregationRule.clusterRoleSelectors[${index}]`;
    const errors = validateLabelSelector(selector, at);
    return errors.length === 0 ? [] : [...errors, invalid(at, "null", "invalid label selector.")];
  });
}
