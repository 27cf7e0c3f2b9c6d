/**
 * Answers /openapi/v2 and /openapi/v3 with the published documents. A v3 document that is asked for by
 * its hash may be cached for ever; with an outdated hash the client is sent to the new one.
 */
import { StatusError } from "#base/errors.ts";
import type { HttpRequest, HttpResponse } from "#base/http.ts";
import { encodeOpenApiV2, openApiV2Protobuf, openApiV2ProtobufType } from "./protobuf.ts";
import type { OpenApiPublisher, PublishedDocument } from "./publisher.ts";

/** Undefined where there is no such document. */
export function serveOpenApi(publisher: OpenApiPublisher, http: HttpRequest): HttpResponse | undefined {
  if (http.method !== "GET" && http.method !== "HEAD") return undefined;
  const path = http.path.replace(/\/$/, "");
  if (path === "/openapi/v2") return answerV2(http, publisher.v2());
  if (path === "/openapi/v3") return answer(http, publisher.index());
  if (!path.startsWith("/openapi/v3/")) return undefined;
  const name = path.slice("/openapi/v3/".length);
  const document = publisher.document(name);
  if (document === undefined) return undefined;
  const hash = new URLSearchParams(http.query).get("hash");
  if (hash === null || hash === "") return answer(http, document);
  if (hash !== document.hash) {
    const location = `/openapi/v3/${name}?hash=${document.hash}`;
    return { status: 301, headers: { location }, body: Buffer.alloc(0) };
  }
  const response = answer(http, document);
  response.headers["cache-control"] = "public, immutable";
  return response;
}

function answer(http: HttpRequest, document: PublishedDocument): HttpResponse {
  const accept = http.headers["accept"] ?? "";
  if (accept !== "" && !/\*\/\*|application\/\*|application\/json/.test(accept))
    throw new StatusError("NotAcceptable", "only the following media types are accepted: application/json");
  const etag = `"${document.hash}"`;
  const headers: Record<string, string | string[]> = {
    "content-type": "application/json",
    etag,
    vary: "Accept",
  };
  if (http.headers["if-none-match"] === etag) return { status: 304, headers, body: Buffer.alloc(0) };
  return { status: 200, headers, body: Buffer.from(document.body) };
}

/** In protobuf where that is asked for, encoded anew for each request: a client asks once and keeps it. */
function answerV2(http: HttpRequest, document: PublishedDocument): HttpResponse {
  if (!(http.headers["accept"] ?? "").includes(openApiV2Protobuf)) return answer(http, document);
  const etag = `"${document.hash}"`;
  const headers = { "content-type": openApiV2ProtobufType, etag, vary: "Accept" };
  if (http.headers["if-none-match"] === etag) return { status: 304, headers, body: Buffer.alloc(0) };
  const value = JSON.parse(document.body) as Record<string, unknown>;
  return { status: 200, headers, body: encodeOpenApiV2(value) };
}
