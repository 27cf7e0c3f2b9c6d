/**
 * Field ownership: who set which field of an object, kept in metadata.managedFields at every write, and
 * server-side apply, which uses it to refuse, share and take back fields. The pipeline of upstream's
 * managers (k8s.io/apimachinery, pkg/util/managedfields) is here one function per operation.
 *
 * Kinds that are served in several versions are compared in the version of the request: the field names
 * of Trivet's such kinds agree wherever both have a field.
 */
import type { KubeObject, ManagedFieldsEntry } from "#kinds/object.ts";
import type { Schema } from "#kinds/schema.ts";
import { isGivenEmpty } from "#kinds/decode.ts";
import { findSchema } from "#kinds/schemas.ts";
import { cloneJson, equalJson, isObject } from "#api/patch/json.ts";
import { compareObjects, fieldsOf } from "./compare.ts";
import type { Comparison } from "./compare.ts";
import { conflictError, withoutFields } from "./conflict.ts";
import type { OwnedConflict } from "./conflict.ts";
import {
  difference,
  equalSets,
  FieldSetBuilder,
  intersection,
  isEmpty,
  recursiveDifference,
  union,
} from "./field-set.ts";
import type { FieldSet } from "./field-set.ts";
import { fieldsAgreedByClientSideApply, refreshLastApplied } from "./last-applied.ts";
import {
  capUpdateManagers,
  decodeManagers,
  encodeManagers,
  idOf,
  identityOf,
  withoutIdle,
} from "./managers.ts";
import type { Manager, Managers } from "./managers.ts";
import { mergeConfig, removeFields, withNamedFields } from "./merge.ts";
import { resolveSchema } from "./schema-tree.ts";
import type { SchemaLookup } from "./schema-tree.ts";
import { requireTyped } from "./validate-typed.ts";

interface FieldsRequest {
  /** The field manager's name. */
  manager: string;
  /** "status", "scale", …; undefined or empty for the resource itself. */
  subresource?: string | undefined;
  /** apiVersion of the request's objects. */
  apiVersion: string;
  schema: Schema | undefined;
  /** RFC 3339, whole seconds. Undefined: the entry keeps its time, or has none (writes to /scale). */
  now: string | undefined;
  /** Dotted paths of fields that this endpoint never changes, hence its writers never own. */
  resetFields?: readonly string[] | undefined;
  lookup?: SchemaLookup;
}

export interface UpdateFieldsRequest extends FieldsRequest {
  /** The stored object; undefined for a creation. Not changed. */
  live: KubeObject | undefined;
  /** The object to be stored, decoded and defaulted. Its metadata.managedFields is replaced. */
  updated: KubeObject;
  /** An object of the kind with nothing set: what a creation is compared with. Default: {}. */
  blank?: Record<string, unknown> | undefined;
  operation?: "Update";
}

/** Records a create, update or patch in `updated.metadata.managedFields`. */
export function updateManagedFields(request: UpdateFieldsRequest): void {
  const { live, updated, subresource } = request;
  const requested = updated.metadata?.managedFields;
  if (updated.metadata === undefined) return;
  const isSubresource = subresource !== undefined && subresource !== "";
  const managers = managersOf(live, updated, requested, isSubresource);
  setManagedFields(updated, undefined);
  // An object whose tracking was switched off (no managers) stays untracked until it is applied.
  if (managers.size === 0 && live?.metadata.uid !== undefined) return;
  setManagedFields(updated, encodeManagers(capUpdateManagers(track(request, live, updated, managers))));
}

export interface ApplyRequest extends FieldsRequest {
  /** The stored object; undefined where the apply creates. Not changed. */
  live: KubeObject | undefined;
  /** The configuration that the manager wants. Must have no managedFields. */
  applied: KubeObject;
  force: boolean;
}

/**
 * Server-side apply: the live object with the configuration merged in, fields that the manager no longer
 * applies removed (unless others own them), and managedFields brought up to date. Throws Conflict with
 * one cause per field that others own with another value, unless forced. The result is not defaulted.
 */
