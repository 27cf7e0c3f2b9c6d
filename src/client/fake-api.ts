/**
 * A small API for tests: an HttpHandler over objects in memory, with resource versions, conflicts,
 * watches, bookmarks, and faults on demand. It has no defaults, validation or admission; where those
 * matter, tests use the real API server on the memory backend.
 */
import { StatusError } from "#base/errors.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "#base/http.ts";
import type { KubeObject } from "#kinds/object.ts";

export interface FakeApi {
  handler: HttpHandler;
  /** Requests so far, as "METHOD path?query". */
  requests: string[];
  /** Changes an object as some other client would; undefined deletes it. */
  put(collection: string, key: string, object: KubeObject | undefined): void;
  get(collection: string, key: string): KubeObject | undefined;
  /** Answers each request for which it returns something with that error instead. */
  fault: ((request: HttpRequest) => StatusError | undefined) | undefined;
  /** Watches from below this version answer 410. */
  compact(): void;
  /** Ends all watches, as a server that stops. */
  breakWatches(): void;
  bookmark(): void;
  watchers(): number;
}

interface Event {
  revision: number;
  collection: string;
  type: string;
  object: KubeObject;
}

interface Parsed {
  /** "/api/v1/pods": the path without namespace and name. */
  collection: string;
  namespace: string | undefined;
  name: string | undefined;
  subresource: string | undefined;
}

const encoder = new TextEncoder();

