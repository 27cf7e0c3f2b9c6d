/**
 * The scale subresource: an autoscaling/v1 Scale made from the paths that a kind names, and writes of
 * its replicas back into the object.
 */
import { StatusError } from "#base/errors.ts";
import { setMember } from "#base/member.ts";
import { decode } from "#kinds/decode.ts";
import { invalid, invalidError } from "#kinds/field-error.ts";
import type { ScaleDescription } from "#kinds/kind.ts";
import { formatLabelSelector } from "#kinds/label-selector.ts";
import type { LabelSelector } from "#kinds/label-selector.ts";
import type { KubeObject } from "#kinds/object.ts";
import { findSchema } from "#kinds/schemas.ts";
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import { applyPatch, updateManagedFields } from "../apply/managed-fields.ts";
import { isObject, own, sortedByKey } from "../patch/json.ts";
import { applyJsonPatch } from "../patch/json-patch.ts";
import { applyMergePatch } from "../patch/merge-patch.ts";
import { applyStrategicMergePatch } from "../patch/strategic.ts";
import type { Resource } from "../registry.ts";
import type { Answer } from "../rest/answer.ts";
import { noteDuplicates, parseApplied, parsePatch, patchFormat } from "../rest/patch.ts";
import { placeOf } from "../rest/stored.ts";
import { servedObject } from "../rest/versions.ts";
import { applyUpdate, checkNames } from "../rest/write.ts";
import { managerOf, readWriteOptions } from "../rest/write-options.ts";
import type { WriteOptions } from "../rest/write-options.ts";
import { internalError, methodNotAllowedOnPath, notFoundError, unclassifiedError } from "../status.ts";
import { decodeObject } from "../wire/body.ts";
import type { ExpectedKind } from "../wire/body.ts";
import type { MethodHandlers } from "./special.ts";

const schemaName = "io.k8s.api.autoscaling.v1.Scale";
const scaleKind: ExpectedKind = { group: "autoscaling", version: "v1", kind: "Scale", schemaName };

interface Scale extends KubeObject {
  spec?: { replicas?: number };
}

export const scaleHandlers: MethodHandlers = {
  async GET(core, request) {
    const place = placeOf(request.resource, request.namespace, request.info.name);
    const entry = await core.store.readNewest(place);
    if (entry === undefined) throw scaleNotFound(request);
    return scaleAnswer(request.resource, await servedObject(request.resource, entry));
  },
  async PUT(core, request) {
    const options = readWriteOptions("UpdateOptions", request.http, request.query);
    const scale = decodeObject(request.http, scaleKind, options.fieldValidation, request.warnings) as Scale;
    checkNames(request, scale);
    return writeScale(core, request, options, () => structuredClone(scale));
  },
  async PATCH(core, request) {
    const format = patchFormat(request.http, request.resource);
    const options = readWriteOptions("PatchOptions", request.http, request.query, format === "apply");
    if (format === "apply") return applyScale(core, request, options);
    const patch = parsePatch(request.http, format, options.fieldValidation, request.warnings);
    return writeScale(core, request, options, (live) => {
      const scale = patchedScale(request, live, patch.value, format);
      checkNames(request, scale);
      return scale;
    });
  },
};

function patchedScale(
  { resource }: ResourceRequest,
  live: KubeObject,
  patch: unknown,
  format: "json" | "merge" | "strategic",
): Scale {
  const scale = scaleOf(resource, live);
  const { managedFields } = live.metadata;
  const document = {
    ...scale,
    metadata: { ...scale.metadata, ...(managedFields === undefined ? {} : { managedFields }) },
  };
  const result =
    format === "json"
      ? applyJsonPatch(document, patch)
      : format === "merge"
        ? applyMergePatch(document, patch)
        : applyStrategicMergePatch(document as never, patch, findSchema(schemaName), findSchema);
  const decoded = decode(schemaName, result);
  const problem = decoded.errors[0];
  if (problem !== undefined) {
    throw invalidError({ group: "", kind: "", name: "" }, [
      invalid("patch", JSON.stringify(isObject(result) ? sortedByKey(result) : result), problem),
    ]);
  }
  return decoded.object as unknown as Scale;
}

/** An apply of a Scale is an apply of the object with nothing but its replicas. */
async function applyScale(core: ApiCore, request: ResourceRequest, options: WriteOptions): Promise<Answer> {
  const { resource } = request;
  const { applied, duplicates } = parseApplied(request, { apiVersion: "autoscaling/v1", kind: "Scale" });
  if (resource.custom)
    throw unclassifiedError(
      `failed to convert new object (/${request.info.name}; autoscaling/v1, Kind=Scale) to proper version: request to convert CR to an invalid group/version: autoscaling/v1`,
    );
  const configuration: KubeObject = {
    apiVersion: resource.groupVersion,
    kind: resource.kind.kind,
    metadata: structuredClone(applied.metadata),
  };
  const replicas = replicasOf(request, applied as Scale);
  setPath(configuration, descriptionOf(resource).specReplicasPath, replicas);
  return update(core, request, options, false, (live) => {
    const result = applyPatch({
      live,
      applied: configuration,
      manager: options.fieldManager,
      force: options.force ?? false,
      subresource: "scale",
      apiVersion: resource.groupVersion,
      schema: resource.schema ?? findSchema(resource.kind.schemaName),
      now: undefined,
    });
    noteDuplicates(duplicates, options.fieldValidation, request.warnings);
    checkNames(request, result);
    return result;
  });
}

