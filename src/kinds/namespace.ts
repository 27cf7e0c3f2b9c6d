/** Namespace (v1): created active, with a finalizer of its own in the spec. */
import type { NamespaceSpec, NamespaceStatus } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, nameColumn, text } from "./columns.ts";
import { type FieldError, invalid } from "./field-error.ts";
import { defineKind } from "./kind.ts";
import { dnsLabelErrors, nameRule, qualifiedNameErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { keepField, statusSubresource } from "./strategy.ts";

interface NamespaceObject extends KubeObject {
  spec: NamespaceSpec;
  status?: NamespaceStatus;
}

const nameLabel = "kubernetes.io/metadata.name";

export const namespace = defineKind<NamespaceObject>({
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  singular: "namespace",
  shortNames: ["ns"],
  namespaced: false,
  schemaName: "io.k8s.api.core.v1.Namespace",
  verbs: ["create", "delete", "get", "list", "patch", "update", "watch"],
  validateName: nameRule(dnsLabelErrors),
  applyDefaults(object) {
    object.status ??= {};
    object.status.phase ||= "Active";
    if (object.metadata.name) setNameLabel(object);
  },
  prepareCreate(object) {
    object.status = { phase: "Active" };
    const finalizers = object.spec.finalizers ?? [];
    if (!finalizers.includes("kubernetes")) object.spec.finalizers = [...finalizers, "kubernetes"];
    setNameLabel(object);
  },
  prepareUpdate(object, old) {
    object.spec = old.spec;
    keepField(object, old, "status");
  },
  validate: ({ spec }) => finalizerErrors(spec),
  validateUpdate: () => [],
  subresources: {
    finalize: {
      verbs: ["update"],
      prepareUpdate: (object, old) => keepField(object, old, "status"),
      validateUpdate: ({ spec }) => finalizerErrors(spec),
    },
    status: statusSubresource<NamespaceObject>({
      validateUpdate({ metadata, status }) {
        const phase = status?.phase ?? "";
        if (metadata.deletionTimestamp === undefined)
          return phase === "Active"
            ? []
            : [invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")];
        return phase === "Terminating"
          ? []
          : [invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")];
      },
    }),
  },
  fieldSelectors: { "status.phase": ({ status }) => status?.phase ?? "" },
  columns: [
    nameColumn,
    text("Status", "Active or Terminating.", ({ status }) => status?.phase ?? ""),
    ageColumn,
  ],
  resetFields: ["status"],
});

function setNameLabel(object: NamespaceObject): void {
  if (object.metadata.name)
    object.metadata.labels = { ...object.metadata.labels, [nameLabel]: object.metadata.name };
}

function finalizerErrors(spec: NamespaceSpec): FieldError[] {
  return (spec.finalizers ?? []).flatMap((each) => {
    const errors = qualifiedNameErrors(each).map((text) => invalid("spec.finalizers", each, text));
    if (!each.includes("/") && each !== "kubernetes")
      errors.push(
        invalid(
          "spec.finalizers",
          each,
          "name is neither a standard finalizer name nor is it fully qualified",
        ),
      );
    return errors;
  });
}
