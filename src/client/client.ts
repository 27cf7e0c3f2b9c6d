/**
 * The typed client: turns calls into HTTP requests for a transport (the API server's handler in this
 * process, or `httpsTransport`) and answers into objects or StatusErrors. It neither caches nor
 * retries; every call ends within its deadline.
 */
import { StatusError } from "#base/errors.ts";
import type { HttpHandler, HttpResponse, HttpUser } from "#base/http.ts";
import type { Clock, Timer } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import { decodeWatch } from "./watch-stream.ts";
import { statusError } from "./status-error.ts";
import { listQuery, queryString, resourcePath } from "./paths.ts";
import { systemClock } from "./system-clock.ts";
import type {
  ApiClient,
  DeleteOptions,
  ListOptions,
  PatchType,
  ResourceName,
  WatchEvent,
  WriteOptions,
} from "./types.ts";

export interface ClientOptions {
  transport: HttpHandler;
  userAgent: string;
  /** For an in-process transport: who calls. A network transport authenticates by itself. */
  user?: HttpUser;
  /** Each call that isn't a watch ends within this time. Default 10 s. */
  deadlineMs?: number;
  /** What the deadline is measured with. Default: the system's clock. */
  clock?: Clock;
}

const patchContentTypes: Record<PatchType, string> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const noBody = new Uint8Array(0);

export function createClient(options: ClientOptions): ApiClient {
  const call = caller(options);
  return {
    get: async (resource, namespace, name) =>
      (await call({ method: "GET", path: resourcePath(resource, namespace, name) })) as never,

    async list(resource, list = {}) {
      const answer = (await call({
        method: "GET",
        path: resourcePath(resource, list.namespace),
        query: listQuery(list),
      })) as {
        apiVersion?: string;
        kind?: string;
        metadata?: { resourceVersion?: string; continue?: string };
        items?: KubeObject[];
      };
      const items = answer.items ?? [];
      // Servers leave these two out of the members of a list; here every object says what it is.
      const kind = answer.kind?.replace(/List$/, "");
      for (const item of items) {
        if (kind !== undefined) item.kind ??= kind;
        if (answer.apiVersion !== undefined) item.apiVersion ??= answer.apiVersion;
      }
      const next = answer.metadata?.continue;
      return {
        items: items as never,
        resourceVersion: answer.metadata?.resourceVersion ?? "",
        ...(next === undefined || next === "" ? {} : { continue: next }),
      };
    },

    create: async (resource, object, write = {}) =>
      (await call({
        method: "POST",
        path: resourcePath(resource, object.metadata.namespace, undefined, write.subresource),
        query: writeQuery(write),
        headers: fence(write),
        body: object,
      })) as never,

    update: async (resource, object, write = {}) =>
      (await call({
        method: "PUT",
        path: resourcePath(resource, object.metadata.namespace, object.metadata.name, write.subresource),
        query: writeQuery(write),
        headers: fence(write),
        body: object,
      })) as never,

    patch: async (resource, namespace, name, type, patch, write = {}) =>
      (await call({
        method: "PATCH",
        path: resourcePath(resource, namespace, name, write.subresource),
        query: { ...writeQuery(write), force: write.force },
        headers: { ...fence(write), "content-type": patchContentTypes[type] },
        body: patch,
      })) as never,

    async delete(resource, namespace, name, remove = {}) {
      const answer = (await call({
        method: "DELETE",
        path: resourcePath(resource, namespace, name),
        headers: fence(remove),
        body: deleteBody(remove),
      })) as KubeObject;
      return answer.kind === "Status" ? undefined : answer;
    },

    post: async (resource, namespace, name, subresource, body, write = {}) =>
      (await call({
        method: "POST",
        path: resourcePath(resource, namespace, name, subresource),
        query: writeQuery(write),
        headers: fence(write),
        body,
      })) as never,

    async deleteCollection(resource, remove = {}) {
      await call({
        method: "DELETE",
        path: resourcePath(resource, remove.namespace),
        query: { labelSelector: remove.labelSelector, fieldSelector: remove.fieldSelector },
        headers: fence(remove),
        body: deleteBody(remove),
      });
    },

    getPath: async (path, get = {}) =>
      await call({
        method: "GET",
        path,
        rawQuery: get.query ?? "",
        headers: get.accept === undefined ? {} : { accept: get.accept },
      }),

    async *watch<T extends KubeObject>(
      resource: ResourceName,
      watch: ListOptions & { signal: AbortSignal },
    ): AsyncGenerator<WatchEvent<T>> {
      const response = await options.transport({
        method: "GET",
        path: resourcePath(resource, watch.namespace),
        query: queryString({ watch: 1, allowWatchBookmarks: true, ...listQuery(watch) }),
        headers: { accept: "application/json", "user-agent": options.userAgent },
        body: noBody,
        signal: watch.signal,
        ...(options.user === undefined ? {} : { user: options.user }),
      });
      if (response.status !== 200) throw statusError(response.status, decode(await readBody(response)));
      yield* decodeWatch(response.body) as AsyncGenerator<WatchEvent<T>>;
    },
  };
}

interface Call {
  method: string;
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  rawQuery?: string;
  headers?: Record<string, string>;
  body?: unknown;
}

function caller(options: ClientOptions): (call: Call) => Promise<unknown> {
  const { deadlineMs = 10_000, clock = systemClock } = options;
  return async (call) => {
    const abort = new AbortController();
    let timer: Timer | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = clock.setTimer(deadlineMs, () => {
        const late = new StatusError(
          "Timeout",
          `${call.method} ${call.path}: no answer within ${deadlineMs} ms`,
        );
        abort.abort(late);
        reject(late);
      });
    });
    try {
      return await Promise.race([deadline, perform(options, call, abort.signal)]);
    } finally {
      timer?.cancel();
    }
  };
}

async function perform(options: ClientOptions, call: Call, signal: AbortSignal): Promise<unknown> {
  const response = await options.transport({
    method: call.method,
    path: call.path,
    query: call.rawQuery ?? queryString(call.query ?? {}),
    headers: {
      accept: "application/json",
      "user-agent": options.userAgent,
      ...(call.body === undefined ? {} : { "content-type": "application/json" }),
      ...call.headers,
    },
    body: call.body === undefined ? noBody : encoder.encode(JSON.stringify(call.body)),
    signal,
    ...(options.user === undefined ? {} : { user: options.user }),
  });
  const answer = decode(await readBody(response));
  if (response.status >= 300) throw statusError(response.status, answer);
  return answer;
}

async function readBody(response: HttpResponse): Promise<Uint8Array> {
  if (response.body instanceof Uint8Array) return response.body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

function decode(bytes: Uint8Array): unknown {
  const text = decoder.decode(bytes);
  try {
    return JSON.parse(text);
  } catch {
    return { kind: "Status", message: text.trim() };
  }
}

function writeQuery(write: WriteOptions): Record<string, string | undefined> {
  return { fieldManager: write.fieldManager, dryRun: write.dryRun === true ? "All" : undefined };
}

function fence(write: { fenceTerm?: number }): Record<string, string> {
  return write.fenceTerm === undefined ? {} : { "trivet-fence-term": String(write.fenceTerm) };
}

function deleteBody(remove: DeleteOptions): Record<string, unknown> {
  return {
    kind: "DeleteOptions",
    apiVersion: "v1",
    ...(remove.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: remove.gracePeriodSeconds }),
    ...(remove.propagationPolicy === undefined ? {} : { propagationPolicy: remove.propagationPolicy }),
    ...(remove.preconditions === undefined ? {} : { preconditions: remove.preconditions }),
  };
}
