/** ControllerRevision (apps/v1): an immutable snapshot of a workload's template. */
import { ageColumn, nameColumn, text } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, invalid, required } from "./field-error.ts";
import { nonNegativeErrors } from "./int-or-string.ts";
import { defineKind } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs } from "./strategy.ts";

interface ControllerRevisionObject extends KubeObject {
  data?: unknown;
  revision: number;
}

export const controllerRevision = defineKind<ControllerRevisionObject>({
  group: "apps",
  version: "v1",
  kind: "ControllerRevision",
  plural: "controllerrevisions",
  singular: "controllerrevision",
  namespaced: true,
  schemaName: "io.k8s.api.apps.v1.ControllerRevision",
  verbs: allVerbs,
  validate: validateRevision,
  validateUpdate: (object, old) => [
    ...validateRevision(object),
    ...(deepEqual(object.data, old.data)
      ? []
      : [invalid("data", { goSyntax: goRawExtension(object.data) }, "field is immutable")]),
  ],
  columns: [
    nameColumn,
    text("Controller", "What the revision belongs to.", ({ metadata }) => {
      const owner = metadata.ownerReferences?.find((each) => each.controller === true);
      if (owner === undefined) return "<none>";
      const [group = ""] = owner.apiVersion.includes("/") ? owner.apiVersion.split("/") : [""];
      return `${owner.kind.toLowerCase()}${group === "" ? "" : `.${group}`}/${owner.name}`;
    }),
    {
      name: "Revision",
      type: "string",
      description: "Number of the revision.",
      priority: 0,
      cell: ({ revision }) => revision,
    },
    ageColumn,
  ],
});

function validateRevision({ data, revision }: ControllerRevisionObject): FieldError[] {
  const isObject = typeof data === "object" && data !== null && !Array.isArray(data);
  return [
    ...(isObject ? [] : [required("data", "data must be a valid JSON object")]),
    ...nonNegativeErrors(revision, "revision"),
  ];
}

function goRawExtension(data: unknown): string {
  const bytes = new TextEncoder().encode(JSON.stringify(data));
  const hex = [...bytes].map((each) => `0x${each.toString(16)}`).join(", ");
  return `runtime.RawExtension{Raw:[]uint8{${hex}}, Object:runtime.Object(nil)}`;
}
