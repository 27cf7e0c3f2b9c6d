/**
 * One request from authentication to the answer: who, may they, which handler, which representation.
 * The same path serves the network listener and in-process callers.
 */
import { gzip } from "node:zlib";
import { StatusError } from "#base/errors.ts";
import type { HttpRequest, HttpResponse, HttpRoute } from "#base/http.ts";
import { timestamp } from "./api-core.ts";
import type { ApiCore, ApiRequest, ResourceRequest } from "./api-core.ts";
import { attributesOf, forbidden } from "./auth/authorizer.ts";
import type { Authenticator, Peer } from "./auth/authenticate.ts";
import { ImpersonationError, impersonate } from "./auth/impersonation.ts";
import { ByteStream } from "./cache/byte-stream.ts";
import { isHealthPath } from "./discovery/health.ts";
import { notFoundPage } from "./discovery/pages.ts";
import type { DiscoveryPages } from "./discovery/pages.ts";
import type { Resource } from "./registry.ts";
import { parseRequestInfo } from "./request-info.ts";
import type { RequestInfo } from "./request-info.ts";
import { deleteCollection, deleteObject } from "./rest/delete.ts";
import { extensionHandler } from "./rest/extension.ts";
import { patchFormat, patchObject } from "./rest/patch.ts";
import { getObject, listObjects } from "./rest/read.ts";
import { servedAnswer } from "./rest/versions.ts";
import { watchObjects } from "./rest/watch.ts";
import { createObject, updateObject } from "./rest/write.ts";
import {
  internalError,
  methodNotAllowedOnPath,
  methodNotSupported,
  noSuchResource,
  notFoundError,
  tooManyRequests,
} from "./status.ts";
import type { SpecialHandler, SpecialHandlers } from "./subresources/special.ts";
import { encodeAnswer, finish } from "./wire/encode.ts";
import { hasProtobufForm } from "./wire/protobuf-object.ts";
import { negotiate, negotiateForError } from "./wire/negotiate.ts";

export interface DispatcherOptions {
  core: ApiCore;
  authenticator: Authenticator;
  discovery: DiscoveryPages;
  special: SpecialHandlers;
  /** Requests over the network wait for it, but for `extraRoutes` and health. */
  whenStarted: () => Promise<void>;
  /** Requests that may be served at once, reads and writes; beyond them: 429. */
  maxInFlight: { reading: number; writing: number };
}

