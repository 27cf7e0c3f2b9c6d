/**
 * Objects to bytes: stored bytes go out as they are; conversions to another version, to a Table or to
 * metadata only are made where they are asked for.
 */
import type { HttpResponse } from "#base/http.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Entry } from "../cache/entry.ts";
import type { Answer, ListPage } from "../rest/answer.ts";
import type { Resource } from "../registry.ts";
import { badRequest, notImplementedError } from "../status.ts";
import { StatusError } from "#base/errors.ts";
import type { Representation } from "./negotiate.ts";
import { encodeProtobuf } from "./protobuf-object.ts";
import { partialMetadata, plainTableKind, tableOf } from "./table.ts";
import type { IncludeObject } from "./table.ts";
import { toYaml } from "./yaml.ts";

const protobufType = "application/vnd.kubernetes.protobuf";
const comma = Buffer.from(",");
const endOfList = Buffer.from("]}\n");
const newline = Buffer.from("\n");

/** The whole object in the version of the resource, as JSON bytes. */
export function entryBytes(resource: Resource, entry: Entry): Buffer {
  if (resource.conversion === undefined) return entry.bytes();
  return Buffer.from(JSON.stringify(entryObject(resource, entry)));
}

/** The object in the version of the resource; the caller may change it. */
export function entryObject(resource: Resource, entry: Entry): KubeObject {
  const object = entry.decode();
  return resource.conversion === undefined ? object : resource.conversion.fromStorage(object);
}

export function encodeAnswer(
  answer: Answer,
  representation: Representation,
  context: { query: URLSearchParams; nowMs: number },
): HttpResponse {
  if (answer.type === "raw") return answer.response;
  const status = answer.type === "list" ? 200 : answer.status;
  const as = representation.as;
  if (as !== undefined && answer.type !== "object") {
    return finish(status, transformed(answer, representation, context), representation);
  }
  if (as !== undefined && answer.type === "object" && answer.object["kind"] !== "Status") {
    const object = answer.object as KubeObject;
    const transformed = transformObject(answer.resource, object, representation, context);
    return finish(status, transformed, representation);
  }
  if (representation.format === "json" && !representation.pretty) {
    const bytes =
      answer.type === "entry"
        ? Buffer.concat([entryBytes(answer.resource, answer.entry), newline])
        : answer.type === "list"
          ? listBytes(answer.resource, answer.list)
          : Buffer.from(`${JSON.stringify(answer.object)}\n`);
    return { status, headers: { "content-type": "application/json" }, body: bytes };
  }
  const value =
    answer.type === "entry"
      ? entryObject(answer.resource, answer.entry)
      : answer.type === "list"
        ? (JSON.parse(listBytes(answer.resource, answer.list).toString("utf8")) as Record<string, unknown>)
        : answer.object;
  return finish(status, value, representation);
}

/** A value as a response in the wanted format. */
export function finish(status: number, value: unknown, representation: Representation): HttpResponse {
  if (representation.format === "protobuf") {
    const body = encodeProtobuf(value as Record<string, unknown>);
    return { status, headers: { "content-type": protobufType }, body };
  }
  if (representation.format === "yaml") {
    return { status, headers: { "content-type": "application/yaml" }, body: Buffer.from(toYaml(value)) };
  }
  // Upstream ends a line only after what is not pretty.
  const text = representation.pretty ? JSON.stringify(value, undefined, 2) : `${JSON.stringify(value)}\n`;
  return { status, headers: { "content-type": "application/json" }, body: Buffer.from(text) };
}

export function listBytes(resource: Resource, list: ListPage): Buffer {
  const { kind } = resource;
  const metadata = JSON.stringify(listMetadata(list));
  const head = `{"kind":${JSON.stringify(`${kind.kind}List`)},"apiVersion":${JSON.stringify(resource.groupVersion)},"metadata":${metadata},"items":[`;
  const parts: Buffer[] = [Buffer.from(head)];
  let isFirst = true;
  for (const entry of list.entries) {
    if (!isFirst) parts.push(comma);
    isFirst = false;
    pushItem(parts, resource, entry);
  }
  parts.push(endOfList);
  return Buffer.concat(parts);
}

