/**
 * What every request handler of the server shares: the store, the registry, the ports and the options.
 * Made once by `createApiServer`; it owns no behaviour.
 */
import type { Backend } from "#base/backend.ts";
import type { HttpRequest, HttpUser } from "#base/http.ts";
import type { Clock, Logger, Random } from "#base/ports.ts";
import type { WatchHub } from "./cache/watch-hub.ts";
import type { RequestMeter } from "./metrics/request-meter.ts";
import type { ResourceRegistry, Resource } from "./registry.ts";
import type { RequestInfo } from "./request-info.ts";
import type { ObjectStore } from "./storage/object-store.ts";
import type { AdmissionChain } from "./admission/admission.ts";
import type { Authorizer } from "./auth/authorizer.ts";

export interface ApiCore {
  readonly backend: Backend;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly hub: WatchHub;
  readonly registry: ResourceRegistry;
  readonly store: ObjectStore;
  readonly admission: AdmissionChain;
  readonly authorizer: Authorizer;
  readonly meter: RequestMeter;
}

/** One request on its way through the server. */
export interface ApiRequest {
  http: HttpRequest;
  query: URLSearchParams;
  info: RequestInfo;
  user: HttpUser;
  /** Texts for Warning headers, in order. */
  warnings: string[];
}

/** A request for a resource that exists. */
export interface ResourceRequest extends ApiRequest {
  resource: Resource;
  /** "" for cluster-scoped resources. */
  namespace: string;
  /** RFC 3339, seconds exact: the time of the request. */
  now: string;
}

/** RFC 3339 in UTC with whole seconds. */
export function timestamp(nowMs: number): string {
  const second = Math.floor(nowMs / 1000);
  if (last.second !== second)
    last = { second, text: `${new Date(second * 1000).toISOString().slice(0, 19)}Z` };
  return last.text;
}

/** Requests come by the hundred in a second. */
let last = { second: NaN, text: "" };

export function newUid(random: Random): string {
  const bytes = Buffer.from(random.bytes(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";

/** The random part of generated names (k8s.io/apimachinery, util/rand). */
export function randomSuffix(random: Random, length = 5): string {
  let suffix = "";
  for (let count = 0; count < length; count++)
    suffix += suffixAlphabet[random.integer(suffixAlphabet.length)] ?? "b";
  return suffix;
}
