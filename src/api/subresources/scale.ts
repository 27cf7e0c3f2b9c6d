/**
 * The scale subresource: an autoscaling/v1 Scale made from the paths that a kind names, and writes of
 * its replicas back into the object.
 */
import { StatusError } from "#base/errors.ts";
import { decode } from "#kinds/decode.ts";
import { invalid, invalidError } from "#kinds/field-error.ts";
import type { ScaleDescription } from "#kinds/kind.ts";
import { formatLabelSelector } from "#kinds/label-selector.ts";
import type { LabelSelector } from "#kinds/label-selector.ts";
import type { KubeObject } from "#kinds/object.ts";
import { findSchema } from "#kinds/schemas.ts";
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import { applyJsonPatch } from "../patch/json-patch.ts";
import { applyMergePatch } from "../patch/merge-patch.ts";
import { applyStrategicMergePatch } from "../patch/strategic.ts";
import type { Resource } from "../registry.ts";
import type { Answer } from "../rest/answer.ts";
import { parsePatch, patchFormat } from "../rest/patch.ts";
import { placeOf } from "../rest/stored.ts";
import { applyUpdate, checkNames, liveObject } from "../rest/write.ts";
import { readWriteOptions } from "../rest/write-options.ts";
import type { WriteOptions } from "../rest/write-options.ts";
import { methodNotAllowedOnPath, notFoundError } from "../status.ts";
import { decodeObject, decodeValue } from "../wire/body.ts";
import type { ExpectedKind } from "../wire/body.ts";
import { parseYaml } from "../wire/yaml.ts";
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
    return scaleAnswer(request.resource, liveObject(request.resource, entry));
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
    const make = patchMaker(request, format, options);
    return writeScale(core, request, options, (live) => {
      const scale = make(scaleOf(request.resource, live));
      checkNames(request, scale);
      return scale;
    });
  },
};

function patchMaker(
  request: ResourceRequest,
  format: ReturnType<typeof patchFormat>,
  options: WriteOptions,
): (live: Scale) => Scale {
  if (format === "apply") {
    const { value, duplicates } = parseYaml(Buffer.from(request.http.body).toString("utf8"));
    return (live) => {
      const applied = decodeValue(
        value as Record<string, unknown>,
        scaleKind,
        duplicates,
        options.fieldValidation,
        request.warnings,
      ) as Scale;
      return { ...live, ...(applied.spec === undefined ? {} : { spec: applied.spec }) };
    };
  }
  const patch = parsePatch(request.http, format, options.fieldValidation, request.warnings);
  return (live) => {
    const document = live as unknown as Record<string, unknown>;
    const result =
      format === "json"
        ? applyJsonPatch(document, patch.value)
        : format === "merge"
          ? applyMergePatch(document, patch.value)
          : applyStrategicMergePatch(document as never, patch.value, findSchema(schemaName), findSchema);
    const decoded = decode(schemaName, result);
    const problem = decoded.errors[0];
    if (problem !== undefined) {
      throw invalidError({ group: "", kind: "", name: "" }, [
        invalid("patch", JSON.stringify(result), problem),
      ]);
    }
    return decoded.object as unknown as Scale;
  };
}

async function writeScale(
  core: ApiCore,
  request: ResourceRequest,
  options: WriteOptions,
  make: (live: KubeObject) => Scale,
): Promise<Answer> {
  const { resource } = request;
  try {
    const answer = await applyUpdate(core, request, options, {
      mayCreate: false,
      produce(live) {
        if (live === undefined) throw scaleNotFound(request);
        const scale = make(live);
        const replicas = scale.spec?.replicas ?? 0;
        if (replicas < 0) {
          throw invalidError({ group: "autoscaling", kind: "Scale", name: request.info.name }, [
            invalid("spec.replicas", replicas, "must be greater than or equal to 0"),
          ]);
        }
        setPath(live, descriptionOf(resource).specReplicasPath, replicas);
        copyIfGiven(live, scale);
        return live;
      },
    });
    if (answer.type !== "entry") return answer;
    return scaleAnswer(resource, liveObject(resource, answer.entry));
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") throw scaleNotFound(request);
    throw error;
  }
}

function copyIfGiven(live: KubeObject, scale: Scale): void {
  const { resourceVersion, uid } = scale.metadata;
  if (resourceVersion === undefined) delete live.metadata.resourceVersion;
  else live.metadata.resourceVersion = resourceVersion;
  if (uid !== undefined) live.metadata.uid = uid;
}

function scaleNotFound(request: ResourceRequest): StatusError {
  const { group, plural } = request.resource.kind;
  return notFoundError({ group, resource: `${plural}/scale` }, request.info.name);
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
  const selector = selectorText(getPath(object, description.labelSelectorPath));
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
    current = (current as Record<string, unknown>)[step];
  }
  return current;
}

function setPath(object: KubeObject, path: string, value: unknown): void {
  const steps = path.split(".").filter((each) => each !== "");
  const last = steps.pop();
  if (last === undefined) return;
  let current = object as Record<string, unknown>;
  for (const step of steps) {
    const next = current[step];
    if (typeof next === "object" && next !== null) current = next as Record<string, unknown>;
    else {
      const made: Record<string, unknown> = {};
      current[step] = made;
      current = made;
    }
  }
  current[last] = value;
}
