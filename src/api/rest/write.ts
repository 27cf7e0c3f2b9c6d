/**
 * Create and update of stored objects, in upstream's order: decode, defaults, field ownership, mutating
 * admission, the kind's strategy, validating admission, store.
 */
import { normalizeObject } from "#kinds/decode.ts";
import type { FieldError } from "#kinds/field-error.ts";
import { invalidError } from "#kinds/field-error.ts";
import type { StrategyContext, Subresource } from "#kinds/kind.ts";
import { dedupeOwnerReferences, validateMetadata, validateMetadataUpdate } from "#kinds/metadata.ts";
import type { KubeObject } from "#kinds/object.ts";
import { findSchema } from "#kinds/schemas.ts";
import { zeroOf } from "#kinds/zero-values.ts";
import { newUid, randomSuffix } from "../api-core.ts";
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import { keepTimesIfUnchanged, updateManagedFields } from "../apply/managed-fields.ts";
import type { Entry } from "../cache/entry.ts";
import { cloneJson } from "../patch/json.ts";
import type { Resource } from "../registry.ts";
import { ReservationTaken } from "../storage/object-store.ts";
import type { UpdateDecision } from "../storage/object-store.ts";
import {
  badRequest,
  conflictError,
  definitionTerminating,
  generatedNameConflict,
  modifiedMessage,
  unclassifiedError,
} from "../status.ts";
import { decodeObject } from "../wire/body.ts";
import type { ExpectedKind } from "../wire/body.ts";
import type { Answer } from "./answer.ts";
import { keepSystemFields, wipeSystemFields } from "./object-meta.ts";
import { placeOf } from "./stored.ts";
import { liveObject, storedObject } from "./versions.ts";
import { managerOf, readWriteOptions } from "./write-options.ts";
import type { WriteOptions } from "./write-options.ts";

const generateAttempts = 8;
const maxGeneratedBase = 58;

export function expectedKind(resource: Resource): ExpectedKind {
  const { group, version, kind, schemaName } = resource.kind;
  return { group, version, kind, schemaName, decode: resource.decode };
}

export async function createObject(core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const { resource } = request;
  if (resource.terminating) throw definitionTerminating(resource.groupResource);
  const options = readWriteOptions("CreateOptions", request.http, request.query);
  const object = decodeObject(
    request.http,
    expectedKind(resource),
    options.fieldValidation,
    request.warnings,
  );
  const entry = await storeNew(core, request, object, options);
  return { type: "entry", status: 201, resource, entry };
}

/** Creates an object that is already decoded: from a POST, a PUT to a missing name, or an apply. */
export async function storeNew(
  core: ApiCore,
  request: ResourceRequest,
  object: KubeObject,
  options: WriteOptions,
  manager?: { track: boolean },
): Promise<Entry> {
  const { resource } = request;
  resource.kind.applyDefaults?.(object);
  ensureNamespace(request, object);
  wipeSystemFields(object);
  const generateName = object.metadata.name === undefined ? object.metadata.generateName : undefined;
  for (let attempt = 1; ; attempt++) {
    const candidate = generateName === undefined ? object : cloneJson(object);
    if (generateName !== undefined && generateName !== "") {
      candidate.metadata.name = generateName.slice(0, maxGeneratedBase) + randomSuffix(core.random);
    }
    try {
      return await storeCandidate(
        core,
        request,
        candidate,
        options,
        manager?.track ?? true,
        generateName !== undefined,
      );
    } catch (error) {
      const isTaken = (error as { reason?: string }).reason === "AlreadyExists";
      if (generateName === undefined || !isTaken) throw error;
      if (attempt === generateAttempts) {
        throw generatedNameConflict(resource.groupResource, candidate.metadata.name ?? "");
      }
    }
  }
}

