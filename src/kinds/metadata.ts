/**
 * Validation of `metadata`, the same for every kind (k8s.io/apimachinery, api/validation): names,
 * labels, annotations, finalizers, owner references, and what an update must not change.
 */
import { deepEqual } from "./equality.ts";
import { type FieldError, forbidden, invalid, required, tooLong } from "./field-error.ts";
import { goStrings } from "./go-syntax.ts";
import type { KindDefinition } from "./kind.ts";
import {
  dnsLabelErrors,
  dnsSubdomainErrors,
  labelValueErrors,
  nameRule,
  qualifiedNameErrors,
} from "./names.ts";
import type { KubeObject, ObjectMeta, OwnerReference } from "./object.ts";

const annotationsLimitBytes = 256 * 1024;
const standardFinalizers = ["kubernetes", "orphan", "foregroundDeletion"];

type NamedKind = Pick<KindDefinition, "namespaced" | "validateName" | "looseFinalizers"> & {
  group?: string;
  kind?: string;
};

/** Groups whose kinds upstream validates without the rule that finalizers are qualified. */
const looseFinalizerGroups = [
  "admissionregistration.k8s.io",
  "apiextensions.k8s.io",
  "apiregistration.k8s.io",
  "coordination.k8s.io",
  "policy",
];

/** Validates the metadata of an object that is being created (or a template's, by `path`). */
export function validateMetadata(object: KubeObject, kind: NamedKind, path = "metadata"): FieldError[] {
  const { metadata } = object;
  const errors: FieldError[] = [];
  const check = kind.validateName ?? nameRule(dnsSubdomainErrors);
  if (metadata.generateName !== undefined && metadata.generateName !== "")
    errors.push(
      ...check(metadata.generateName, true).map((each) =>
        invalid(`${path}.generateName`, metadata.generateName, each),
      ),
    );
  const name = metadata.name ?? "";
  if (name === "") errors.push(required(`${path}.name`, "name or generateName is required"));
  else errors.push(...check(name, false).map((each) => invalid(`${path}.name`, name, each)));
  const namespace = metadata.namespace ?? "";
  if (kind.namespaced) {
    if (namespace === "") errors.push(required(`${path}.namespace`));
    else
      errors.push(...dnsLabelErrors(namespace).map((each) => invalid(`${path}.namespace`, namespace, each)));
  } else if (namespace !== "") errors.push(forbidden(`${path}.namespace`, "not allowed on this type"));
  if ((metadata.generation ?? 0) < 0)
    errors.push(invalid(`${path}.generation`, metadata.generation, "must be greater than or equal to 0"));
  return [...errors, ...partsOf(metadata, kind, path)];
}

function partsOf(metadata: ObjectMeta, kind: NamedKind, path: string): FieldError[] {
  const parts = validateMetadataParts(metadata, path);
  const loose =
    kind.looseFinalizers === true ||
    looseFinalizerGroups.includes(kind.group ?? "") ||
    (kind.group === "" && kind.kind === "Event");
  return loose ? parts.filter((each) => !each.field.startsWith(`${path}.finalizers[`)) : parts;
}

/** What an update must not change; the rest as on creation, without the name. */
export function validateMetadataUpdate(
  object: KubeObject,
  old: KubeObject,
  kind: NamedKind,
  path = "metadata",
): FieldError[] {
  const current = object.metadata;
  const before = old.metadata;
  const errors: FieldError[] = [];
  if (before.deletionTimestamp !== undefined) {
    const added = (current.finalizers ?? []).filter((each) => !(before.finalizers ?? []).includes(each));
    if (added.length > 0)
      errors.push(
        forbidden(
          `${path}.finalizers`,
          `no new finalizers can be added if the object is being deleted, found new finalizers ${goStrings(added.sort()).goSyntax}`,
        ),
      );
  }
  if ((current.generation ?? 0) < (before.generation ?? 0))
    errors.push(invalid(`${path}.generation`, current.generation ?? 0, "must not be decremented"));
  for (const field of [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ] as const)
    if (!deepEqual(current[field], before[field]))
      errors.push(invalid(`${path}.${field}`, timeOf(field, current[field]), "field is immutable"));
  return [...errors, ...partsOf(current, kind, path)];
}

/** Labels, annotations, owner references and finalizers. */
export function validateMetadataParts(metadata: ObjectMeta, path: string): FieldError[] {
  return [
    ...validateLabels(metadata.labels, `${path}.labels`),
    ...validateAnnotations(metadata.annotations, `${path}.annotations`),
    ...validateOwnerReferences(metadata.ownerReferences ?? [], `${path}.ownerReferences`),
    ...validateFinalizers(metadata.finalizers ?? [], `${path}.finalizers`),
  ];
}

