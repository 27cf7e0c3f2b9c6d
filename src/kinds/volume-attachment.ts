/** VolumeAttachment (storage.k8s.io/v1). */
import { ageColumn, boolean, nameColumn, text } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, invalid, required } from "./field-error.ts";
import { dnsSubdomainErrors } from "./names.ts";
import { driverNameErrors } from "./volumes.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.storage.v1.VolumeAttachment";

interface AttachmentObject extends KubeObject {
  spec: {
    attacher: string;
    nodeName: string;
    source: { persistentVolumeName?: string; inlineVolumeSpec?: unknown };
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
    text("Attacher", "Driver that attaches.", ({ spec }) => spec.attacher),
    text("PV", "Volume that is attached.", ({ spec }) => spec.source.persistentVolumeName ?? ""),
    text("Node", "Node that it is attached to.", ({ spec }) => spec.nodeName),
    boolean("Attached", "Whether it is attached.", ({ status }) => status?.attached ?? false),
    ageColumn,
  ],
});

function validateAttachment({ spec }: AttachmentObject): FieldError[] {
  const errors = driverNameErrors(spec.attacher, "spec.attacher");
  const { persistentVolumeName: volume, inlineVolumeSpec } = spec.source;
  if (volume === undefined && inlineVolumeSpec === undefined)
    errors.push(
      required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
    );
  if (volume !== undefined)
    errors.push(
      ...(volume === ""
        ? [required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")]
        : dnsSubdomainErrors(volume).map((each) =>
            invalid("spec.source.persistentVolumeName", volume, each),
          )),
    );
  errors.push(
    ...dnsSubdomainErrors(spec.nodeName).map((each): FieldError =>
      invalid("spec.nodeName", spec.nodeName, each),
    ),
  );
  return errors;
}