async function storeCandidate(
  core: ApiCore,
  request: ResourceRequest,
  object: KubeObject,
  options: WriteOptions,
  track: boolean,
  nameIsGenerated: boolean,
): Promise<Entry> {
  const { resource } = request;
  const { metadata } = object;
  metadata.uid = newUid(core.random);
  metadata.creationTimestamp = request.now;
  if (track) {
    updateManagedFields({
      live: undefined,
      updated: object,
      blank: resource.custom ? undefined : zeroOf(resource.kind.schemaName),
      manager: managerOf(options, request.http),
      apiVersion: resource.groupVersion,
      schema: resource.schema ?? findSchema(resource.kind.schemaName),
      now: request.now,
      resetFields: resource.kind.resetFields,
    });
  }
  const admission = {
    operation: "CREATE" as const,
    resource,
    subresource: "",
    namespace: request.namespace,
    name: metadata.name ?? "",
    object,
    old: undefined,
    user: request.user,
    dryRun: options.dryRun,
    warnings: request.warnings,
    now: request.now,
  };
  // Upstream makes up the name only after this: what is refused here is called by the name's beginning.
  await core.admission.admit({
    ...admission,
    name: nameIsGenerated ? (metadata.generateName ?? "") : admission.name,
  });
  prepareCreate(core, request, object);
  await core.admission.validate(admission);
  const place = placeOf(resource, request.namespace, metadata.name ?? "");
  const control = { dryRun: options.dryRun, fenceTerm: options.fenceTerm };
  if ((metadata.resourceVersion ?? "") !== "" && !options.dryRun)
    throw unclassifiedError("resourceVersion should not be set on objects to be created");
  for (let attempt = 1; ; attempt++) {
    const candidate = resource.companions === undefined ? object : cloneJson(object);
    const companions = resource.companions?.(candidate, undefined, options.dryRun);
    const normal = normalForm(resource, candidate);
    const stored = await storedObject(resource, normal);
    try {
      return await core.store.create(place, stored, { ...control, companions });
    } catch (error) {
      if (!(error instanceof ReservationTaken) || attempt === generateAttempts) throw error;
    }
  }
}

/** The kind's strategy for a new object. Throws Invalid with everything that is wrong. */
function prepareCreate(core: ApiCore, request: ResourceRequest, object: KubeObject): void {
  const { kind } = request.resource;
  kind.dropDisabledFields?.(object);
  kind.prepareCreate?.(object, strategyContext(core, request));
  const duplicates = dedupeOwnerReferences(object);
  if (duplicates !== undefined) request.warnings.push(duplicates);
  dropRepeatedFinalizers(object);
  const errors: FieldError[] = [...validateMetadata(object, kind), ...(kind.validate?.(object) ?? [])];
  throwIfInvalid(request.resource, object, errors);
  request.warnings.push(...(kind.warnings?.(object, undefined) ?? []));
  kind.canonicalize?.(object);
}

export async function updateObject(core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const { resource } = request;
  const options = readWriteOptions("UpdateOptions", request.http, request.query);
  const decodeBody = (warnings: string[]): KubeObject => {
    const decoded = decodeObject(request.http, expectedKind(resource), options.fieldValidation, warnings);
    resource.kind.applyDefaults?.(decoded);
    return decoded;
  };
  let first: KubeObject | undefined = decodeBody(request.warnings);
  checkNames(request, first);
  const again = (): KubeObject => {
    const decoded = decodeBody([]);
    checkNames(request, decoded);
    return decoded;
  };
  return applyUpdate(core, request, options, {
    mayCreate: request.info.subresource === "" && resource.kind.createOnUpdate === true,
    produce: () => {
      const given = first ?? again();
      first = undefined;
      return given;
    },
  });
}

export interface UpdateSource {
  mayCreate: boolean;
  /** The new object, made from the stored one (undefined when there is none). Called once per attempt. */
  produce(live: KubeObject | undefined): KubeObject | Promise<KubeObject>;
  /** Server-side apply has already tracked ownership. Default true. */
  tracks?: boolean;
}

/** Runs an update (PUT, PATCH, apply) of an object or of one of its subresources. */
export async function applyUpdate(
  core: ApiCore,
  request: ResourceRequest,
  options: WriteOptions,
  source: UpdateSource,
): Promise<Answer> {
  const { resource, info } = request;
  const place = placeOf(resource, request.namespace, info.name);
  const control = { dryRun: options.dryRun, fenceTerm: options.fenceTerm };
  const warningsBefore = request.warnings.length;
  const exists = (await readCurrent(core, request)) !== undefined;
  if (!exists && source.mayCreate) {
    const object = await source.produce(undefined);
    object.metadata.name ??= info.name;
    delete object.metadata.resourceVersion;
    const entry = await storeNew(core, request, object, options, { track: source.tracks ?? true });
    return { type: "entry", status: 201, resource, entry };
  }
  const result = await core.store.update(place, control, async (current) => {
    request.warnings.length = warningsBefore;
    if (current === undefined) throw new Error("unreachable: an update without a current state");
    const live = await liveObject(resource, current);
    const object = await source.produce(cloneJson(live));
    return decideUpdate(core, request, options, live, object, source.tracks ?? true);
  });
  return { type: "entry", status: 200, resource, entry: result.entry };
}