const applyType = "application/apply-patch";
const gzipThresholdBytes = 128 * 1024;

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #core: ApiCore;
  readonly #routes: HttpRoute[] = [];
  #reading = 0;
  #writing = 0;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#core = options.core;
  }

  /** Serves a subtree from now on, until the returned function is called. */
  addRoute(route: HttpRoute): () => void {
    this.#routes.push(route);
    this.#routes.sort((left, right) => right.prefix.length - left.prefix.length);
    return () => {
      const at = this.#routes.indexOf(route);
      if (at >= 0) this.#routes.splice(at, 1);
    };
  }

  async handle(http: HttpRequest, peer?: Peer): Promise<HttpResponse> {
    const startedMs = this.#core.clock.monotonicMs();
    const query = new URLSearchParams(http.query);
    const info = parseRequestInfo(http.method, http.path, query);
    const warnings: string[] = [];
    let response: HttpResponse;
    try {
      response = await this.#serve({ http, query, info, warnings }, peer);
    } catch (error) {
      response = this.#errorResponse(http, query, error);
    }
    if (warnings.length > 0) response.headers["warning"] = [...new Set(warnings)].map(warningHeader);
    response.headers["cache-control"] ??= "no-cache, private";
    this.#measure(http, query, info, response, startedMs);
    return compress(http, response);
  }

  /** Requests that are being served now, without streams. */
  get inFlight(): { reading: number; writing: number } {
    return { reading: this.#reading, writing: this.#writing };
  }

  #measure(
    http: HttpRequest,
    query: URLSearchParams,
    info: RequestInfo,
    { status, body }: HttpResponse,
    startedMs: number,
  ): void {
    const metered = {
      info: this.#knownPart(info),
      isApply: info.verb === "patch" && (http.headers["content-type"] ?? "").startsWith(applyType),
      dryRun: query.has("dryRun"),
    };
    const isStream = body instanceof ByteStream;
    if (isStream) body.onClose(this.#core.meter.streams(metered));
    const seconds = (this.#core.clock.monotonicMs() - startedMs) / 1000;
    this.#core.meter.answered(metered, status, isStream ? undefined : seconds);
  }

  /** What was asked for, without names of resources that do not exist: nobody may make the meter grow. */
  #knownPart(info: RequestInfo): RequestInfo {
    const resource = info.isResource
      ? this.#core.registry.find(info.group, info.version, info.resource)
      : undefined;
    if (resource === undefined) return { ...info, group: "", version: "", resource: "", subresource: "" };
    const known = Object.hasOwn(resource.kind.subresources ?? {}, info.subresource);
    return known ? info : { ...info, subresource: "" };
  }

  /** Who asks and whether they may: what `handle` does first, for upgraded connections. */
  async admitRequest(http: HttpRequest, peer: Peer | undefined): Promise<ApiRequest> {
    const query = new URLSearchParams(http.query);
    const info = parseRequestInfo(http.method, http.path, query);
    return this.#authorize({ http, query, info, warnings: [] }, peer);
  }

  async #serve(asked: Omit<ApiRequest, "user">, peer: Peer | undefined): Promise<HttpResponse> {
    const { http } = asked;
    const extra = this.#routes.find((each) => http.path.startsWith(each.prefix));
    if (extra !== undefined) {
      const user =
        extra.authorize === true
          ? (await this.#authorize(asked, peer)).user
          : await this.#options.authenticator.authenticate(http, peer);
      return extra.handler({ ...http, user });
    }
    const request = await this.#authorize(asked, peer);
    const isLong = request.info.verb === "watch" || request.info.subresource === "log";
    if (isLong) return this.#route(request);
    const isWrite = http.method !== "GET" && http.method !== "HEAD";
    const { reading, writing } = this.#options.maxInFlight;
    if (isWrite ? this.#writing >= writing : this.#reading >= reading) {
      throw tooManyRequests("Too many requests, please try again later.", 1);
    }
    if (isWrite) this.#writing++;
    else this.#reading++;
    try {
      return await this.#route(request);
    } finally {
      if (isWrite) this.#writing--;
      else this.#reading--;
    }
  }

  async #authorize(asked: Omit<ApiRequest, "user">, peer: Peer | undefined): Promise<ApiRequest> {
    const { http, info } = asked;
    if (peer !== undefined && !isHealthPath(http.path)) await this.#options.whenStarted();
    const realUser = await this.#options.authenticator.authenticate(http, peer);
    const user = impersonate(http, realUser, this.#core.authorizer);
    const attributes = attributesOf(user, info);
    const decision = this.#core.authorizer.authorize(attributes);
    if (!decision.allowed) throw forbidden(attributes, decision.reason);
    return { ...asked, user };
  }

  async #route(request: ApiRequest): Promise<HttpResponse> {
    const { info } = request;
    if (!info.isResource || request.http.path.startsWith("//")) return this.#options.discovery.serve(request);
    if (!this.#core.registry.hasGroupVersion(info.group, info.version)) {
      return this.#options.discovery.unknownGroupVersion(info.group);
    }
    const resource = this.#core.registry.find(info.group, info.version, info.resource);
    if (resource === undefined || info.parts.length > 3) {
      const special =
        resource === undefined ? undefined : this.#options.special.withPath(resource, info.subresource);
      if (resource === undefined || special === undefined) throw noSuchResource();
      return this.#answer(request, resource, special);
    }
    return this.#answer(request, resource, this.#handlerFor(request, resource));
  }

  async #answer(request: ApiRequest, resource: Resource, handler: SpecialHandler): Promise<HttpResponse> {
    const { info } = request;
    const nowMs = this.#core.clock.nowMs();
    const resourceRequest: ResourceRequest = {
      ...request,
      resource,
      namespace: resource.namespaced ? info.namespace : "",
      now: timestamp(nowMs),
    };
    request.warnings.push(...(resource.kind.deprecations ?? []));
    const isCollection = info.parts.length === 1;
    const representation = negotiate(request.http, request.query, {
      streams: isCollection && request.http.method === "GET",
      isWatch: info.verb === "watch",
      transforms: true,
      protobuf: !resource.custom && hasProtobufForm(resource.groupVersion, resource.kind.kind),
    });
    if (info.verb === "watch" && info.subresource === "") {
      if (!resource.kind.verbs.includes("watch")) throw methodNotSupported(resource.groupResource, "watch");
      return watchObjects(this.#core, resourceRequest, representation);
    }
    const answer = await servedAnswer(await handler(this.#core, resourceRequest));
    return encodeAnswer(answer, representation, { query: request.query, nowMs });
  }

  #handlerFor(request: ApiRequest, resource: Resource): SpecialHandler {
    const { info, http } = request;
    const isMisplaced = resource.namespaced
      ? info.namespace === "" && info.parts.length > 1
      : info.namespace !== "" && resource.kind.plural !== "namespaces";
    if (isMisplaced) {
      if (resource.custom) return () => Promise.resolve({ type: "raw", response: notFoundPage() });
      throw noSuchResource();
    }
    if (resource.extension !== undefined) return extensionHandler(resource.extension, request);
    const special = this.#options.special.find(resource, info.subresource, http.method);
    if (info.subresource !== "") {
      if (special !== undefined) return special;
      return this.#subresourceHandler(resource, info, http.method);
    }
    if (special !== undefined && (info.parts.length > 1 || !resource.namespaced || info.namespace !== ""))
      return special;
    if (special !== undefined && info.verb === "create") return special;
    const verbs = resource.kind.verbs;
    const isCollection = info.parts.length === 1;
    if (isCollection) {
      if (http.method === "GET") {
        if (info.verb === "watch" && !verbs.includes("watch"))
          throw methodNotSupported(resource.groupResource, "watch");
        if (verbs.includes("list")) return listObjects;
      }
      const isScoped = !resource.namespaced || info.namespace !== "";
      if (http.method === "POST" && isScoped && verbs.includes("create")) return createObject;
      if (http.method === "DELETE" && isScoped && verbs.includes("deletecollection")) return deleteCollection;
      throw methodNotAllowedOnPath();
    }
    // Reviews and bindings are only created: their objects have no paths.
    if (!["get", "update", "patch", "delete"].some((verb) => (verbs as readonly string[]).includes(verb)))
      throw noSuchResource();
    if (http.method === "GET" && verbs.includes("get")) return getObject;
    if (http.method === "PUT" && verbs.includes("update")) return updateObject;
    if (http.method === "PATCH" && verbs.includes("patch")) {
      patchFormat(http, resource);
      return patchObject;
    }
    if (http.method === "DELETE" && verbs.includes("delete")) return deleteObject;
    throw methodNotAllowedOnPath();
  }

  #subresourceHandler(resource: Resource, info: RequestInfo, method: string): SpecialHandler {
    const { subresource: name, name: objectName } = info;
    const subresource = resource.kind.subresources?.[name];
    if (subresource === undefined) {
      if (resource.custom) throw notFoundError(resource.groupResource, objectName);
      throw noSuchResource();
    }
    if (subresource.prepareUpdate !== undefined) {
      if (method === "GET" && subresource.verbs.includes("get")) return getObject;
      if (method === "PUT" && subresource.verbs.includes("update")) return updateObject;
      if (method === "PATCH" && subresource.verbs.includes("patch")) return patchObject;
    }
    throw methodNotAllowedOnPath();
  }

  #errorResponse(http: HttpRequest, query: URLSearchParams, error: unknown): HttpResponse {
    if (error instanceof ImpersonationError) {
      const text = `Internal Server Error: ${JSON.stringify(http.path)}: ${error.message}\n`;
      return {
        status: 500,
        headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
        body: Buffer.from(text),
      };
    }
    let status: StatusError;
    if (error instanceof StatusError) status = error;
    else {
      this.#core.logger.error("a request has failed", {
        method: http.method,
        path: http.path,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
      status = internalError(error);
    }
    const response = finish(status.code, status.toStatus(), negotiateForError(http, query));
    const retryAfter = status.details?.retryAfterSeconds;
    if (retryAfter !== undefined) response.headers["retry-after"] = String(retryAfter);
    return response;
  }
}

/** RFC 7234: code, agent, quoted text. */
function warningHeader(text: string): string {
  return `299 - ${JSON.stringify(text).replace(/[^\u0020-\u007e]/g, (char) => escapeChar(char))}`;
}

function escapeChar(char: string): string {
  return Buffer.from(char).toString("latin1");
}

async function compress(http: HttpRequest, response: HttpResponse): Promise<HttpResponse> {
  const { body } = response;
  if (!(body instanceof Uint8Array) || body.byteLength < gzipThresholdBytes) return response;
  if (http.method !== "GET" || !/\bgzip\b/.test(http.headers["accept-encoding"] ?? "")) return response;
  const packed = await new Promise<Buffer>((resolve, reject) => {
    gzip(body, { level: 1 }, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
  return {
    ...response,
    headers: { ...response.headers, "content-encoding": "gzip", vary: "Accept-Encoding" },
    body: packed,
  };
}
