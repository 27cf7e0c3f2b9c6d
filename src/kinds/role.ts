/** Role (rbac.authorization.k8s.io/v1). */
import type { PolicyRule } from "kubernetes-types/rbac/v1.d.ts";
import { createdAtColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { pathSegmentErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { rbacGroup, validateRules } from "./role-rules.ts";
import { allVerbs } from "./strategy.ts";

interface RoleObject extends KubeObject {
  rules: PolicyRule[] | null;
}

export const role = defineKind<RoleObject>({
  group: rbacGroup,
  version: "v1",
  kind: "Role",
  plural: "roles",
  singular: "role",
  namespaced: true,
  schemaName: "io.k8s.api.rbac.v1.Role",
  verbs: allVerbs,
  createOnUpdate: true,
  validateName: pathSegmentErrors,
  validate: ({ rules }) => validateRules(rules, true),
  validateUpdate: ({ rules }) => validateRules(rules, true),
  columns: [nameColumn, createdAtColumn],
});
