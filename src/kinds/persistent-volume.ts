/** PersistentVolume (v1). */
import type { PersistentVolumeSpec, PersistentVolumeStatus } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, nameColumn, orUnset, text, wide } from "./columns.ts";
import { copyOf, deepEqual } from "./equality.ts";
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { defineKind } from "./kind.ts";
import { dnsLabelErrors, dnsSubdomainErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { isGivenEmpty } from "./decode.ts";
import { noBackstepsErrors } from "./paths.ts";
import { accessModes } from "./persistent-volume-claim-spec.ts";
import { goQuantity, resourceQuantityErrors } from "./resource-list.ts";
import { validateNodeSelector } from "./scheduling.ts";
import { allVerbs, keepField, statusSubresource } from "./strategy.ts";
import { requiredFields, textOf } from "./volume-fields.ts";
import { driverNameErrors } from "./volumes.ts";

interface PersistentVolumeObject extends KubeObject {
  spec: PersistentVolumeSpec;
  status?: PersistentVolumeStatus;
}

const sources = [
  "hostPath",
  "gcePersistentDisk",
  "awsElasticBlockStore",
  "glusterfs",
  "flocker",
  "nfs",
  "rbd",
  "quobyte",
  "cephfs",
  "iscsi",
  "cinder",
  "fc",
  "flexVolume",
  "azureFile",
  "vsphereVolume",
  "photonPersistentDisk",
  "portworxVolume",
  "azureDisk",
  "scaleIO",
  "local",
  "storageos",
  "csi",
] as const;

const statusOfVolume = statusSubresource<PersistentVolumeObject>();

export const persistentVolume = defineKind<PersistentVolumeObject>({
  group: "",
  version: "v1",
  kind: "PersistentVolume",
  plural: "persistentvolumes",
  singular: "persistentvolume",
  shortNames: ["pv"],
  namespaced: false,
  schemaName: "io.k8s.api.core.v1.PersistentVolume",
  verbs: allVerbs,
  metadataErrorsOnce: true,
  applyDefaults({ spec, status }) {
    if (status !== undefined) status.phase ||= "Pending";
    spec.persistentVolumeReclaimPolicy ||= "Retain";
    spec.volumeMode ??= "Filesystem";
    if (spec.hostPath !== undefined) spec.hostPath.type ??= "";
    if (spec.iscsi !== undefined) spec.iscsi.iscsiInterface ||= "default";
  },
  prepareCreate(object, context) {
    object.status = { phase: "Pending", lastPhaseTransitionTime: context.now };
  },
  prepareUpdate(object, old) {
    keepField(object, old, "status");
  },
  validate: validateVolume,
  validateUpdate(object, old) {
    const errors = validateVolume(object);
    const source = (spec: PersistentVolumeSpec): unknown =>
      Object.fromEntries(sources.map((each) => [each, spec[each]]));
    const given = copyOf(object.spec);
    // The secret for growing a volume may be named later than the volume.
    if (old.spec.csi?.controllerExpandSecretRef === undefined) delete given.csi?.controllerExpandSecretRef;
    if (!deepEqual(source(given), source(old.spec)))
      errors.push(
        forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"),
      );
    if (object.spec.volumeMode !== old.spec.volumeMode)
      errors.push(invalid("volumeMode", object.spec.volumeMode, "field is immutable"));
    if (old.spec.nodeAffinity !== undefined && !deepEqual(object.spec.nodeAffinity, old.spec.nodeAffinity))
      errors.push(
        invalid(
          "nodeAffinity",
          copyOf(object.spec.nodeAffinity),
          "field is immutable, except for updating from beta label to GA",
        ),
      );
    return errors;
  },
  subresources: {
    status: {
      ...statusOfVolume,
      prepareUpdate(object, old, context) {
        statusOfVolume.prepareUpdate?.(object, old, context);
        noteTransition(object, old, context.now);
      },
    },
  },
  warnings: ({ spec }) =>
    spec.persistentVolumeReclaimPolicy === "Recycle"
      ? [
          "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
        ]
      : [],
  columns: [
    nameColumn,
    text("Capacity", "Size of the volume.", ({ spec }) =>
      String((spec.capacity as Record<string, string> | undefined)?.["storage"] ?? ""),
    ),
    text("Access Modes", "Ways to mount the volume.", ({ spec }) => formatAccessModes(spec.accessModes)),
    text(
      "Reclaim Policy",
      "What happens after release.",
      ({ spec }) => spec.persistentVolumeReclaimPolicy ?? "",
    ),
    text("Status", "Phase of the volume.", ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined ? (status?.phase ?? "") : "Terminating",
    ),
    text("Claim", "Claim that the volume is bound to.", ({ spec }) =>
      spec.claimRef === undefined ? "" : `${spec.claimRef.namespace ?? ""}/${spec.claimRef.name ?? ""}`,
    ),
    text(
      "StorageClass",
      "Class of the volume.",
      ({ metadata, spec }) =>
        metadata.annotations?.["volume.beta.kubernetes.io/storage-class"] ?? spec.storageClassName ?? "",
    ),
    text("VolumeAttributesClass", "Attributes class of the volume.", ({ spec }) =>
      orUnset(spec.volumeAttributesClassName),
    ),
    text("Reason", "Why the volume is in its phase.", ({ status }) => status?.reason ?? ""),
    ageColumn,
    wide("VolumeMode", "File system or block device.", ({ spec }) => spec.volumeMode ?? "<unset>"),
  ],
  resetFields: ["status"],
});

/** "RWO,ROX": access modes, each once, in a fixed order. */
export function formatAccessModes(modes: readonly string[] | undefined): string {
  const short: [string, string][] = [
    ["ReadWriteOnce", "RWO"],
    ["ReadOnlyMany", "ROX"],
    ["ReadWriteMany", "RWX"],
    ["ReadWriteOncePod", "RWOP"],
  ];
  return short
    .filter(([mode]) => modes?.includes(mode))
    .map(([, each]) => each)
    .join(",");
}

/** A change of phase is dated, where its writer has not said when it took place. */
function noteTransition({ status }: PersistentVolumeObject, old: PersistentVolumeObject, now: string): void {
  if (status === undefined || status.phase === old.status?.phase) return;
  const given = status.lastPhaseTransitionTime;
  if (given === undefined || given === old.status?.lastPhaseTransitionTime)
    status.lastPhaseTransitionTime = now;
}

function validateVolume({ spec }: PersistentVolumeObject): FieldError[] {
  const errors: FieldError[] = [];
  const modes = spec.accessModes ?? [];
  if (modes.length === 0) errors.push(required("spec.accessModes"));
  for (const mode of modes)
    if (!accessModes.includes(mode)) errors.push(notSupported("spec.accessModes", mode, accessModes));
  if (modes.includes("ReadWriteOncePod") && modes.length > 1)
    errors.push(forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes"));
  const capacity = spec.capacity as Record<string, string> | undefined;
  if (Object.keys(capacity ?? {}).length === 0) errors.push(required("spec.capacity"));
  if (capacity?.["storage"] === undefined || Object.keys(capacity).length > 1) {
    const entries = Object.entries(capacity ?? {}).map(
      ([name, value]) => `${JSON.stringify(name)}:${goQuantity(value).goSyntax}`,
    );
    const goSyntax =
      capacity === undefined && !isGivenEmpty(spec, "capacity")
        ? "core.ResourceList(nil)"
        : `core.ResourceList{${entries.join(", ")}}`;
    errors.push(notSupported("spec.capacity", { goSyntax }, ["storage"]));
  }
  for (const [name, value] of Object.entries(capacity ?? {})) {
    errors.push(...resourceQuantityErrors(name, value, `spec.capacity[${name}]`));
    if (value === "0") errors.push(invalid(`spec.capacity[${name}]`, value, "must be greater than zero"));
  }
  const policy = spec.persistentVolumeReclaimPolicy ?? "";
  if (!["Delete", "Recycle", "Retain"].includes(policy))
    errors.push(notSupported("spec.persistentVolumeReclaimPolicy", policy, ["Delete", "Recycle", "Retain"]));
  if (spec.nodeAffinity !== undefined) {
    if (spec.nodeAffinity.required === undefined)
      errors.push(required("spec.nodeAffinity.required", "must specify required node constraints"));
    else errors.push(...validateNodeSelector(spec.nodeAffinity.required, "spec.nodeAffinity.required"));
  }
  const given = sources.filter((each) => spec[each] !== undefined);
  if (given.length === 0) errors.push(required("spec", "must specify a volume type"));
  for (const [index, each] of given.entries())
    errors.push(
      ...(index > 0
        ? [forbidden(`spec.${each}`, "may not specify more than 1 volume type")]
        : sourceErrors(spec, each)),
    );
  if (spec.hostPath?.path.replace(/\/+$/, "") === "" && spec.hostPath.path !== "" && policy === "Recycle")
    errors.push(
      forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'"),
    );
  if (spec.local !== undefined && spec.nodeAffinity === undefined)
    errors.push(required("spec.nodeAffinity", "Local volume requires node affinity"));
  const { storageClassName, volumeMode } = spec;
  if (storageClassName)
    errors.push(
      ...dnsSubdomainErrors(storageClassName).map((each) =>
        invalid("spec.storageClassName", storageClassName, each),
      ),
    );
  if (volumeMode !== undefined && !["Block", "Filesystem"].includes(volumeMode))
    errors.push(notSupported("spec.volumeMode", volumeMode, ["Block", "Filesystem"]));
  return errors;
}

function sourceErrors(spec: PersistentVolumeSpec, source: (typeof sources)[number]): FieldError[] {
  const path = `spec.${source}`;
  const value = spec[source] as unknown as Record<string, unknown>;
  switch (source) {
    case "hostPath":
    case "local":
      return value["path"]
        ? noBackstepsErrors(textOf(value["path"]), `${path}.path`)
        : [required(`${path}.path`)];
    case "nfs": {
      const errors = requiredFields(value, ["server", "path"], path);
      if (!textOf(value["path"]).startsWith("/"))
        errors.push(invalid(`${path}.path`, value["path"] ?? "", "must be an absolute path"));
      return errors;
    }
    case "csi":
      return [
        ...driverNameErrors(textOf(value["driver"]), `${path}.driver`),
        ...requiredFields(value, ["volumeHandle"], path),
        ...[
          "controllerPublishSecretRef",
          "nodePublishSecretRef",
          "nodeStageSecretRef",
          "controllerExpandSecretRef",
          "nodeExpandSecretRef",
        ].flatMap((field) => {
          const reference = value[field] as { name?: string; namespace?: string } | undefined;
          if (reference === undefined) return [];
          const at = `${path}.${field}`;
          return [
            ...(reference.name
              ? dnsSubdomainErrors(reference.name).map((each) => invalid(`${at}.name`, reference.name, each))
              : [required(`${at}.name`)]),
            ...(reference.namespace
              ? dnsLabelErrors(reference.namespace).map((each) =>
                  invalid(`${at}.namespace`, reference.namespace, each),
                )
              : [required(`${at}.namespace`)]),
          ];
        }),
      ];
    case "gcePersistentDisk":
      return requiredFields(value, ["pdName"], path);
    case "iscsi":
      return requiredFields(value, ["targetPortal", "iqn"], path);
    case "flexVolume":
      return requiredFields(value, ["driver"], path);
    default:
      return [];
  }
}
