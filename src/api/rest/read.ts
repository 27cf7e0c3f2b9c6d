/**
 * GET of one object and LIST: from the cache after a read index, at an exact past revision from the
 * store, in pages with continue tokens.
 */
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import { Entry } from "../cache/entry.ts";
import { objectKey } from "../registry.ts";
import type { StoredResource } from "../registry.ts";
import { badRequest, expiredPageError, notFoundError, unclassifiedError } from "../status.ts";
import type { Answer, ListPage } from "./answer.ts";
import {
  matches,
  parseResourceVersion,
  readListOptions,
  selectedName,
  selectsEverything,
} from "./list-options.ts";
import type { ListOptions } from "./list-options.ts";
import { describeJsonError } from "../wire/json-error.ts";
import { storedOf } from "./stored.ts";
import { servedEntries } from "./versions.ts";

export async function getObject(core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const stored = storedOf(request.resource);
  const version = request.query.get("resourceVersion") ?? "";
  const wanted = wantedVersion(request, version);
  if (version === "") await core.hub.waitForNewest();
  else await core.hub.waitFor(wanted);
  const entry = stored.cache.get(objectKey(stored, request.namespace, request.info.name));
  if (entry === undefined) throw notFoundError(request.resource.groupResource, request.info.name);
  return { type: "entry", status: 200, resource: request.resource, entry };
}

/** Events alone are not read from upstream's cache, which calls a wrong version an error of its own. */
function wantedVersion({ resource }: ResourceRequest, version: string): number {
  try {
    return parseResourceVersion(version);
  } catch (error) {
    if (resource.custom || resource.kind.plural !== "events") throw error;
    throw badRequest(`invalid resource version: ${(error as Error).message}`);
  }
}

export async function listObjects(core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const options = readListOptions(request.resource, request.query, false);
  return { type: "list", resource: request.resource, list: await readPage(core, request, options) };
}

/** The page of a list that the options ask for. */
export async function readPage(
  core: ApiCore,
  request: ResourceRequest,
  options: ListOptions,
): Promise<ListPage> {
  const stored = storedOf(request.resource);
  if (options.continue !== "") return continuePage(core, request, options, stored);
  const wanted = parseResourceVersion(options.resourceVersion);
  const isExact =
    options.resourceVersionMatch === "Exact" ||
    (options.resourceVersionMatch === "" && options.limit > 0 && wanted > 0);
  if (isExact) return exactPage(core, request, options, stored, wanted, "");
  if (options.resourceVersion === "") await core.hub.waitForNewest();
  else if (wanted > 0) await core.hub.waitFor(wanted);
  const limit = options.resourceVersion === "0" ? 0 : options.limit;
  const all = cachedEntries(request, options, stored);
  return pageOf(request, { ...options, limit }, stored, all, core.hub.revision);
}

function cachedEntries(
  request: ResourceRequest,
  options: ListOptions,
  stored: StoredResource,
): readonly Entry[] {
  const name = selectedName(options);
  if (name !== undefined && (!request.resource.namespaced || request.namespace !== "")) {
    const entry = stored.cache.get(objectKey(stored, request.namespace, name));
    return entry === undefined ? [] : [entry];
  }
  return stored.cache.list(request.namespace);
}

async function pageOf(
  { resource, namespace }: ResourceRequest,
  options: ListOptions,
  stored: StoredResource,
  candidates: readonly Entry[],
  revision: number,
): Promise<ListPage> {
  const everything = selectsEverything(options);
  // Selectors are about what the client sees; a page of everything is all that has to be converted.
  const all = everything ? candidates : await servedEntries(resource, candidates);
  const taken = everything && options.limit === 0 ? all : takeMatching(options, all);
  const entries = await servedEntries(resource, taken);
  const last = entries[entries.length - 1];
  const isCut = options.limit > 0 && last !== undefined && hasMore(options, all, last);
  return {
    entries,
    resourceVersion: String(revision),
    continue: isCut ? encodeContinue(revision, startAfter(stored, namespace, last)) : undefined,
    remainingItemCount: isCut && everything ? all.length - entries.length : undefined,
  };
}

