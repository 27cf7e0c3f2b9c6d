/**
 * Everything that is served outside of resources: discovery, version, health, metrics, OpenAPI, and the
 * keys of service-account tokens.
 */
import { createHash } from "node:crypto";
import type { HttpResponse } from "#base/http.ts";
import { kubernetesVersion } from "#base/version.ts";
import type { ApiRequest } from "../api-core.ts";
import type { WatchHub } from "../cache/watch-hub.ts";
import type { ResourceRegistry } from "../registry.ts";
import { methodNotAllowedOnPath, noSuchResource } from "../status.ts";
import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import { finish } from "../wire/encode.ts";
import { negotiate } from "../wire/negotiate.ts";
import type { Representation } from "../wire/negotiate.ts";
import { aggregated, groupObject, resourceList, servedGroups } from "./documents.ts";
import type { ServedGroup } from "./documents.ts";
import { healthPage } from "./health.ts";

export interface PagesOptions {
  registry: ResourceRegistry;
  hub: WatchHub;
  tokens: ServiceAccountTokens;
  /** host:port that discovery names. */
  address: () => string;
  metrics: () => Promise<string>;
  openApi: ((request: ApiRequest) => Promise<HttpResponse | undefined>) | undefined;
}

export class DiscoveryPages {
  readonly #options: PagesOptions;
  #groups: ServedGroup[] | undefined;

  constructor(options: PagesOptions) {
    this.#options = options;
    options.registry.onChange(() => {
      this.#groups = undefined;
    });
  }

  async serve(request: ApiRequest): Promise<HttpResponse> {
    const { path, method } = request.http;
    const health = healthPage(request, this.#options.hub);
    if (health !== undefined) return health;
    if (path.startsWith("//")) return notFoundPage();
    const segments = path.split("/").filter((each) => each !== "");
    const page = await this.#page(request, segments);
    if (page === undefined) return notFoundPage();
    if (method !== "GET") throw methodNotAllowedOnPath();
    return page();
  }

  /** The answer for a path below a group or version that does not exist. */
  unknownGroupVersion(group: string): HttpResponse {
    if (group === "" || this.#served().some((each) => each.group === group)) throw noSuchResource();
    return notFoundPage();
  }

  async #page(
    request: ApiRequest,
    segments: readonly string[],
  ): Promise<(() => HttpResponse | Promise<HttpResponse>) | undefined> {
    const [first, second, third] = segments;
    const answer =
      (value: unknown): (() => HttpResponse) =>
      () =>
        finish(200, value, discoveryFormat(request));
    switch (first) {
      case undefined:
        return answer({ paths: this.#paths() });
      case "version":
        return segments.length === 1 ? answer(versionInfo) : undefined;
      case "api":
        return this.#corePage(request, segments);
      case "apis":
        return this.#groupsPage(request, segments);
      case "metrics":
        return async () => ({
          status: 200,
          headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8; escaping=values" },
          body: Buffer.from(await this.#options.metrics()),
        });
      case ".well-known":
        if (second !== "openid-configuration" || third !== undefined) return undefined;
        return answer(this.#options.tokens.discovery());
      case "openid":
        if (segments.join("/") !== "openid/v1/jwks") return undefined;
        return async () => ({
          status: 200,
          headers: { "content-type": "application/jwk-set+json" },
          body: Buffer.from(JSON.stringify(await this.#options.tokens.keySet())),
        });
      case "openapi": {
        const response = await this.#options.openApi?.(request);
        return response === undefined ? undefined : () => response;
      }
      default:
        return undefined;
    }
  }

  #corePage(request: ApiRequest, segments: readonly string[]): (() => HttpResponse) | undefined {
    if (segments.length === 1) {
      const core = this.#served().filter((each) => each.group === "");
      const document = aggregatedAnswer(request, core);
      if (document !== undefined) return () => document;
      const address = this.#options.address();
      return () =>
        finish(
          200,
          {
            kind: "APIVersions",
            versions: ["v1"],
            serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: address }],
          },
          discoveryFormat(request),
        );
    }
    return this.#versionPage(request, "", segments[1] ?? "");
  }

  #groupsPage(request: ApiRequest, segments: readonly string[]): (() => HttpResponse) | undefined {
    const [, group, version] = segments;
    const named = this.#served().filter((each) => each.group !== "");
    if (group === undefined) {
      const document = aggregatedAnswer(request, named);
      if (document !== undefined) return () => document;
      const list = { kind: "APIGroupList", apiVersion: "v1", groups: named.map(groupObject) };
      return () => finish(200, list, discoveryFormat(request));
    }
    const served = named.find((each) => each.group === group);
    if (served === undefined) return undefined;
    if (version === undefined) {
      const object = { kind: "APIGroup", apiVersion: "v1", ...groupObject(served) };
      return () => finish(200, object, discoveryFormat(request));
    }
    return this.#versionPage(request, group, version);
  }

  #versionPage(request: ApiRequest, group: string, version: string): () => HttpResponse {
    const served = this.#served().find((each) => each.group === group);
    const entry = served?.versions.find((each) => each.version === version);
    if (entry === undefined) throw noSuchResource();
    const groupVersion = group === "" ? version : `${group}/${version}`;
    return () => finish(200, resourceList(groupVersion, entry.resources), discoveryFormat(request));
  }

  #served(): ServedGroup[] {
    this.#groups ??= servedGroups(this.#options.registry.all());
    return this.#groups;
  }

  #paths(): string[] {
    const paths = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/"];
    for (const each of this.#served()) {
      if (each.group === "") continue;
      paths.push(`/apis/${each.group}`);
      for (const { version } of each.versions) paths.push(`/apis/${each.group}/${version}`);
    }
    paths.push(
      "/healthz",
      "/livez",
      "/metrics",
      "/openapi/v2",
      "/openapi/v3",
      "/openid/v1/jwks",
      "/readyz",
      "/version",
    );
    return paths;
  }
}