export function createFakeApi(): FakeApi {
  let revision = 1;
  let compacted = 0;
  let uids = 0;
  const collections = new Map<string, Map<string, KubeObject>>();
  const log: Event[] = [];
  const listeners = new Set<{ onEvent(event: Event): void; onEnd(): void }>();

  function objects(collection: string): Map<string, KubeObject> {
    let found = collections.get(collection);
    if (found === undefined) collections.set(collection, (found = new Map()));
    return found;
  }

  function store(collection: string, key: string, type: string, object: KubeObject): KubeObject {
    revision++;
    const stored = structuredClone(object);
    stored.metadata.resourceVersion = String(revision);
    stored.metadata.uid ??= `uid-${++uids}`;
    if (type === "DELETED") objects(collection).delete(key);
    else objects(collection).set(key, stored);
    const event = { revision, collection, type, object: stored };
    log.push(event);
    for (const listener of listeners) listener.onEvent(event);
    return stored;
  }

  function put(collection: string, key: string, object: KubeObject | undefined): void {
    const old = objects(collection).get(key);
    if (object === undefined) {
      if (old !== undefined) store(collection, key, "DELETED", old);
      return;
    }
    const uid = object.metadata.uid ?? old?.metadata.uid;
    const full = { ...object, metadata: { ...object.metadata, ...(uid === undefined ? {} : { uid }) } };
    store(collection, key, old === undefined ? "ADDED" : "MODIFIED", full);
  }

  function answer(request: HttpRequest): HttpResponse {
    const fault = api.fault?.(request);
    if (fault !== undefined) throw fault;
    const at = parsePath(request.path);
    const query = new URLSearchParams(request.query);
    const body =
      request.body.length > 0
        ? (JSON.parse(new TextDecoder().decode(request.body)) as KubeObject)
        : undefined;
    const key = at.namespace === undefined ? (at.name ?? "") : `${at.namespace}/${at.name ?? ""}`;
    const current = objects(at.collection).get(key);
    if (request.method === "GET" && at.name === undefined) {
      return query.get("watch") === null
        ? list(at)
        : watch(at, Number(query.get("resourceVersion")), request.signal);
    }
    if (request.method === "POST" && at.name === undefined) {
      const name =
        body!.metadata.name ?? `${body!.metadata.generateName}${String(revision).padStart(5, "0")}`;
      const created = at.namespace === undefined ? name : `${at.namespace}/${name}`;
      if (objects(at.collection).has(created))
        throw new StatusError("AlreadyExists", `"${name}" already exists`);
      return json(
        201,
        store(at.collection, created, "ADDED", { ...body!, metadata: { ...body!.metadata, name } }),
      );
    }
    if (current === undefined) throw new StatusError("NotFound", `"${at.name}" not found`);
    if (request.method === "GET") return json(200, current);
    if (request.method === "POST") return json(201, body!);
    if (request.method === "DELETE") {
      if ((current.metadata.finalizers ?? []).length === 0)
        return json(200, store(at.collection, key, "DELETED", current));
      const metadata = { ...current.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" };
      return json(200, store(at.collection, key, "MODIFIED", { ...current, metadata }));
    }
    const wanted = request.method === "PATCH" ? (mergePatch(current, body) as KubeObject) : body!;
    const expected = wanted.metadata.resourceVersion;
    if (expected !== undefined && expected !== current.metadata.resourceVersion) {
      throw new StatusError("Conflict", "the object has been modified");
    }
    wanted.metadata.uid = current.metadata.uid!;
    const gone =
      wanted.metadata.deletionTimestamp !== undefined && (wanted.metadata.finalizers ?? []).length === 0;
    return json(200, store(at.collection, key, gone ? "DELETED" : "MODIFIED", wanted));
  }

  function list(at: Parsed): HttpResponse {
    const items = [...objects(at.collection)]
      .filter(([key]) => at.namespace === undefined || key.startsWith(`${at.namespace}/`))
      .map(([, object]) => object);
    return json(200, {
      kind: "List",
      apiVersion: "v1",
      metadata: { resourceVersion: String(revision) },
      items,
    });
  }

  function watch(at: Parsed, from: number, signal: AbortSignal): HttpResponse {
    if (from < compacted)
      throw new StatusError("Expired", `too old resource version: ${from} (${compacted})`);
    const queue = log.filter((event) => event.revision > from);
    let wake: (() => void) | undefined;
    let ended = false;
    const listener = {
      onEvent(event: Event): void {
        queue.push(event);
        wake?.();
      },
      onEnd(): void {
        ended = true;
        wake?.();
      },
    };
    listeners.add(listener);
    signal.addEventListener("abort", () => listener.onEnd(), { once: true });
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        while (!ended) {
          for (const event of queue.splice(0)) {
            const { namespace } = event.object.metadata;
            const selected =
              event.collection === at.collection &&
              (at.namespace === undefined || at.namespace === namespace);
            if (event.type !== "BOOKMARK" && !selected) continue;
            yield encoder.encode(`${JSON.stringify({ type: event.type, object: event.object })}\n`);
          }
          if (!ended && queue.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        listeners.delete(listener);
      }
    }
    return { status: 200, headers: {}, body: body() };
  }

  const api: FakeApi = {
    requests: [],
    fault: undefined,
    put,
    get: (collection, key) => objects(collection).get(key),
    compact() {
      compacted = revision;
      log.length = 0;
    },
    breakWatches() {
      for (const listener of listeners) listener.onEnd();
    },
    bookmark() {
      const object = { metadata: { resourceVersion: String(revision) } };
      for (const listener of listeners)
        listener.onEvent({ revision, collection: "", type: "BOOKMARK", object });
    },
    watchers: () => listeners.size,
    handler(request) {
      api.requests.push(
        `${request.method} ${request.path}${request.query === "" ? "" : `?${request.query}`}`,
      );
      return Promise.resolve()
        .then(() => answer(request))
        .catch((error: unknown) => {
          if (error instanceof StatusError) return json(error.code, error.toStatus());
          throw error;
        });
    },
  };
  return api;
}

function parsePath(path: string): Parsed {
  const parts = path.split("/").filter((part) => part !== "");
  const prefix = parts.splice(0, parts[0] === "api" ? 2 : 3);
  let namespace: string | undefined;
  if (parts[0] === "namespaces" && parts.length > 2) [, namespace] = parts.splice(0, 2);
  const [plural, name, subresource] = parts;
  return { collection: `/${[...prefix, plural].join("/")}`, namespace, name, subresource };
}

function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const merged: Record<string, unknown> =
    typeof target === "object" && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}

function json(status: number, value: unknown): HttpResponse {
  return {
    status,
    headers: { "content-type": "application/json" },
    body: encoder.encode(JSON.stringify(value)),
  };
}