async function readCurrent(core: ApiCore, request: ResourceRequest): Promise<Entry | undefined> {
  const place = placeOf(request.resource, request.namespace, request.info.name);
  return core.store.cached(place) ?? core.store.readNewest(place);
}

async function decideUpdate(
  core: ApiCore,
  request: ResourceRequest,
  options: WriteOptions,
  live: KubeObject,
  object: KubeObject,
  tracks: boolean,
): Promise<UpdateDecision> {
  const { resource, info } = request;
  const { kind } = resource;
  const subresource = info.subresource === "" ? undefined : kind.subresources?.[info.subresource];
  checkPreconditions(request, object, live);
  const givenVersion = object.metadata.resourceVersion ?? "";
  object.metadata.resourceVersion = live.metadata.resourceVersion ?? "";
  if (resource.conversion !== undefined) {
    // What its version alone can't say stands in annotations, which the writer then owns.
    const { metadata } = resource.conversion.fromStorage(
      resource.conversion.toStorage(structuredClone(object)),
    );
    if (metadata.annotations !== undefined) object.metadata.annotations = metadata.annotations;
  }
  if (tracks) {
    updateManagedFields({
      live,
      updated: object,
      manager: managerOf(options, request.http),
      subresource: info.subresource,
      apiVersion: resource.groupVersion,
      schema: resource.schema ?? findSchema(kind.schemaName),
      now: request.now,
      resetFields: resetFieldsOf(resource, info.subresource),
    });
  }
  const admission = {
    operation: "UPDATE" as const,
    resource,
    subresource: info.subresource,
    namespace: request.namespace,
    name: info.name,
    object,
    old: live,
    user: request.user,
    dryRun: options.dryRun,
    warnings: request.warnings,
    now: request.now,
  };
  await core.admission.admit(admission);
  prepareUpdate(core, request, object, live, subresource, givenVersion);
  await core.admission.validate(admission);
  const isDelete = shouldDelete(resource, object, live);
  const companions = resource.companions?.(isDelete ? undefined : object, live, options.dryRun);
  const normal = normalForm(resource, object);
  keepTimesIfUnchanged(normal, live);
  const stored = await storedObject(resource, normal);
  return { type: isDelete ? "delete" : "put", object: stored, companions };
}

/** The kind's strategy for a changed object. Throws Invalid with everything that is wrong. */
function prepareUpdate(
  core: ApiCore,
  request: ResourceRequest,
  object: KubeObject,
  live: KubeObject,
  subresource: Subresource | undefined,
  givenVersion: string,
): void {
  const { kind } = request.resource;
  keepSystemFields(object, live);
  const context = strategyContext(core, request);
  kind.dropDisabledFields?.(object);
  if (subresource?.prepareUpdate !== undefined) subresource.prepareUpdate(object, live, context);
  else kind.prepareUpdate?.(object, live, context);
  const duplicates = dedupeOwnerReferences(object);
  if (duplicates !== undefined) request.warnings.push(duplicates);
  dropRepeatedFinalizers(object);
  const isScale = request.info.subresource === "scale";
  if (kind.unconditionalUpdate === false && givenVersion === "" && !isScale) {
    // Upstream's storage says this, and so names the resource, not the kind.
    throw invalidError({ group: kind.group, kind: kind.plural, name: object.metadata.name ?? "" }, [
      {
        reason: "FieldValueInvalid",
        field: "metadata.resourceVersion",
        message: "Invalid value: 0x0: must be specified for an update",
      },
    ]);
  }
  const errors: FieldError[] = validateMetadataUpdate(object, live, kind);
  if (kind.metadataErrorsOnce !== true) errors.push(...errors);
  const found =
    subresource === undefined
      ? kind.validateUpdate?.(object, live)
      : subresource.validateUpdate?.(object, live);
  errors.push(...(found ?? []));
  throwIfInvalid(request.resource, object, errors);
  if (subresource === undefined) request.warnings.push(...(kind.warnings?.(object, live) ?? []));
  kind.canonicalize?.(object);
}

