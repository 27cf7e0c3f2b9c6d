/** The metadata fields that the server owns: filled in on create, carried over on update. */
import type { KubeObject, ObjectMeta } from "#kinds/object.ts";

/** What a client may not decide on create. */
export function wipeSystemFields(object: KubeObject): void {
  const { metadata } = object;
  delete metadata.uid;
  delete metadata.creationTimestamp;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
}

/** Carries over what a client may not change on update. A given uid is compared by the caller before. */
export function keepSystemFields(object: KubeObject, old: KubeObject): void {
  const { metadata } = object;
  const before = old.metadata;
  setOrDelete(metadata, "uid", metadata.uid ?? before.uid);
  setOrDelete(metadata, "creationTimestamp", before.creationTimestamp);
  setOrDelete(metadata, "deletionTimestamp", metadata.deletionTimestamp ?? before.deletionTimestamp);
  if (before.deletionGracePeriodSeconds !== undefined && metadata.deletionGracePeriodSeconds === undefined) {
    metadata.deletionGracePeriodSeconds = before.deletionGracePeriodSeconds;
  }
  setOrDelete(metadata, "selfLink", before.selfLink);
  setOrDelete(metadata, "generation", before.generation);
}

function setOrDelete<Key extends keyof ObjectMeta>(
  meta: ObjectMeta,
  key: Key,
  value: ObjectMeta[Key] | undefined,
): void {
  if (value === undefined) delete meta[key];
  else meta[key] = value;
}
