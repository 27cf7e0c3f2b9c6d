/** CSIStorageCapacity (storage.k8s.io/v1). */
import { createdAtColumn, nameColumn } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, invalid } from "./field-error.ts";
import { goLabelSelector } from "./go-syntax.ts";
import { type LabelSelector, validateLabelSelector } from "./label-selector.ts";
import { dnsSubdomainErrors } from "./names.ts";
import { nonNegativeQuantityErrors } from "./resource-list.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.storage.v1.CSIStorageCapacity";

interface CapacityObject extends KubeObject {
  storageClassName: string;
  nodeTopology?: LabelSelector;
  capacity?: string;
  maximumVolumeSize?: string;
}

export const csiStorageCapacity = defineKind<CapacityObject>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIStorageCapacity",
  plural: "csistoragecapacities",
  singular: "csistoragecapacity",
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  unconditionalUpdate: false,
  validate: validateCapacity,
  validateUpdate: (object, old) => [
    ...validateCapacity(object),
    ...(deepEqual(object.nodeTopology, old.nodeTopology)
      ? []
      : [
          invalid(
            "nodeTopology",
            object.nodeTopology === undefined ? undefined : goLabelSelector(object.nodeTopology),
            "field is immutable",
          ),
        ]),
    ...(object.storageClassName === old.storageClassName
      ? []
      : [invalid("storageClassName", object.storageClassName, "field is immutable")]),
  ],
  columns: [nameColumn, createdAtColumn],
});

function validateCapacity({ storageClassName, nodeTopology, capacity }: CapacityObject): FieldError[] {
  return [
    ...dnsSubdomainErrors(storageClassName).map((each) =>
      invalid("storageClassName", storageClassName, each),
    ),
    ...validateLabelSelector(nodeTopology, "nodeTopology"),
    ...(capacity === undefined ? [] : nonNegativeQuantityErrors(capacity, "capacity")),
  ];
}
