/** GET and LIST of resources that another room computes: selection as for stored ones, objects from memory. */
import type { ExtensionResource } from "#kinds/extension.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { ApiRequest, ResourceRequest } from "../api-core.ts";
import { Entry, ObjectCodec } from "../cache/entry.ts";
import { methodNotAllowedOnPath, methodNotSupported, noSuchResource, notFoundError } from "../status.ts";
import type { SpecialHandler } from "../subresources/special.ts";
import type { Answer } from "./answer.ts";
import { matches, readListOptions } from "./list-options.ts";

export function extensionHandler(extension: ExtensionResource, { info, http }: ApiRequest): SpecialHandler {
  const { group, plural, verbs } = extension.kind;
  if (info.subresource !== "") throw noSuchResource();
  if (http.method !== "GET") throw methodNotAllowedOnPath();
  if (info.verb === "watch") throw methodNotSupported({ group, resource: plural }, "watch");
  if (info.parts.length > 1 && verbs.includes("get"))
    return async (_core, request) => getComputed(extension, request);
  if (info.parts.length === 1 && verbs.includes("list"))
    return async (_core, request) => listComputed(extension, request);
  throw methodNotAllowedOnPath();
}

function getComputed(extension: ExtensionResource, request: ResourceRequest): Answer {
  const { resource, info, namespace } = request;
  const object = extension.list(namespace).find((each) => each.metadata.name === info.name);
  if (object === undefined) throw notFoundError(resource.groupResource, info.name);
  const entry = entryOf(new ObjectCodec(extension.kind), object);
  return { type: "entry", status: 200, resource, entry };
}

function listComputed(extension: ExtensionResource, request: ResourceRequest): Answer {
  const options = readListOptions(request.resource, request.query, false);
  const codec = new ObjectCodec(extension.kind);
  const entries = extension
    .list(request.namespace)
    .map((each) => entryOf(codec, each))
    .filter((each) => matches(options, each));
  const list = { entries, resourceVersion: "", continue: undefined, remainingItemCount: undefined };
  return { type: "list", resource: request.resource, list };
}

/** An entry holds bytes, so nothing that happens to the answer reaches the one who computed it. */
function entryOf(codec: ObjectCodec, object: KubeObject): Entry {
  const { namespace = "", name = "" } = object.metadata;
  const item = codec.itemWithoutRevision(codec.encode(object));
  return new Entry(codec, { key: `${namespace}/${name}`, namespace, name }, item, 0);
}
