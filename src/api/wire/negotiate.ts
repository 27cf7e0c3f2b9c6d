/**
 * Content negotiation: which representation a request wants, and which its body is in. Two steps, as
 * upstream: the route must be able to produce one of the accepted types at all, then the first accepted
 * clause that a serializer can serve wins: JSON, YAML, and protobuf where the kind has such a form.
 */
import { StatusError } from "#base/errors.ts";
import type { HttpRequest } from "#base/http.ts";

export interface Representation {
  format: "json" | "yaml" | "protobuf";
  pretty: boolean;
  /** A transformation: the object as a Table or as its metadata only. */
  as:
    | { kind: "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList"; version: "v1" | "v1beta1" }
    | undefined;
}

export interface RouteFormats {
  /** Lists and watches: the route can also produce streams. */
  streams: boolean;
  /** This request is a watch. */
  isWatch: boolean;
  /** Table and PartialObjectMetadata are possible. */
  transforms: boolean;
  /** What is answered has a protobuf form. */
  protobuf: boolean;
}

interface Clause {
  type: string;
  subtype: string;
  parameters: ReadonlyMap<string, string>;
  quality: number;
}

const producible = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const producibleStreams = [
  "application/json;stream=watch",
  "application/vnd.kubernetes.protobuf;stream=watch",
];

export function negotiate(request: HttpRequest, query: URLSearchParams, route: RouteFormats): Representation {
  const accept = request.headers["accept"] ?? "";
  checkRoute(accept, route);
  const pretty = prefersPretty(request, query);
  for (const clause of parseAccept(accept === "" ? "*/*" : accept)) {
    const representation = serve(clause, route);
    if (representation === undefined) continue;
    const prettyParameter = clause.parameters.get("pretty");
    return {
      ...representation,
      pretty: prettyParameter === undefined ? pretty : prettyParameter === "1" || prettyParameter === "true",
    };
  }
  throw notAcceptable(route.isWatch);
}

/** The representation of an error: what was asked for if possible, else JSON. */
export function negotiateForError(request: HttpRequest, query: URLSearchParams): Representation {
  try {
    return negotiate(request, query, { streams: true, isWatch: false, transforms: false, protobuf: true });
  } catch {
    return { format: "json", pretty: false, as: undefined };
  }
}

function checkRoute(accept: string, route: RouteFormats): void {
  if (accept === "") return;
  const all = route.streams ? [...producible, ...producibleStreams] : producible;
  for (const part of accept.split(",")) {
    const type = part.split(";")[0]?.trim() ?? "";
    if (type === "*/*" || all.includes(type) || all.includes(part.trim().replaceAll(" ", ""))) return;
  }
  throw new StatusError(
    "NotAcceptable",
    `406: Not Acceptable\n\nAvailable representations: ${all.join(", ")}`,
    {
      details: {},
    },
  );
}

function serve(clause: Clause, route: RouteFormats): Omit<Representation, "pretty"> | undefined {
  const format = formatOf(clause);
  if (format === undefined) return undefined;
  if (route.isWatch && format === "yaml") return undefined;
  if (format === "protobuf" && !route.protobuf) return undefined;
  const charset = clause.parameters.get("charset");
  if (charset !== undefined && charset.toLowerCase() !== "utf-8") return undefined;
  const stream = clause.parameters.get("stream");
  if (stream !== undefined && stream !== "watch") return undefined;
  const as = clause.parameters.get("as");
  if (as === undefined || as === "") return { format, as: undefined };
  if (!route.transforms) return undefined;
  const version = clause.parameters.get("v");
  if (clause.parameters.get("g") !== "meta.k8s.io" || (version !== "v1" && version !== "v1beta1"))
    return undefined;
  if (as !== "Table" && as !== "PartialObjectMetadata" && as !== "PartialObjectMetadataList")
    return undefined;
  if (format === "protobuf" && as === "Table") return undefined;
  return { format, as: { kind: as, version } };
}

function formatOf(clause: Clause): Representation["format"] | undefined {
  if (clause.type === "*" && clause.subtype === "*") return "json";
  if (clause.type !== "application") return undefined;
  if (clause.subtype === "json" || clause.subtype === "*") return "json";
  if (clause.subtype === "yaml") return "yaml";
  if (clause.subtype === "vnd.kubernetes.protobuf") return "protobuf";
  return undefined;
}

function parseAccept(accept: string): Clause[] {
  const clauses = accept.split(",").map((part): Clause => {
    const [media = "", ...parameterTexts] = part.split(";").map((each) => each.trim());
    const [type = "", subtype = ""] = media.split("/");
    const parameters = new Map<string, string>();
    let quality = 1;
    for (const text of parameterTexts) {
      const equals = text.indexOf("=");
      const name = equals < 0 ? text : text.slice(0, equals).trim();
      const value =
        equals < 0
          ? ""
          : text
              .slice(equals + 1)
              .trim()
              .replace(/^"(.*)"$/, "$1");
      if (name === "q") quality = Number.parseFloat(value) || 0;
      else parameters.set(name, value);
    }
    return { type, subtype, parameters, quality };
  });
  return clauses.sort((left, right) => right.quality - left.quality);
}

export function notAcceptable(isWatch: boolean): StatusError {
  const types = isWatch ? producibleStreams : producible;
  return new StatusError("NotAcceptable", `only the following media types are accepted: ${types.join(", ")}`);
}

const prettyAgents = /^(curl|Wget|Mozilla\/5\.0)/;

function prefersPretty(request: HttpRequest, query: URLSearchParams): boolean {
  const parameter = query.get("pretty");
  if (parameter !== null) return parameter !== "false" && parameter !== "0";
  return prettyAgents.test(request.headers["user-agent"] ?? "");
}

const acceptedBodies = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/** The format of a request's body. Throws a 415 for one that is not understood. */
export function bodyFormat(request: HttpRequest): "json" | "yaml" | "protobuf" {
  const header = request.headers["content-type"] ?? "";
  const type = (header.split(";")[0] ?? "").trim().toLowerCase();
  if (type === "" || type === "application/json") return "json";
  if (type === "application/yaml") return "yaml";
  if (type === "application/vnd.kubernetes.protobuf") return "protobuf";
  throw new StatusError(
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${acceptedBodies}`,
  );
}
