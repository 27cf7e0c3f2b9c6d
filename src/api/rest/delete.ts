/**
 * DELETE of one object and of a collection: preconditions, graceful deletion, finalizers and propagation
 * policies (k8s.io/apiserver, pkg/registry/rest/delete.go and generic/registry/store.go).
 */
import { decode } from "#kinds/decode.ts";
import type { KubeObject } from "#kinds/object.ts";
import { timestamp } from "../api-core.ts";
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import type { Entry } from "../cache/entry.ts";
import type { Resource } from "../registry.ts";
import { badRequest, conflictError, notFoundError, successStatus, unclassifiedError } from "../status.ts";
import type { GroupResource } from "../status.ts";
import type { CurrentState } from "../storage/object-store.ts";
import { parseBody } from "../wire/body.ts";
import { bodyFormat } from "../wire/negotiate.ts";
import type { Answer } from "./answer.ts";
import { readListOptions } from "./list-options.ts";
import { readPage } from "./read.ts";
import { placeOf } from "./stored.ts";
import { liveObject } from "./versions.ts";
import { readDeleteOptions } from "./write-options.ts";
import type { DeleteOptions } from "./write-options.ts";

/** Kinds whose deletion answers the object; all others answer a Status. */
const returnsObject: ReadonlySet<string> = new Set([
  "pods",
  "podtemplates",
  "resourcequotas",
  "services",
  "serviceaccounts",
  "persistentvolumes",
  "persistentvolumeclaims",
  "csidrivers.storage.k8s.io",
  "csinodes.storage.k8s.io",
  "storageclasses.storage.k8s.io",
  "volumeattachments.storage.k8s.io",
]);

export async function deleteObject(core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const options = readDeleteOptions(request.http, request.query, readBody(request));
  warnOfOrphans(request, options);
  const { entry, deleted } = await deleteOne(core, request, request.info.name, options);
  const { resource } = request;
  const plural =
    resource.kind.group === "" ? resource.kind.plural : `${resource.kind.plural}.${resource.kind.group}`;
  if (!deleted || returnsObject.has(plural)) return { type: "entry", status: 200, resource, entry };
  const object = successStatus({
    name: entry.name,
    ...(resource.kind.group === "" ? {} : { group: resource.kind.group }),
    kind: resource.kind.plural,
    uid: entry.decode().metadata.uid ?? "",
  });
  return { type: "object", status: 200, resource: undefined, object };
}

export async function deleteCollection(core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const options = readDeleteOptions(request.http, request.query, readBody(request));
  const listOptions = readListOptions(request.resource, request.query, false);
  warnOfOrphans(request, options);
  const list = await readPage(core, request, listOptions);
  for (const entry of list.entries) {
    try {
      await deleteOne(core, { ...request, namespace: entry.namespace }, entry.name, options);
    } catch (error) {
      if ((error as { reason?: string }).reason !== "NotFound") throw error;
    }
  }
  // Shown as they were before.
  return { type: "list", resource: request.resource, list };
}

/** Jobs alone still leave their pods behind when the client does not say what to do with them. */
function warnOfOrphans({ resource, warnings }: ResourceRequest, options: DeleteOptions): void {
  const { group, plural } = resource.kind;
  if (group !== "batch" || plural !== "jobs") return;
  if (options.propagationPolicy !== undefined || options.orphanDependents !== undefined) return;
  warnings.push(
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning",
  );
}

function readBody(request: ResourceRequest): Record<string, unknown> | undefined {
  const { http } = request;
  if (http.body.byteLength === 0) return undefined;
  bodyFormat(http);
  const { value } = parseBody(http, "DeleteOptions");
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest("the object provided is unrecognized (must be of type DeleteOptions)");
  }
  const given = value as Record<string, unknown>;
  const kind = given["kind"] as string | undefined;
  if (kind !== undefined && kind !== "DeleteOptions") {
    throw unclassifiedError(
      `no kind "${kind}" is registered for version "${(given["apiVersion"] as string | undefined) ?? ""}" in scheme "pkg/apis/meta/internalversion/scheme/register.go:27"`,
    );
  }
  const decoded = decode("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", given);
  const problem = decoded.errors[0];
  if (problem !== undefined) throw badRequest(problem);
  return decoded.object;
}

