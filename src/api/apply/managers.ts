/**
 * The managers of an object: its metadata.managedFields as a map from who (name, operation, version,
 * subresource) to what (a set of fields) and when. Order, identity and the cap on updaters are those of
 * k8s.io/apimachinery, pkg/util/managedfields.
 */
import type { ManagedFieldsEntry } from "#kinds/object.ts";
import { isObject } from "#api/patch/json.ts";
import { isEmpty, sortedSet, union } from "./field-set.ts";
import type { FieldSet } from "./field-set.ts";

export interface Manager {
  /** Without fields and time: what identifies the manager. For an applier without apiVersion too. */
  entry: ManagedFieldsEntry;
  apiVersion: string;
  fields: FieldSet;
  /** RFC 3339; an applier that never changed the object has none. */
  time: string | undefined;
}

/** By identity. Immutable by convention: changed maps are copies. */
export type Managers = ReadonlyMap<string, Manager>;

/** At most so many updaters are told apart; the oldest are merged into one entry. */
export const updateManagersMax = 10;

const oldUpdatesManager = "ancient-changes";

/** Undefined where an entry is malformed. */
export function decodeManagers(entries: readonly ManagedFieldsEntry[] | undefined): Managers | undefined {
  const result = new Map<string, Manager>();
  for (const entry of Array.isArray(entries) ? entries : []) {
    if (
      typeof entry !== "object" ||
      entry === null ||
      (entry.operation !== "Apply" && entry.operation !== "Update")
    )
      return undefined;
    if (entry.apiVersion === undefined || entry.apiVersion === "" || entry.fieldsType !== "FieldsV1")
      return undefined;
    if (entry.fieldsV1 !== undefined && !isObject(entry.fieldsV1)) return undefined;
    const identity = identityOf(entry);
    const id = idOf(identity);
    const fields = (entry.fieldsV1 ?? {}) as FieldSet;
    const known = result.get(id);
    result.set(id, {
      entry: identity,
      apiVersion: entry.apiVersion,
      fields: known === undefined ? fields : union(known.fields, fields),
      time: entry.time,
    });
  }
  return result;
}

/** The entries in upstream's order, or undefined when there are none. */
export function encodeManagers(managers: Managers): ManagedFieldsEntry[] | undefined {
  if (managers.size === 0) return undefined;
  return [...managers.values()]
    .map(({ entry, apiVersion, fields, time }) => ({
      ...(entry.manager === undefined ? {} : { manager: entry.manager }),
      ...(entry.operation === undefined ? {} : { operation: entry.operation }),
      apiVersion,
      ...(time === undefined ? {} : { time }),
      fieldsType: "FieldsV1" as const,
      fieldsV1: sortedSet(fields),
      ...(entry.subresource === undefined ? {} : { subresource: entry.subresource }),
    }))
    .sort(compareEntries);
}

/** The identity of a manager, as a key: sorts as upstream's does. */
export function idOf(identity: ManagedFieldsEntry): string {
  return JSON.stringify(identity);
}

export function identityOf(entry: ManagedFieldsEntry): ManagedFieldsEntry {
  const { manager, operation, apiVersion, subresource } = entry;
  return {
    ...(manager === undefined || manager === "" ? {} : { manager }),
    ...(operation === undefined ? {} : { operation }),
    ...(operation === "Apply" || apiVersion === undefined ? {} : { apiVersion }),
    ...(subresource === undefined || subresource === "" ? {} : { subresource }),
  };
}

/** Merges the oldest updaters of each version into one entry until no more than `updateManagersMax` are left. */
export function capUpdateManagers(managers: Managers): Managers {
  const updaters = [...managers].filter(([, each]) => each.entry.operation === "Update");
  if (updaters.length <= updateManagersMax) return managers;
  updaters.sort(([leftId, left], [rightId, right]) => {
    const byTime = (left.time ?? "").localeCompare(right.time ?? "");
    return byTime === 0 ? (leftId < rightId ? -1 : 1) : byTime;
  });
  const result = new Map(managers);
  const firstOfVersion = new Map<string, string>();
  let count = updaters.length;
  for (const [id, manager] of updaters) {
    if (count <= updateManagersMax) break;
    const { apiVersion } = manager;
    const first = firstOfVersion.get(apiVersion);
    if (first === undefined) {
      firstOfVersion.set(apiVersion, id);
      continue;
    }
    const identity = identityOf({ manager: oldUpdatesManager, operation: "Update", apiVersion });
    const bucketId = idOf(identity);
    const bucket = result.get(bucketId) ?? result.get(first);
    if (!result.has(bucketId)) result.delete(first);
    result.delete(id);
    result.set(bucketId, {
      entry: identity,
      apiVersion,
      fields: bucket === undefined ? manager.fields : union(manager.fields, bucket.fields),
      time: manager.time,
    });
    count--;
  }
  return result;
}

/** Managers that own nothing any more are gone. */
export function withoutIdle(managers: Managers): Managers {
  for (const manager of managers.values())
    if (isEmpty(manager.fields)) return new Map([...managers].filter(([, each]) => !isEmpty(each.fields)));
  return managers;
}

function compareEntries(left: ManagedFieldsEntry, right: ManagedFieldsEntry): number {
  return (
    compareText(left.operation, right.operation) ||
    compareText(left.time, right.time) ||
    compareText(left.manager, right.manager) ||
    compareText(left.apiVersion, right.apiVersion) ||
    compareText(left.subresource, right.subresource)
  );
}

function compareText(left = "", right = ""): number {
  return left === right ? 0 : left < right ? -1 : 1;
}