/** The object as upstream's types write it: what is unset left out. */
function normalForm(resource: Resource, object: KubeObject): KubeObject {
  return resource.custom ? object : normalizeObject(resource.kind.schemaName, object);
}

/** What a writer of this endpoint never owns: the status on the resource itself, the spec on its status. */
export function resetFieldsOf(resource: Resource, subresource: string): readonly string[] | undefined {
  if (subresource === "") return resource.kind.resetFields;
  if (subresource === "ephemeralcontainers") return ["spec", "status"];
  return subresource === "status" ? ["spec"] : undefined;
}

function throwIfInvalid(resource: Resource, object: KubeObject, errors: readonly FieldError[]): void {
  if (errors.length === 0) return;
  // Upstream has one internal type of both kinds of events, of the core group.
  const group = resource.kind.kind === "Event" && !resource.custom ? "" : resource.kind.group;
  throw invalidError({ group, kind: resource.kind.kind, name: object.metadata.name ?? "" }, errors);
}

function dropRepeatedFinalizers(object: KubeObject): void {
  const { finalizers } = object.metadata;
  if (finalizers !== undefined) object.metadata.finalizers = [...new Set(finalizers)];
}

/** A deletion that waited for finalizers takes place with the update that removes the last one. */
function shouldDelete(resource: Resource, object: KubeObject, live: KubeObject): boolean {
  if (live.metadata.deletionTimestamp === undefined) return false;
  if ((object.metadata.finalizers ?? []).length > 0) return false;
  if ((live.metadata.deletionGracePeriodSeconds ?? 0) !== 0) return false;
  if (resource.kind.group === "" && resource.kind.plural === "namespaces") {
    return ((object["spec"] as { finalizers?: string[] } | undefined)?.finalizers ?? []).length === 0;
  }
  return true;
}

function checkPreconditions(request: ResourceRequest, object: KubeObject, live: KubeObject): void {
  const { resource, info } = request;
  const version = object.metadata.resourceVersion ?? "";
  const uid = object.metadata.uid ?? "";
  if (request.http.method === "PUT" && uid !== "" && uid !== live.metadata.uid) {
    const prefix = resource.stored?.keyPrefix ?? "";
    const key = prefix + (request.namespace === "" ? "" : `${request.namespace}/`) + info.name;
    throw conflictError(
      resource.groupResource,
      info.name,
      `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${uid}, UID in object meta: ${live.metadata.uid ?? ""}`,
    );
  }
  if (version === "" || version === "0") return;
  if (!/^\d+$/.test(version)) {
    throw unclassifiedError(`strconv.ParseUint: parsing ${JSON.stringify(version)}: invalid syntax`);
  }
  if (version !== live.metadata.resourceVersion) {
    throw conflictError(resource.groupResource, info.name, modifiedMessage);
  }
}

export function checkNames(request: ResourceRequest, object: KubeObject): void {
  const name = object.metadata.name ?? "";
  const urlName = request.info.name;
  if (name === "") {
    throw badRequest(
      `the name of the object (${urlName} based on URL) was undeterminable: name must be provided`,
    );
  }
  if (name !== urlName) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${urlName})`);
  }
  ensureNamespace(request, object);
}

export function ensureNamespace(request: ResourceRequest, object: KubeObject): void {
  const given = object.metadata.namespace ?? "";
  if (given === request.namespace) return;
  if (given === "") {
    object.metadata.namespace = request.namespace;
    return;
  }
  if (!request.resource.kind.namespaced) {
    delete object.metadata.namespace;
    return;
  }
  throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
}

function strategyContext(core: ApiCore, request: ResourceRequest): StrategyContext {
  return {
    now: request.now,
    newUid: () => newUid(core.random),
    warn: (text) => request.warnings.push(text),
    user: request.user,
    namespace: request.namespace === "" ? undefined : request.namespace,
  };
}