/** Deletes, or marks as being deleted. `deleted`: the object is gone. */
export async function deleteOne(
  core: ApiCore,
  request: ResourceRequest,
  name: string,
  options: DeleteOptions,
): Promise<{ entry: Entry; deleted: boolean }> {
  const { resource } = request;
  const place = placeOf(resource, request.namespace, name);
  const control = { dryRun: options.dryRun, fenceTerm: options.fenceTerm };
  const admission = {
    operation: "DELETE" as const,
    resource,
    subresource: "",
    namespace: request.namespace,
    name,
    object: undefined,
    user: request.user,
    dryRun: options.dryRun,
    warnings: request.warnings,
    now: request.now,
  };
  await core.admission.admit({ ...admission, old: undefined });
  let finishNow = false;
  const result = await core.store.update(place, control, async (current) => {
    finishNow = false;
    if (current === undefined) throw notFoundError(resource.groupResource, name);
    checkPreconditions(resource, current, options);
    const old = await liveObject(resource, current);
    await core.admission.validate({ ...admission, old });
    const plan = planDeletion(core, resource, structuredClone(current.object), options);
    if (plan.type === "delete") {
      return { type: "delete", object: current.object, companions: resource.companions?.(undefined, old) };
    }
    finishNow = plan.thenDelete;
    return { type: "put", object: plan.object };
  });
  if (result.deleted) return { entry: shownAt(result), deleted: true };
  if (!finishNow) return { entry: result.entry, deleted: false };
  if (options.dryRun) return { entry: result.entry, deleted: true };
  return { entry: await removeNow(core, place, result.entry, options), deleted: true };
}

/** A graceful deletion with grace period 0 is written, so that watchers see it, and then carried out. */
async function removeNow(
  core: ApiCore,
  place: ReturnType<typeof placeOf>,
  shown: Entry,
  options: DeleteOptions,
): Promise<Entry> {
  try {
    const removed = await core.store.update(place, { fenceTerm: options.fenceTerm }, (current) => {
      if (current === undefined || current.entry.decode().metadata.uid !== shown.decode().metadata.uid) {
        throw notFoundError(place.groupResource, place.name);
      }
      return { type: "delete", object: current.object };
    });
    return shown.atRevision(removed.revision);
  } catch (error) {
    // Somebody else has deleted it between the two writes: what was asked for.
    if ((error as { reason?: string }).reason !== "NotFound") throw error;
    return shown;
  }
}

/** A deleted object is shown with the revision of its deletion. */
function shownAt(result: { entry: Entry; revision: number }): Entry {
  return result.revision === result.entry.revision ? result.entry : result.entry.atRevision(result.revision);
}

type DeletionPlan = { type: "delete" } | { type: "put"; object: KubeObject; thenDelete: boolean };

function planDeletion(
  core: ApiCore,
  resource: Resource,
  object: KubeObject,
  options: DeleteOptions,
): DeletionPlan {
  if (resource.kind.group === "" && resource.kind.plural === "namespaces") {
    return planNamespaceDeletion(core, resource, object, options);
  }
  const nowMs = core.clock.nowMs();
  if (object.metadata.deletionTimestamp === undefined)
    resource.kind.deletion?.prepareDelete?.(object, timestamp(nowMs));
  const graceful = planGrace(resource, object, options, nowMs);
  const finalizersChanged = setPropagationFinalizers(resource, object, options);
  const hasFinalizers = (object.metadata.finalizers ?? []).length > 0;
  if (graceful === "pending" && !finalizersChanged) return { type: "put", object, thenDelete: false };
  if (hasFinalizers) {
    // Finalizers wait beside a grace period, not instead of it.
    if (graceful === "none") markAsDeleting(object, nowMs);
    if (isDefinition(resource)) delete object.metadata.deletionGracePeriodSeconds;
    return { type: "put", object, thenDelete: false };
  }
  if (graceful === "none") return { type: "delete" };
  const period = object.metadata.deletionGracePeriodSeconds ?? 0;
  return { type: "put", object, thenDelete: period === 0 };
}

/** Sets the deletion's time for kinds that are deleted gracefully. "pending": it was being deleted already. */
function planGrace(
  resource: Resource,
  object: KubeObject,
  options: DeleteOptions,
  nowMs: number,
): "none" | "pending" | "started" {
  const { metadata } = object;
  if (metadata.deletionTimestamp !== undefined) {
    const before = metadata.deletionGracePeriodSeconds;
    if (before === undefined || before === 0) return "none";
    const wanted = options.gracePeriodSeconds;
    if (wanted === undefined || wanted >= before) return "pending";
    const endMs = Date.parse(metadata.deletionTimestamp) + (wanted - before) * 1000;
    metadata.deletionTimestamp = timestamp(endMs);
    metadata.deletionGracePeriodSeconds = wanted;
    return "started";
  }
  const own = resource.kind.deletion?.gracePeriodSeconds?.(object);
  if (own === undefined) return "none";
  let period = own === 0 ? 0 : (options.gracePeriodSeconds ?? own);
  if (period < 0) period = 1;
  metadata.deletionTimestamp = timestamp(nowMs + period * 1000);
  metadata.deletionGracePeriodSeconds = period;
  if ((metadata.generation ?? 0) > 0) metadata.generation = (metadata.generation ?? 0) + 1;
  return "started";
}