async function writeScale(
  core: ApiCore,
  request: ResourceRequest,
  options: WriteOptions,
  make: (live: KubeObject) => Scale,
): Promise<Answer> {
  const { resource } = request;
  const path = descriptionOf(resource).specReplicasPath;
  return update(core, request, options, false, (live) => {
    const scale = make(live);
    const replicas = replicasOf(request, scale);
    const object = structuredClone(live);
    // Zero is absence in a Scale, and so nobody's.
    setPath(object, path, replicas === 0 ? undefined : replicas);
    updateManagedFields({
      live,
      updated: object,
      manager: managerOf(options, request.http),
      subresource: "scale",
      apiVersion: resource.groupVersion,
      schema: resource.schema ?? findSchema(resource.kind.schemaName),
      now: undefined,
    });
    setPath(object, path, replicas);
    copyIfGiven(object, scale);
    return object;
  });
}

async function update(
  core: ApiCore,
  request: ResourceRequest,
  options: WriteOptions,
  tracks: boolean,
  change: (live: KubeObject) => KubeObject,
): Promise<Answer> {
  const { resource } = request;
  try {
    const answer = await applyUpdate(core, request, options, {
      mayCreate: false,
      tracks,
      produce(live) {
        if (live === undefined) throw scaleNotFound(request);
        return change(live);
      },
    });
    if (answer.type !== "entry") return answer;
    return scaleAnswer(resource, await servedObject(resource, answer.entry));
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") throw scaleNotFound(request);
    throw error;
  }
}

function replicasOf({ resource, info }: ResourceRequest, scale: Scale): number {
  const replicas = scale.spec?.replicas ?? 0;
  if (replicas >= 0) return replicas;
  const { group, kind, scale: paths } = resource.kind;
  throw resource.custom
    ? invalidError({ group, kind, name: info.name }, [
        invalid(paths?.specReplicasPath ?? "", replicas, "should be a non-negative integer"),
      ])
    : invalidError({ group: "autoscaling", kind: "Scale", name: info.name }, [
        invalid("spec.replicas", replicas, "must be greater than or equal to 0"),
      ]);
}

function copyIfGiven(live: KubeObject, scale: Scale): void {
  const { resourceVersion, uid } = scale.metadata;
  if (resourceVersion === undefined) delete live.metadata.resourceVersion;
  else live.metadata.resourceVersion = resourceVersion;
  if (uid !== undefined) live.metadata.uid = uid;
}

function scaleNotFound(request: ResourceRequest): StatusError {
  const { group, plural } = request.resource.kind;
  // Upstream's older kinds name the subresource.
  const named = ["deployments", "replicasets", "replicationcontrollers"].includes(plural);
  const resource = named && !request.resource.custom ? `${plural}/scale` : plural;
  return notFoundError({ group, resource }, request.info.name);
}

function descriptionOf(resource: Resource): ScaleDescription {
  const { scale } = resource.kind;
  if (scale === undefined) throw methodNotAllowedOnPath();
  return scale;
}

function scaleAnswer(resource: Resource, object: KubeObject): Answer {
  return { type: "object", status: 200, resource: undefined, object: scaleOf(resource, object) };
}

function scaleOf(resource: Resource, object: KubeObject): Scale {
  const description = descriptionOf(resource);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = getPath(object, description.specReplicasPath);
  if (replicas === undefined && resource.custom)
    throw internalError(
      new Error(`the spec replicas field "${description.specReplicasPath}" does not exist`),
    );
  // Custom resources need not say where their selector is.
  const { labelSelectorPath } = description;
  const selector = labelSelectorPath === "" ? "" : selectorText(getPath(object, labelSelectorPath));
  const given = { name, namespace, uid, resourceVersion, creationTimestamp };
  const metadata = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata,
    spec: typeof replicas === "number" && replicas !== 0 ? { replicas } : {},
    status: {
      replicas: (getPath(object, description.statusReplicasPath) as number | undefined) ?? 0,
      ...(selector === "" ? {} : { selector }),
    },
  };
}

function selectorText(selector: unknown): string {
  if (typeof selector === "string") return selector;
  if (typeof selector !== "object" || selector === null) return "";
  const isObjectForm = "matchLabels" in selector || "matchExpressions" in selector;
  if (isObjectForm) return formatLabelSelector(selector as LabelSelector);
  return formatLabelSelector({ matchLabels: selector as Record<string, string> });
}

function getPath(object: unknown, path: string): unknown {
  let current: unknown = object;
  for (const step of path.split(".").filter((each) => each !== "")) {
    if (typeof current !== "object" || current === null) return undefined;
    current = own(current as Record<string, unknown>, step);
  }
  return current;
}

function setPath(object: KubeObject, path: string, value: unknown): void {
  const steps = path.split(".").filter((each) => each !== "");
  const last = steps.pop();
  if (last === undefined) return;
  let current = object as Record<string, unknown>;
  for (const step of steps) {
    const next = own(current, step);
    if (typeof next === "object" && next !== null) current = next as Record<string, unknown>;
    else {
      const made: Record<string, unknown> = {};
      setMember(current, step, made);
      current = made;
    }
  }
  if (value === undefined) delete current[last];
  else setMember(current, last, value);
}