/** The answer of /version. */
export const versionInfo = {
  major: "1",
  minor: "32",
  gitVersion: kubernetesVersion,
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "none",
  compiler: "gc",
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
};

/** The aggregated form, where the client accepts it; else undefined. */
function aggregatedAnswer(request: ApiRequest, groups: readonly ServedGroup[]): HttpResponse | undefined {
  const accept = request.http.headers["accept"] ?? "";
  for (const clause of accept.split(",")) {
    const parameters = clause.split(";").map((each) => each.trim());
    if (parameters[0] !== "application/json" && parameters[0] !== "*/*") continue;
    if (!parameters.includes("as=APIGroupDiscoveryList")) {
      if (parameters[0] === "application/json") return undefined;
      continue;
    }
    if (!parameters.includes("g=apidiscovery.k8s.io")) continue;
    const version = ["v2", "v2beta1"].find((each) => parameters.includes(`v=${each}`));
    if (version === undefined) continue;
    const document = aggregated(groups, `apidiscovery.k8s.io/${version}`);
    const body = Buffer.from(JSON.stringify(document));
    const etag = `"${createHash("sha512").update(body).digest("hex").toUpperCase()}"`;
    const headers: Record<string, string> = {
      "content-type": `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
      etag,
      vary: "Accept",
      "cache-control": "public",
    };
    if (request.http.headers["if-none-match"] === etag)
      return { status: 304, headers, body: new Uint8Array() };
    return { status: 200, headers, body };
  }
  return undefined;
}

function discoveryFormat(request: ApiRequest): Representation {
  return negotiate(request.http, request.query, {
    streams: false,
    isWatch: false,
    transforms: false,
    protobuf: false,
  });
}

export function notFoundPage(): HttpResponse {
  return {
    status: 404,
    headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
    body: Buffer.from("404 page not found\n"),
  };
}
