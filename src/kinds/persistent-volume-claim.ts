/** PersistentVolumeClaim (v1). */
import type { PersistentVolumeClaimSpec, PersistentVolumeClaimStatus } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, nameColumn, orUnset, text, wide } from "./columns.ts";
import { copyOf, deepEqual } from "./equality.ts";
import { type FieldError, forbidden, invalid } from "./field-error.ts";
import { defineKind } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { formatAccessModes } from "./persistent-volume.ts";
import { validateClaimSpec } from "./persistent-volume-claim-spec.ts";
import { sortedEntries } from "./metadata.ts";
import { compareQuantities } from "./quantity.ts";
import { resourceQuantityErrors } from "./resource-list.ts";
import { allVerbs, keepField, statusSubresource } from "./strategy.ts";

interface ClaimObject extends KubeObject {
  spec: PersistentVolumeClaimSpec;
  status?: PersistentVolumeClaimStatus;
}

type Amounts = Record<string, string> | undefined;

export const persistentVolumeClaim = defineKind<ClaimObject>({
  group: "",
  version: "v1",
  kind: "PersistentVolumeClaim",
  plural: "persistentvolumeclaims",
  singular: "persistentvolumeclaim",
  shortNames: ["pvc"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.PersistentVolumeClaim",
  verbs: allVerbs,
  applyDefaults({ spec, status }) {
    if (status !== undefined) status.phase ||= "Pending";
    spec.volumeMode ??= "Filesystem";
    dropDataSources(spec);
  },
  prepareCreate(object) {
    object.status = { phase: "Pending" };
    const { spec } = object;
    // Either way of naming the source sets the other, for sources of this namespace.
    if (spec.dataSource !== undefined) spec.dataSourceRef ??= copyOf(spec.dataSource);
    else if (spec.dataSourceRef !== undefined) {
      const { kind, name, apiGroup } = spec.dataSourceRef;
      spec.dataSource = { kind, name, ...(apiGroup === undefined ? {} : { apiGroup }) };
    }
  },
  prepareUpdate(object, old) {
    keepField(object, old, "status");
  },
  validate: ({ spec }) => validateClaimSpec(spec, "spec"),
  validateUpdate(object, old) {
    const errors: FieldError[] = validateClaimSpec(object.spec, "spec");
    const munged = copyOf(object.spec);
    const before = old.spec;
    if (!before.volumeName && munged.volumeName) delete munged.volumeName;
    // A claim without a class may still get one.
    if (before.storageClassName === undefined) delete munged.storageClassName;
    const bound = old.status?.phase === "Bound";
    const is = (object.spec.resources?.requests as Amounts)?.["storage"];
    const was = (before.resources?.requests as Amounts)?.["storage"];
    if (bound && is !== undefined && was !== undefined && munged.resources !== undefined) {
      munged.resources = {
        ...munged.resources,
        ...(before.resources?.requests === undefined ? {} : { requests: before.resources.requests }),
      };
      const have = (old.status?.capacity as Amounts)?.["storage"] ?? "0";
      if (compareQuantities(is, was) < 0 && compareQuantities(is, have) <= 0)
        errors.push(
          forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"),
        );
    }
    if (!deepEqual(munged, before))
      errors.push(
        forbidden(
          "spec",
          "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ),
      );
    if (object.spec.volumeMode !== before.volumeMode)
      errors.push(invalid("volumeMode", object.spec.volumeMode, "field is immutable"));
    return errors;
  },
  subresources: { status: statusSubresource<ClaimObject>({ validateUpdate: validateStatus }) },
  columns: [
    nameColumn,
    text("Status", "Phase of the claim.", ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined ? (status?.phase ?? "") : "Terminating",
    ),
    text("Volume", "Volume that the claim is bound to.", ({ spec }) => spec.volumeName ?? ""),
    text("Capacity", "Size of the volume.", ({ spec, status }) =>
      spec.volumeName ? String((status?.capacity as Amounts)?.["storage"] ?? "") : "",
    ),
    text("Access Modes", "Ways to mount the volume.", ({ spec, status }) =>
      spec.volumeName ? formatAccessModes(status?.accessModes) : "",
    ),
    text(
      "StorageClass",
      "Class of the claim.",
      ({ metadata, spec }) =>
        metadata.annotations?.["volume.beta.kubernetes.io/storage-class"] ?? spec.storageClassName ?? "",
    ),
    text("VolumeAttributesClass", "Attributes class of the claim.", ({ spec }) =>
      orUnset(spec.volumeAttributesClassName),
    ),
    ageColumn,
    wide("VolumeMode", "File system or block device.", ({ spec }) => spec.volumeMode ?? "<unset>"),
  ],
  resetFields: ["status"],
});

/** Sources that no built-in provisioner understands are left out, as upstream does. */
function dropDataSources(spec: PersistentVolumeClaimSpec): void {
  const source = spec.dataSource;
  if (source === undefined) return;
  const group = source.apiGroup ?? "";
  const isClaim = source.kind === "PersistentVolumeClaim" && group === "";
  const isSnapshot = source.kind === "VolumeSnapshot" && group === "snapshot.storage.k8s.io";
  if (!isClaim && !isSnapshot) delete spec.dataSource;
}

function validateStatus({ status }: ClaimObject): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["capacity", "allocatedResources"] as const)
    for (const [name, value] of sortedEntries(status?.[field] as Amounts))
      errors.push(...resourceQuantityErrors(name, value, `status.${field}[${name}]`));
  return errors;
}