function markAsDeleting(object: KubeObject, nowMs: number): void {
  const { metadata } = object;
  if (metadata.deletionGracePeriodSeconds === undefined && (metadata.generation ?? 0) > 0) {
    metadata.generation = (metadata.generation ?? 0) + 1;
  }
  if (metadata.deletionTimestamp === undefined || Date.parse(metadata.deletionTimestamp) > nowMs) {
    metadata.deletionTimestamp = timestamp(nowMs);
  }
  metadata.deletionGracePeriodSeconds = 0;
}

/** Adds or removes the finalizers that tell the garbage collector what to do. Returns whether that changed them. */
function setPropagationFinalizers(resource: Resource, object: KubeObject, options: DeleteOptions): boolean {
  const before = object.metadata.finalizers ?? [];
  const kept = before.filter((each) => each !== "orphan" && each !== "foregroundDeletion");
  const wanted = propagationFinalizer(resource, before, options);
  const after = wanted === undefined ? kept : [...kept, wanted];
  const isSame = after.length === before.length && after.every((each) => before.includes(each));
  if (isSame) return false;
  if (after.length === 0) delete object.metadata.finalizers;
  else object.metadata.finalizers = after;
  return true;
}

function propagationFinalizer(
  resource: Resource,
  before: readonly string[],
  options: DeleteOptions,
): "orphan" | "foregroundDeletion" | undefined {
  if (resource.kind.group === "" && resource.kind.plural === "events") return undefined;
  if (options.orphanDependents !== undefined) return options.orphanDependents ? "orphan" : undefined;
  if (options.propagationPolicy !== undefined) {
    if (options.propagationPolicy === "Orphan") return "orphan";
    return options.propagationPolicy === "Foreground" ? "foregroundDeletion" : undefined;
  }
  if (before.includes("orphan")) return "orphan";
  if (before.includes("foregroundDeletion")) return "foregroundDeletion";
  return resource.kind.deletion?.defaultPropagation === "orphan" ? "orphan" : undefined;
}

/** A namespace is emptied by its controller: it stays until its own finalizers are gone. */
function planNamespaceDeletion(
  core: ApiCore,
  resource: Resource,
  object: KubeObject,
  options: DeleteOptions,
): DeletionPlan {
  const spec = object["spec"] as { finalizers?: string[] } | undefined;
  const isEmptied = (spec?.finalizers ?? []).length === 0;
  if (object.metadata.deletionTimestamp === undefined) {
    object.metadata.deletionTimestamp = timestamp(core.clock.nowMs());
    object["status"] = { ...(object["status"] as object | undefined), phase: "Terminating" };
    setPropagationFinalizers(resource, object, options);
    if (isEmptied && (object.metadata.finalizers ?? []).length === 0) return { type: "delete" };
    return { type: "put", object, thenDelete: false };
  }
  if (isEmptied && (object.metadata.finalizers ?? []).length === 0) return { type: "delete" };
  if (!isEmptied) {
    throw conflictError(
      resource.groupResource,
      object.metadata.name ?? "",
      "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will automatically be purged by the system.",
    );
  }
  return { type: "put", object, thenDelete: false };
}

function checkPreconditions(resource: Resource, current: CurrentState, options: DeleteOptions): void {
  const { preconditions } = options;
  if (preconditions === undefined) return;
  const { metadata } = current.object;
  if (isDefinition(resource)) {
    checkStoredPreconditions(resource, current, preconditions);
    return;
  }
  const subject: GroupResource = { group: resource.kind.group, resource: resource.kind.kind };
  const name = metadata.name ?? "";
  if (preconditions.uid !== undefined && preconditions.uid !== metadata.uid) {
    throw conflictError(
      subject,
      name,
      `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${metadata.uid ?? ""}). The object might have been deleted and then recreated`,
    );
  }
  if (
    preconditions.resourceVersion !== undefined &&
    preconditions.resourceVersion !== metadata.resourceVersion
  ) {
    throw conflictError(
      subject,
      name,
      `the ResourceVersion in the precondition (${preconditions.resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion ?? ""}). The object might have been modified`,
    );
  }
}

function isDefinition({ kind }: Resource): boolean {
  return kind.group === "apiextensions.k8s.io" && kind.plural === "customresourcedefinitions";
}

/** Definitions have a deletion of their own in upstream, which words this otherwise. */
function checkStoredPreconditions(
  resource: Resource,
  { object: { metadata } }: CurrentState,
  preconditions: NonNullable<DeleteOptions["preconditions"]>,
): void {
  for (const [field, name] of [
    ["uid", "UID"],
    ["resourceVersion", "ResourceVersion"],
  ] as const) {
    const wanted = preconditions[field];
    if (wanted === undefined || wanted === metadata[field]) continue;
    throw conflictError(
      resource.groupResource,
      metadata.name ?? "",
      `Precondition failed: ${name} in precondition: ${wanted}, ${name} in object meta: ${metadata[field] ?? ""}`,
    );
  }
}
