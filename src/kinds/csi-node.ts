/** CSINode (storage.k8s.io/v1). */
import { ageColumn, integer, nameColumn } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, duplicate, invalid, required } from "./field-error.ts";
import { goPointer, goStrings } from "./go-syntax.ts";
import { qualifiedNameErrors } from "./names.ts";
import { driverNameErrors } from "./volumes.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.storage.v1.CSINode";

interface CsiNodeObject extends KubeObject {
  spec: {
    drivers:
      | { name: string; nodeID: string; topologyKeys?: string[] | null; allocatable?: { count?: number } }[]
      | null;
  };
}

export const csiNode = defineKind<CsiNodeObject>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSINode",
  plural: "csinodes",
  singular: "csinode",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  unconditionalUpdate: false,
  validate: validateNode,
  validateUpdate: (object, old) => [...validateNode(object), ...changedDrivers(object, old)],
  columns: [
    nameColumn,
    integer("Drivers", "Number of drivers on the node.", ({ spec }) => (spec.drivers ?? []).length),
    ageColumn,
  ],
});

function validateNode({ spec }: CsiNodeObject): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, { name, nodeID, topologyKeys, allocatable }] of (spec.drivers ?? []).entries()) {
    const at = `spec.drivers[${index}]`;
    errors.push(...driverNameErrors(name, `${at}.name`));
    if (nodeID === "") errors.push(required(`${at}.nodeID`));
    else if (nodeID.length > 192)
      errors.push(invalid(`${at}.nodeID`, nodeID, "must be 192 characters or less"));
    if (allocatable?.count !== undefined && allocatable.count < 0)
      errors.push(
        invalid(`${at}.allocatable.count`, allocatable.count, "must be greater than or equal to 0"),
      );
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    const keys = new Set<string>();
    for (const key of topologyKeys ?? []) {
      if (key === "") errors.push(required(at));
      if (keys.has(key)) errors.push(duplicate(at, key));
      keys.add(key);
      errors.push(...qualifiedNameErrors(key).map((each) => invalid(at, key, each)));
    }
  }
  return errors;
}

/** Drivers come and go; one that stays is what it was. */
function changedDrivers({ spec }: CsiNodeObject, old: CsiNodeObject): FieldError[] {
  return (old.spec.drivers ?? []).flatMap((before) =>
    (spec.drivers ?? [])
      .filter((each) => each.name === before.name && !deepEqual(each, before))
      .map((each) =>
        invalid(
          "CSINodeDriver",
          {
            goSyntax: `storage.CSINodeDriver{Name:${JSON.stringify(each.name)}, NodeID:${JSON.stringify(each.nodeID)}, TopologyKeys:${goStrings(each.topologyKeys ?? undefined).goSyntax}, Allocatable:${goPointer("storage.VolumeNodeResources", each.allocatable)}}`,
          },
          "field is immutable",
        ),
      ),
  );
}
