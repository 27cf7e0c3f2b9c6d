/** RuntimeClass (node.k8s.io/v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import { type FieldError, duplicate, invalid } from "./field-error.ts";
import { deepEqual } from "./equality.ts";
import { dnsLabelErrors } from "./names.ts";
import { validateResourceRequirements } from "./resource-list.ts";
import { goToleration, validateTolerations } from "./scheduling.ts";
import type { Toleration } from "kubernetes-types/core/v1.d.ts";
import { validateLabels } from "./metadata.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.node.v1.RuntimeClass";

interface RuntimeClassObject extends KubeObject {
  handler: string;
  overhead?: { podFixed?: Record<string, string> };
  scheduling?: { nodeSelector?: Record<string, string>; tolerations?: Toleration[] };
}

export const runtimeClass = defineKind<RuntimeClassObject>({
  group: "node.k8s.io",
  version: "v1",
  kind: "RuntimeClass",
  plural: "runtimeclasses",
  singular: "runtimeclass",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  createOnUpdate: true,
  unconditionalUpdate: false,
  validate: validateClass,
  validateUpdate: (object, old) => [
    ...(object.handler === old.handler ? [] : [invalid("handler", object.handler, "field is immutable")]),
    ...validateClass(object),
  ],
  columns: [
    nameColumn,
    text("Handler", "Handler in the container runtime.", ({ handler }) => handler),
    ageColumn,
  ],
});

function validateClass({ handler, overhead, scheduling }: RuntimeClassObject): FieldError[] {
  return [
    ...dnsLabelErrors(handler).map((each) => invalid("handler", handler, each)),
    ...(overhead === undefined
      ? []
      : validateResourceRequirements({ limits: overhead.podFixed ?? {} }, new Set(), "overhead")),
    ...validateLabels(scheduling?.nodeSelector, "scheduling.nodeSelector"),
    ...validateTolerations(
      scheduling?.tolerations,
      "scheduling.tolerations.tolerations",
      ({ value }) => value,
    ),
    ...repeatedTolerations(scheduling?.tolerations ?? []),
  ];
}

function repeatedTolerations(tolerations: readonly Toleration[]): FieldError[] {
  return tolerations.flatMap((each, index) =>
    tolerations.slice(0, index).some((other) => deepEqual(each, other))
      ? [duplicate(`scheduling.tolerations[${index}]`, goToleration(each))]
      : [],
  );
}