export function applyPatch(request: ApplyRequest): KubeObject {
  const { live, applied, manager, subresource, apiVersion, schema, now, lookup = findSchema } = request;
  const resolved = resolveSchema(schema, lookup);
  const configuration = withoutManagedFields(applied);
  requireTyped(configuration, resolved, lookup);
  const base = live === undefined ? {} : withoutManagedFields(live);
  let managers = decodeManagers(live?.metadata.managedFields) ?? new Map<string, Manager>();
  if (managers.size === 0 && live !== undefined)
    managers = track({ ...request, manager: "before-first-apply" }, undefined, live, managers);

  const identity = identityOf({
    manager,
    operation: "Apply",
    ...(subresource === undefined || subresource === "" ? {} : { subresource }),
  });
  const id = idOf(identity);
  const last = managers.get(id);
  const ignored = resetSet(request.resetFields);
  const applier: Manager = {
    entry: identity,
    apiVersion,
    fields: recursiveDifference(fieldsOf(configuration, resolved, lookup), ignored),
    time: last?.time,
  };
  const owners = new Map(managers).set(id, applier);
  const merged = prune(
    mergeConfig(base, configuration, resolved, lookup),
    last,
    owners,
    resolved,
    lookup,
  ) as KubeObject;

  const changes = without(compareObjects(base, merged, resolved, lookup), ignored);
  const conflicts = conflictsOf(owners, id, changes);
  if (!request.force && conflicts.length > 0) {
    // kubectl may take over what its own client-side apply set before.
    const allowed =
      manager === "kubectl" && live !== undefined
        ? fieldsAgreedByClientSideApply(live, resolved, lookup)
        : undefined;
    const left = allowed === undefined ? conflicts : withoutFields(conflicts, allowed);
    if (left.length > 0) throw conflictError(left);
  }
  const isNoop = live !== undefined && equalJson(base, merged);
  const result = cloneJson(isNoop ? (base as KubeObject) : merged);
  const settled = new Map(withoutIdle(releaseOthers(owners, id, changes)));
  const self = settled.get(id);
  if (self !== undefined) {
    const fields = difference(self.fields, systemFields);
    if (isEmpty(fields)) settled.delete(id);
    else settled.set(id, { ...self, fields, time: isNoop ? self.time : (now ?? self.time) });
  }
  result.metadata ??= {};
  if (manager === "kubectl") refreshLastApplied(result, configuration);
  setManagedFields(result, encodeManagers(settled));
  return result;
}

/**
 * Keeps the times of managedFields where a write changes nothing but them, so that it changes nothing at
 * all. To be called last before an update or patch is stored.
 */
export function keepTimesIfUnchanged(updated: KubeObject, live: KubeObject): void {
  const before = live.metadata.managedFields;
  const after = updated.metadata.managedFields;
  if (before === undefined || after?.length !== before.length) return;
  const withoutTime = (entries: readonly ManagedFieldsEntry[]) =>
    entries.map(({ time: _time, ...rest }) => rest);
  if (!equalJson(withoutTime(before), withoutTime(after))) return;
  if (equalJson(withoutManagedFields(live), withoutManagedFields(updated)))
    updated.metadata.managedFields = cloneJson(before);
}

/** The managers after `manager` has changed `live` into `updated`. */
function track(
  request: FieldsRequest & { blank?: Record<string, unknown> | undefined },
  live: KubeObject | undefined,
  updated: KubeObject,
  managers: Managers,
): Managers {
  const { apiVersion, manager, subresource, schema, lookup = findSchema } = request;
  const changes = without(
    compareObjects(
      live === undefined ? (request.blank ?? {}) : withoutManagedFields(live),
      withoutManagedFields(updated),
      resolveSchema(schema, lookup),
      lookup,
    ),
    resetSet(request.resetFields),
  );
  const result = new Map(withoutIdle(releaseOthers(managers, undefined, changes)));
  const taken = difference(union(changes.modified, changes.added), systemFields);
  if (isEmpty(taken)) return result;
  const identity = identityOf({
    manager,
    operation: "Update",
    apiVersion,
    ...(subresource === undefined || subresource === "" ? {} : { subresource }),
  });
  const id = idOf(identity);
  const known = result.get(id);
  result.set(id, {
    entry: identity,
    apiVersion,
    fields: known === undefined ? taken : union(known.fields, taken),
    time: request.now ?? known?.time,
  });
  return result;
}

