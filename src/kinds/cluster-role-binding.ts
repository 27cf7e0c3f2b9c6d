/** ClusterRoleBinding (rbac.authorization.k8s.io/v1). */
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

export const clusterRoleBinding = defineKind<BindingObject>({
  group: rbacGroup,
  version: "v1",
  kind: "ClusterRoleBinding",
  plural: "clusterrolebindings",
  singular: "clusterrolebinding",
  namespaced: false,
  schemaName: "io.k8s.api.rbac.v1.ClusterRoleBinding",
  verbs: allVerbs,
  createOnUpdate: true,
  validateName: pathSegmentErrors,
  applyDefaults: defaultBinding,
  validate: (object) => validateBinding(object, false),
  validateUpdate: (object, old) => [...validateBinding(object, false), ...roleRefUpdateErrors(object, old)],
  columns: bindingColumns,
});
