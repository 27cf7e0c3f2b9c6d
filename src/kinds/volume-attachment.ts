/** VolumeAttachment (storage.k8s.io/v1). */
import { ageColumn, boolean, nameColumn, text } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, forbidden, invalid, required } from "./field-error.ts";
import { dnsSubdomainErrors } from "./names.ts";
import { driverNameErrors } from "./volumes.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.storage.v1.VolumeAttachment";

interface Source {
  persistentVolumeName?: string;
  inlineVolumeSpec?: Record<string, unknown>;
}

interface AttachmentObject extends KubeObject {
  spec: {
    attacher: string;
    nodeName: string;
    source: Source;
  };
  status?: { attached?: boolean };
}

export const volumeAttachment = defineKind<AttachmentObject>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "VolumeAttachment",
  plural: "volumeattachments",
  singular: "volumeattachment",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  unconditionalUpdate: false,
  ...withStatus(schemaName, { generation: false }),
  subresources: {
    status: statusSubresource(),
  },
  validate: validateAttachment,
  validateUpdate: (object, old) => [
    ...validateAttachment(object),
    ...(deepEqual(object.spec, old.spec) ? [] : [invalid("spec", object.spec, "field is immutable")]),
  ],
  columns: [
    nameColumn,
    { ...text("Attacher", "Driver that attaches.", ({ spec }) => spec.attacher), format: "name" },
    text("PV", "Volume that is attached.", ({ spec }) => spec.source.persistentVolumeName ?? ""),
    text("Node", "Node that it is attached to.", ({ spec }) => spec.nodeName),
    boolean("Attached", "Whether it is attached.", ({ status }) => status?.attached ?? false),
    ageColumn,
  ],
});

function validateAttachment({ spec }: AttachmentObject): FieldError[] {
  const { attacher, source, nodeName } = spec;
  const { persistentVolumeName: volume } = source;
  const at = "spec.source.persistentVolumeName";
  // Upstream validates in general first and then for this version.
  return [
    ...(attacher === "" ? [required("spec.attacher")] : []),
    ...sourceErrors(source),
    ...dnsSubdomainErrors(nodeName).map((each): FieldError => invalid("spec.nodeName", nodeName, each)),
    ...driverNameErrors(attacher, "spec.attacher"),
    ...(volume === undefined ? [] : dnsSubdomainErrors(volume).map((each) => invalid(at, volume, each))),
  ];
}

function sourceErrors({ persistentVolumeName: volume, inlineVolumeSpec: inline }: Source): FieldError[] {
  const at = "spec.source";
  const text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  if (volume === undefined && inline === undefined) return [required(at, text)];
  if (volume !== undefined && inline !== undefined) return [forbidden(at, text)];
  if (inline === undefined)
    return volume === ""
      ? [required(`${at}.persistentVolumeName`, "must specify non empty persistentVolumeName")]
      : [];
  const path = `${at}.inlineVolumeSpec`;
  const errors: FieldError[] = [];
  if (inline["csi"] === undefined)
    errors.push(required(`${path}.csi`, "has to be specified in the context of inline volumes"));
  if (((inline["accessModes"] as string[] | undefined) ?? []).length === 0)
    errors.push(required(`${path}.accessModes`));
  if (!Object.values(inline).some((each) => typeof each === "object" && !Array.isArray(each)))
    errors.push(required(path, "must specify a volume type"));
  return errors;
}