function pushItem(parts: Buffer[], resource: Resource, entry: Entry): void {
  if (resource.conversion !== undefined) {
    const { kind: _kind, apiVersion: _apiVersion, ...rest } = entryObject(resource, entry);
    parts.push(Buffer.from(JSON.stringify(rest)));
  } else if (resource.custom) parts.push(entry.codec.head, entry.item.subarray(1));
  else parts.push(entry.item);
}

function listMetadata(list: ListPage): Record<string, unknown> {
  return {
    resourceVersion: list.resourceVersion,
    ...(list.continue === undefined ? {} : { continue: list.continue }),
    ...(list.remainingItemCount === undefined ? {} : { remainingItemCount: list.remainingItemCount }),
  };
}

function transformed(
  answer: Answer & { type: "entry" | "list" },
  representation: Representation,
  context: { query: URLSearchParams; nowMs: number },
): unknown {
  const { resource } = answer;
  if (answer.type === "entry") {
    return transformObject(resource, entryObject(resource, answer.entry), representation, context);
  }
  const as = representation.as;
  if (as === undefined) return undefined;
  const objects = answer.list.entries.map((entry) => entryObject(resource, entry));
  const apiVersion = `meta.k8s.io/${as.version}`;
  if (as.kind === "Table") {
    const include = includeObject(context.query);
    return tableOf(resource.kind, objects, {
      apiVersion,
      include,
      nowMs: context.nowMs,
      metadata: listMetadata(answer.list),
    });
  }
  if (as.kind === "PartialObjectMetadata") {
    throw new StatusError(
      "NotAcceptable",
      `you requested PartialObjectMetadata, but the requested object is a list (*${goListType(resource)})`,
    );
  }
  return {
    kind: "PartialObjectMetadataList",
    apiVersion,
    metadata: listMetadata(answer.list),
    items: objects.map((object) => partialMetadata(resource.kind, object, apiVersion)),
  };
}

export function transformObject(
  resource: Resource | undefined,
  object: KubeObject,
  representation: Representation,
  context: { query: URLSearchParams; nowMs: number },
  options: { headers?: boolean } = {},
): unknown {
  const as = representation.as;
  if (as === undefined) return object;
  const apiVersion = `meta.k8s.io/${as.version}`;
  switch (as.kind) {
    case "Table":
      return tableOf(resource?.kind ?? plainTableKind(object), [object], {
        apiVersion,
        include: includeObject(context.query),
        nowMs: context.nowMs,
        metadata:
          object.metadata.resourceVersion === undefined
            ? {}
            : { resourceVersion: object.metadata.resourceVersion },
        headers: options.headers ?? true,
      });
    case "PartialObjectMetadata":
      return partialMetadata(resource?.kind ?? plainTableKind(object), object, apiVersion);
    case "PartialObjectMetadataList":
      throw new StatusError(
        "NotAcceptable",
        `you requested PartialObjectMetadataList, but the requested object is not a list (*${resource === undefined ? `${object.kind}` : goListType(resource).replace(/List$/, "")})`,
      );
    default:
      throw notImplementedError(String(as.kind));
  }
}

/** The name of upstream's internal Go type of a list, as its texts print it. */
function goListType(resource: Resource): string {
  const { group, kind } = resource.kind;
  if (resource.custom) return "unstructured.UnstructuredList";
  const packageName = group === "" ? "core" : (group.split(".")[0] ?? group);
  return `${packageName}.${kind}List`;
}

function includeObject(query: URLSearchParams): IncludeObject {
  const value = query.get("includeObject");
  if (value === null || value === "") return "Metadata";
  if (value === "Metadata" || value === "Object" || value === "None") return value;
  throw badRequest(
    `Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(value)}: must be 'Metadata', 'Object', 'None', or empty`,
  );
}
