/**
 * Parts that most kinds' strategies are made of: status that clients of the main resource can't
 * write, generations that count changes of the spec, and the `status` subresource.
 */
import { zeroOf } from "./zero-values.ts";
import { deepEqual } from "./equality.ts";
import type { FieldError } from "./field-error.ts";
import type { StrategyContext, Subresource, Verb } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { referencedName, schemaOf } from "./schemas.ts";

/** Verbs of an ordinary stored resource. */
export const allVerbs: readonly Verb[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];
export const createOnly: readonly Verb[] = ["create"];
export const objectVerbs: readonly Verb[] = ["get", "patch", "update"];
export const proxyVerbs: readonly Verb[] = ["create", "delete", "get", "patch", "update"];

/** Makes `status` what a new object has. */
export function clearStatus(object: KubeObject, schemaName: string): void {
  const schema = schemaOf(schemaName).properties?.["status"];
  const name = schema === undefined ? undefined : referencedName(schema);
  if (name === undefined || schema?.default === undefined) delete object["status"];
  else object["status"] = zeroOf(name);
}

/** Takes a top-level field from the stored object. */
export function keepField(object: KubeObject, old: KubeObject, field: string): void {
  if (old[field] === undefined) delete object[field];
  else object[field] = old[field];
}

/** Sets the generation: 1 for a new object. */
export function startGeneration(object: KubeObject): void {
  object.metadata.generation = 1;
}

/** Counts the generation up where one of the fields has changed; otherwise it stays the stored one. */
export function countGeneration(
  object: KubeObject,
  old: KubeObject,
  fields: readonly string[] = ["spec"],
): void {
  const generation = old.metadata.generation ?? 0;
  const changed = fields.some((field) => !deepEqual(object[field], old[field]));
  object.metadata.generation = changed ? generation + 1 : generation;
  if (object.metadata.generation === 0) delete object.metadata.generation;
}

interface StatusStrategy<T extends KubeObject> {
  prepareCreate(object: T, context: StrategyContext): void;
  prepareUpdate(object: T, old: T, context: StrategyContext): void;
  resetFields: readonly string[];
}

/** A kind with a status: cleared on creation, kept on update; generation counted unless told otherwise. */
export function withStatus<T extends KubeObject>(
  schemaName: string,
  options: { generation?: boolean } = {},
): StatusStrategy<T> {
  const counts = options.generation ?? true;
  return {
    prepareCreate(object) {
      clearStatus(object, schemaName);
      if (counts) startGeneration(object);
    },
    prepareUpdate(object, old) {
      keepField(object, old, "status");
      if (counts) countGeneration(object, old);
    },
    resetFields: ["status"],
  };
}

/** A kind without a status whose generation counts changes of the named fields. */
export function withGeneration<T extends KubeObject>(
  fields: readonly string[],
): Pick<StatusStrategy<T>, "prepareCreate" | "prepareUpdate"> {
  return {
    prepareCreate: startGeneration,
    prepareUpdate(object, old) {
      countGeneration(object, old, fields);
    },
  };
}

/** What of the metadata clients write, without the owners of fields. */
function keepWrittenMetadata({ metadata }: KubeObject, old: KubeObject): void {
  for (const field of ["labels", "annotations", "finalizers", "ownerReferences"] as const) {
    delete metadata[field];
    if (old.metadata[field] !== undefined) Object.assign(metadata, { [field]: old.metadata[field] });
  }
}

/** The `status` subresource: everything but metadata and status stays as stored. */
export function statusSubresource<T extends KubeObject>(
  options: {
    keepLabels?: boolean;
    keepMetadata?: boolean;
    validateUpdate?: (object: T, old: T) => FieldError[];
  } = {},
): Subresource<T> {
  return {
    verbs: objectVerbs,
    prepareUpdate(object, old) {
      for (const field of new Set([...Object.keys(object), ...Object.keys(old)]))
        if (!["metadata", "status", "kind", "apiVersion"].includes(field)) keepField(object, old, field);
      if (options.keepMetadata === true) keepWrittenMetadata(object, old);
      if (options.keepLabels === true) {
        if (old.metadata.labels === undefined) delete object.metadata.labels;
        else object.metadata.labels = old.metadata.labels;
      }
      if (old.metadata.generation === undefined) delete object.metadata.generation;
      else object.metadata.generation = old.metadata.generation;
    },
    ...(options.validateUpdate === undefined ? {} : { validateUpdate: options.validateUpdate }),
  };
}

/** The `scale` subresource; the API converts between the object and autoscaling/v1 Scale by the kind's `scale` paths. */
export const scaleSubresource: Subresource = {
  speaks: { group: "autoscaling", version: "v1", kind: "Scale" },
  verbs: objectVerbs,
};
