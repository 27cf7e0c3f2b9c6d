/**
 * What a request asks for, read from its method, path and query alone (k8s.io/apiserver,
 * endpoints/request). Authorization, routing and audit all work from it. It knows no registry:
 * whether the resource exists is decided later.
 */

export interface RequestInfo {
  /** A request for a resource below /api or /apis; else only `path` and `verb` (the method) count. */
  isResource: boolean;
  path: string;
  /** create, get, list, watch, update, patch, delete, deletecollection; the lower-case method for other paths. */
  verb: string;
  group: string;
  version: string;
  namespace: string;
  resource: string;
  subresource: string;
  name: string;
  /** Path segments from the resource on. */
  parts: readonly string[];
}

const namespaceSubresources: ReadonlySet<string> = new Set(["status", "finalize"]);

export function parseRequestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const info: RequestInfo = {
    isResource: false,
    path,
    verb: method.toLowerCase(),
    group: "",
    version: "",
    namespace: "",
    resource: "",
    subresource: "",
    name: "",
    parts: [],
  };
  const segments = path.split("/").filter((each) => each !== "");
  let rest: string[];
  if (segments[0] === "api" && segments.length >= 3) {
    info.version = segments[1] ?? "";
    rest = segments.slice(2);
  } else if (segments[0] === "apis" && segments.length >= 4) {
    info.group = segments[1] ?? "";
    info.version = segments[2] ?? "";
    rest = segments.slice(3);
  } else {
    return info;
  }
  info.isResource = true;
  info.verb = resourceVerb(method);
  if (rest[0] === "namespaces" && rest.length > 1) {
    info.namespace = decode(rest[1] ?? "");
    if (rest.length > 2 && !namespaceSubresources.has(rest[2] ?? "")) rest = rest.slice(2);
  }
  info.parts = rest.map(decode);
  info.resource = info.parts[0] ?? "";
  info.name = info.parts[1] ?? "";
  info.subresource = info.parts[2] ?? "";
  if (info.name === "") {
    if (info.verb === "get") info.verb = isTrue(query.get("watch")) ? "watch" : "list";
    else if (info.verb === "delete") info.verb = "deletecollection";
  } else if (info.verb === "get" && info.parts.length === 2 && isTrue(query.get("watch"))) {
    info.verb = "watch";
  }
  if (
    (info.verb === "list" || info.verb === "watch" || info.verb === "deletecollection") &&
    info.name === ""
  ) {
    info.name = nameInFieldSelector(query.get("fieldSelector"));
  }
  return info;
}

/** Booleans of query parameters as Go's conversion reads them: present and not "false" or "0". */
export function isTrue(value: string | null): boolean {
  return value !== null && value.toLowerCase() !== "false" && value !== "0";
}

function resourceVerb(method: string): string {
  switch (method) {
    case "POST":
      return "create";
    case "GET":
    case "HEAD":
      return "get";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return "delete";
    default:
      return "";
  }
}

/** A selection of one name counts as a request for this name (so that RBAC's resourceNames work for watches). */
function nameInFieldSelector(selector: string | null): string {
  const match = /(?:^|,)metadata\.name==?([^,]+)(?:,|$)/.exec(selector ?? "");
  return match?.[1] ?? "";
}

function decode(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