/** Takes changed and removed fields from all managers but one. */
function releaseOthers(managers: Managers, self: string | undefined, changes: Comparison): Managers {
  const changed = union(union(changes.modified, changes.added), changes.removed);
  if (isEmpty(changed)) return managers;
  const result = new Map<string, Manager>();
  for (const [id, each] of managers) {
    const fields = id === self ? each.fields : difference(each.fields, changed);
    result.set(id, equalSets(fields, each.fields) ? each : { ...each, fields });
  }
  return result;
}

function conflictsOf(managers: Managers, self: string, changes: Comparison): OwnedConflict[] {
  const changed = union(changes.modified, changes.added);
  const result: OwnedConflict[] = [];
  for (const [id, manager] of managers) {
    if (id === self) continue;
    const fields = intersection(manager.fields, changed);
    if (!isEmpty(fields)) result.push({ id, manager, fields });
  }
  return result;
}

/**
 * Removes what the applier applied last time and not now, but for what other appliers own and what its
 * last configuration did not contain.
 */
function prune(
  merged: unknown,
  last: Manager | undefined,
  managers: Managers,
  schema: Schema | undefined,
  lookup: SchemaLookup,
): unknown {
  if (last === undefined || isEmpty(last.fields)) return merged;
  const named = (set: FieldSet) => withNamedFields(set, schema, lookup);
  const fields = (value: unknown) => named(fieldsOf(value ?? {}, schema, lookup));
  const lastFields = named(last.fields);
  const mergedFields = fields(merged);
  let owned: FieldSet = {};
  for (const each of managers.values())
    if (each.entry.operation === "Apply") owned = union(owned, each.fields);
  const pruned = removeFields(merged, lastFields, schema, lookup);
  const restored = removeFields(
    merged,
    difference(mergedFields, union(fields(pruned), named(owned))),
    schema,
    lookup,
  );
  const gone = intersection(difference(mergedFields, fields(restored)), lastFields);
  return removeFields(merged, gone, schema, lookup) ?? {};
}

function without({ added, modified, removed }: Comparison, ignored: FieldSet): Comparison {
  if (isEmpty(ignored)) return { added, modified, removed };
  return {
    added: recursiveDifference(added, ignored),
    modified: recursiveDifference(modified, ignored),
    removed: recursiveDifference(removed, ignored),
  };
}

/**
 * The managers that a write starts from: those that it sends itself (which is how clients edit
 * managedFields), else the live ones. A single empty entry asks for none at all.
 */
function managersOf(
  live: KubeObject | undefined,
  updated: KubeObject,
  requested: readonly ManagedFieldsEntry[] | undefined,
  isSubresource: boolean,
): Managers {
  const current = () => decodeManagers(live?.metadata.managedFields) ?? new Map<string, Manager>();
  if (isSubresource) return current();
  const [only] = requested ?? [];
  if (isGivenEmpty(updated.metadata, "managedFields")) return new Map();
  if (requested?.length === 1 && only !== undefined && Object.keys(only).length === 0) return new Map();
  const sent = decodeManagers(requested);
  return sent === undefined || sent.size === 0 ? current() : sent;
}

function resetSet(paths: readonly string[] | undefined): FieldSet {
  const set = new FieldSetBuilder();
  for (const path of paths ?? []) set.add(path.split(".").map((name) => `f:${name}`));
  return set.build();
}

/** Fields that the server alone sets: nobody owns them. */
const systemFields: FieldSet = (() => {
  const set = new FieldSetBuilder();
  for (const name of ["apiVersion", "kind", "metadata"]) set.add([`f:${name}`]);
  for (const name of [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
  ])
    set.add(["f:metadata", `f:${name}`]);
  return set.build();
})();

function withoutManagedFields(object: KubeObject): KubeObject {
  if (!isObject(object.metadata) || object.metadata.managedFields === undefined) return object;
  const { managedFields: _managedFields, ...metadata } = object.metadata;
  return { ...object, metadata };
}

function setManagedFields(object: KubeObject, entries: ManagedFieldsEntry[] | undefined): void {
  if (entries !== undefined) object.metadata.managedFields = entries;
  else delete object.metadata.managedFields;
}