/** Removes repeated owner references (same uid). Returns the warning that upstream gives, if there were any. */
export function dedupeOwnerReferences(object: KubeObject): string | undefined {
  const references = object.metadata.ownerReferences;
  if (references === undefined) return undefined;
  const kept = new Map<string, OwnerReference>();
  const repeated: string[] = [];
  for (const each of references) {
    if (kept.has(each.uid)) repeated.push(each.uid);
    else kept.set(each.uid, each);
  }
  if (repeated.length === 0) return undefined;
  object.metadata.ownerReferences = [...kept.values()];
  return `.metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${[...new Set(repeated)].join(",")}`;
}

export function validateLabels(labels: Record<string, string> | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of sortedEntries(labels)) {
    errors.push(...qualifiedNameErrors(key).map((each) => invalid(path, key, each)));
    errors.push(...labelValueErrors(value).map((each) => invalid(path, value, each)));
  }
  return errors;
}

export function validateAnnotations(
  annotations: Record<string, string> | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let sizeBytes = 0;
  for (const [key, value] of sortedEntries(annotations)) {
    errors.push(...qualifiedNameErrors(key.toLowerCase()).map((each) => invalid(path, key, each)));
    sizeBytes += byteLength(key) + byteLength(value);
  }
  if (sizeBytes > annotationsLimitBytes) errors.push(tooLong(path, annotationsLimitBytes));
  return errors;
}

/** Length of a text in UTF-8. */
export function byteLength(text: string): number {
  let length = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x80) length += 1;
    else if (code < 0x800) length += 2;
    else if (code >= 0xd800 && code < 0xdc00) {
      length += 4;
      index += 1;
    } else length += 3;
  }
  return length;
}

export function sortedEntries<T>(map: Readonly<Record<string, T>> | undefined): [string, T][] {
  return Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function validateOwnerReferences(references: readonly OwnerReference[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  let controller: OwnerReference | undefined;
  for (const each of references) {
    const [group = "", version = ""] = each.apiVersion?.includes("/")
      ? each.apiVersion.split("/")
      : ["", each.apiVersion ?? ""];
    if (version === "")
      errors.push(invalid(`${path}.apiVersion`, each.apiVersion ?? "", "version must not be empty"));
    if (!each.kind) errors.push(invalid(`${path}.kind`, "", "kind must not be empty"));
    if (!each.name) errors.push(invalid(`${path}.name`, "", "name must not be empty"));
    if (!each.uid) errors.push(invalid(`${path}.uid`, "", "uid must not be empty"));
    if (group === "" && version === "v1" && each.kind === "Event")
      errors.push(
        invalid(path, { goSyntax: goOwner(each) }, "/v1, Kind=Event is disallowed from being an owner"),
      );
    if (each.controller !== true) continue;
    if (controller !== undefined) {
      const list = references.map(goOwner).join(", ");
      errors.push(
        invalid(
          path,
          { goSyntax: `[]v1.OwnerReference{${list}}` },
          `Only one reference can have Controller set to true. Found "true" in references for ${controller.kind}/${controller.name} and ${each.kind}/${each.name}`,
        ),
      );
    } else controller = each;
  }
  return errors;
}

function validateFinalizers(finalizers: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  let foreground = false;
  let orphan = false;
  for (const [index, each] of finalizers.entries()) {
    foreground ||= each === "foregroundDeletion";
    orphan ||= each === "orphan";
    errors.push(...qualifiedNameErrors(each).map((text) => invalid(path, each, text)));
    if (!each.includes("/") && !standardFinalizers.includes(each))
      errors.push(
        invalid(
          `${path}[${index}]`,
          each,
          "name is neither a standard finalizer name nor is it fully qualified",
        ),
      );
  }
  if (foreground && orphan)
    errors.push(
      invalid(
        path,
        { goSyntax: goStrings(finalizers).goSyntax },
        `finalizers orphan and foregroundDeletion cannot be both set`,
      ),
    );
  return errors;
}

function goOwner(owner: OwnerReference): string {
  const flag = (value: boolean | undefined): string =>
    `(*bool)(${value === undefined ? "nil" : "0xc000000000"})`;
  return `v1.OwnerReference{APIVersion:${JSON.stringify(owner.apiVersion ?? "")}, Kind:${JSON.stringify(owner.kind ?? "")}, Name:${JSON.stringify(owner.name ?? "")}, UID:${JSON.stringify(owner.uid ?? "")}, Controller:${flag(owner.controller)}, BlockOwnerDeletion:${flag(owner.blockOwnerDeletion)}}`;
}

function timeOf(field: string, value: unknown): unknown {
  if (!field.endsWith("Timestamp") || typeof value !== "string") return value;
  return { goSyntax: `${value.slice(0, 10)} ${value.slice(11, 19)} +0000 UTC` };
}
