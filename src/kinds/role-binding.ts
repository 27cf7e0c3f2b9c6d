/** RoleBinding (rbac.authorization.k8s.io/v1). */
import { defineKind } from "./kind.ts";
import { pathSegmentErrors } from "./names.ts";
import {
  type BindingObject,
  bindingColumns,
  defaultBinding,
  rbacGroup,
  roleRefUpdateErrors,
  validateBinding,
} from "./role-rules.ts";
import { allVerbs } from "./strategy.ts";

export const roleBinding = defineKind<BindingObject>({
  group: rbacGroup,
  version: "v1",
  kind: "RoleBinding",
  plural: "rolebindings",
  singular: "rolebinding",
  namespaced: true,
  schemaName: "io.k8s.api.rbac.v1.RoleBinding",
  verbs: allVerbs,
  createOnUpdate: true,
  validateName: pathSegmentErrors,
  applyDefaults: defaultBinding,
  validate: (object) => validateBinding(object, true),
  validateUpdate: (object, old) => [...validateBinding(object, true), ...roleRefUpdateErrors(object, old)],
  columns: bindingColumns,
});