function takeMatching(options: ListOptions, all: readonly Entry[]): Entry[] {
  const taken: Entry[] = [];
  const isEverything = selectsEverything(options);
  for (const entry of all) {
    if (options.limit > 0 && taken.length === options.limit) break;
    if (isEverything || matches(options, entry)) taken.push(entry);
  }
  return taken;
}

function hasMore(options: ListOptions, all: readonly Entry[], last: Entry): boolean {
  for (let at = all.length - 1; at >= 0; at--) {
    const entry = all[at];
    if (entry === undefined || entry.key <= last.key) return false;
    if (matches(options, entry)) return true;
  }
  return false;
}

/** The page as of a past revision: from the cache when nothing of this resource has changed since, else from the store. */
async function exactPage(
  core: ApiCore,
  request: ResourceRequest,
  options: ListOptions,
  stored: StoredResource,
  revision: number,
  startKey: string,
): Promise<ListPage> {
  if (stored.cache.lastChange <= revision && core.hub.revision >= revision) {
    const all = stored.cache.list(request.namespace).filter((entry) => entry.key >= startKey);
    return pageOf(request, options, stored, all, revision);
  }
  if (revision > (await core.hub.waitForNewest())) {
    throw unclassifiedError("etcdserver: mvcc: required revision is a future revision");
  }
  const prefix = request.namespace === "" ? stored.keyPrefix : `${stored.keyPrefix}${request.namespace}/`;
  const result = await core.backend.range({
    key: startKey === "" ? prefix : startKey,
    end: `${prefix.slice(0, -1)}0`,
    revision,
  });
  const all = result.kvs.map((kv) => Entry.fromKeyValue(stored.codec, stored.keyPrefix, kv));
  return pageOf(request, options, stored, all, revision);
}

/** In a token: go on with what is there when it is used, after the list's own revision has been compacted. */
const newestRevision = -1;

interface ContinueToken {
  v: string;
  rv: number;
  start: string;
}

async function continuePage(
  core: ApiCore,
  request: ResourceRequest,
  options: ListOptions,
  stored: StoredResource,
): Promise<ListPage> {
  if (options.resourceVersion !== "" && options.resourceVersion !== "0") {
    throw badRequest("specifying resource version is not allowed when using continue");
  }
  const token = decodeContinue(options.continue);
  const prefix = request.namespace === "" ? stored.keyPrefix : `${stored.keyPrefix}${request.namespace}/`;
  const revision = token.rv === newestRevision ? await core.hub.waitForNewest() : token.rv;
  try {
    return await exactPage(core, request, options, stored, revision, prefix + token.start);
  } catch (error) {
    if ((error as { reason?: string }).reason === "Expired")
      throw expiredPageError(encodeContinue(newestRevision, token.start));
    throw error;
  }
}

function startAfter(stored: StoredResource, namespace: string, last: Entry): string {
  const prefix = namespace === "" ? stored.keyPrefix : `${stored.keyPrefix}${namespace}/`;
  return `${last.key.slice(prefix.length)}\0`;
}

function encodeContinue(revision: number, start: string): string {
  const token: ContinueToken = { v: "meta.k8s.io/v1", rv: revision, start };
  return Buffer.from(JSON.stringify(token)).toString("base64url");
}

function decodeContinue(text: string): ContinueToken {
  let token: Partial<ContinueToken>;
  try {
    if (!/^[A-Za-z0-9_-]+=*$/.test(text)) throw new Error("illegal base64");
    token = parseToken(Buffer.from(text, "base64url").toString("utf8"));
  } catch (error) {
    throw badRequest(`invalid continue token: continue key is not valid: ${(error as Error).message}`);
  }
  if (token.v !== "meta.k8s.io/v1") {
    throw badRequest(
      `invalid continue token: continue key is not valid: server does not recognize this encoded version ${String(token.v ?? "")}`,
    );
  }
  if (typeof token.rv !== "number" || (token.rv <= 0 && token.rv !== newestRevision)) {
    throw badRequest(
      "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
    );
  }
  if (typeof token.start !== "string" || token.start === "") {
    throw badRequest(
      "invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)",
    );
  }
  return { v: token.v, rv: token.rv, start: token.start };
}

function parseToken(text: string): Partial<ContinueToken> {
  try {
    return JSON.parse(text) as Partial<ContinueToken>;
  } catch (error) {
    throw new Error(describeJsonError(text), { cause: error });
  }
}
