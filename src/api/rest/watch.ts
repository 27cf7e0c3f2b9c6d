/**
 * WATCH: first what exists (where the client asks for it), then every change from the cache, each
 * encoded once for all watchers of the same form. A watch whose feed breaks is ended, never left silent.
 */
import type { Watch } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { HttpResponse } from "#base/http.ts";
import { findSchema } from "#kinds/schemas.ts";
import { zeroOf } from "#kinds/zero-values.ts";
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import { ByteStream } from "../cache/byte-stream.ts";
import { Entry } from "../cache/entry.ts";
import type { CacheEvent } from "../cache/resource-cache.ts";
import type { Resource } from "../registry.ts";
import { expiredError, internalError } from "../status.ts";
import { entryBytes, entryObject, transformObject } from "../wire/encode.ts";
import { encodeProtobufEvent } from "../wire/protobuf-object.ts";
import { notAcceptable } from "../wire/negotiate.ts";
import type { Representation } from "../wire/negotiate.ts";
import { matches, parseResourceVersion, readListOptions } from "./list-options.ts";
import type { ListOptions } from "./list-options.ts";
import { ConversionQueue } from "./conversion-queue.ts";
import { storedOf } from "./stored.ts";

type EventType = "ADDED" | "MODIFIED" | "DELETED";

const bookmarkIntervalMs = 60_000;
const defaultTimeoutMinSeconds = 1800;

export async function watchObjects(
  core: ApiCore,
  request: ResourceRequest,
  representation: Representation,
): Promise<HttpResponse> {
  const options = readListOptions(request.resource, request.query, true);
  // The end of a streamed list is marked by an object, and no table has one.
  if (
    options.sendInitialEvents === true &&
    options.allowWatchBookmarks &&
    representation.as?.kind === "Table"
  )
    throw notAcceptable(false);
  const selection =
    request.info.parts.length > 1
      ? {
          ...options,
          fields: [
            ...options.fields,
            { field: "metadata.name", operator: "=" as const, value: request.info.name },
          ],
        }
      : options;
  const session = new WatchSession(core, request, representation, selection);
  await session.start();
  return {
    status: 200,
    headers: {
      "content-type":
        representation.format === "protobuf"
          ? "application/vnd.kubernetes.protobuf;stream=watch"
          : "application/json",
    },
    body: session.stream,
  };
}

class WatchSession {
  readonly stream = new ByteStream();
  readonly #core: ApiCore;
  readonly #request: ResourceRequest;
  readonly #resource: Resource;
  readonly #representation: Representation;
  readonly #options: ListOptions;
  readonly #cleanups: (() => void)[] = [];
  /** Events at or below this revision have been delivered (or wait in order to be) or were not asked for. */
  #delivered = 0;
  #sentHeaders = false;
  #ended = false;
  /** Where a webhook converts: what has yet to be delivered, in order. */
  readonly #conversions: ConversionQueue | undefined;

  constructor(core: ApiCore, request: ResourceRequest, representation: Representation, options: ListOptions) {
    this.#core = core;
    this.#request = request;
    this.#resource = request.resource;
    this.#representation = representation;
    this.#options = options;
    const { converted } = request.resource;
    if (converted !== undefined)
      this.#conversions = new ConversionQueue(converted, (error) => {
        this.#sendError(error instanceof StatusError ? error : internalError(error));
        this.#end();
      });
  }

  async start(): Promise<void> {
    const { hub } = this.#core;
    const options = this.#options;
    const cache = storedOf(this.#resource).cache;
    const wanted = parseResourceVersion(options.resourceVersion);
    const sendsState = options.sendInitialEvents ?? wanted === 0;
    if (options.resourceVersion === "") await hub.waitForNewest();
    else if (sendsState && wanted > 0) await hub.waitFor(wanted);
    this.#startTimers();
    if (sendsState) {
      this.#delivered = hub.revision;
      this.#inTurn(cache.list(this.#request.namespace), (entries) => {
        for (const entry of entries) if (matches(options, entry)) this.#send("ADDED", entry, undefined);
      });
      if (options.sendInitialEvents === true && options.allowWatchBookmarks) this.#sendBookmark(true);
    } else {
      this.#delivered = wanted > 0 ? wanted : hub.revision;
      const past = cache.since(this.#delivered);
      if (past === undefined) {
        this.#replayFromStore();
        return;
      }
      for (const event of past) this.#onEvent(event);
    }
    this.#follow();
  }

  /** From now on, everything that the cache sees. */
  #follow(): void {
    if (this.#ended) return;
    const cache = storedOf(this.#resource).cache;
    this.#cleanups.push(
      cache.watch({ onEvent: (event) => this.#onEvent(event), onBroken: () => this.#end() }),
    );
  }

  /**
   * The cache no longer has the events after the wanted revision: the store's own watch serves them,
   * until the cache's history covers the rest.
   */
  #replayFromStore(): void {
    const stored = storedOf(this.#resource);
    const cache = stored.cache;
    const feed: { watch?: Watch } = {};
    let isDone = false;
    const stop = (): void => {
      isDone = true;
      feed.watch?.cancel();
    };
    feed.watch = this.#core.backend.watch(
      { key: stored.keyPrefix, end: `${stored.keyPrefix.slice(0, -1)}0`, fromRevision: this.#delivered + 1 },
      {
        onEvents: (events, revision) => {
          if (isDone) return;
          for (const event of events) {
            const previous =
              event.previous === undefined
                ? undefined
                : Entry.fromKeyValue(stored.codec, stored.keyPrefix, event.previous);
            const revisionOfEvent = event.kv.modRevision;
            if (event.type === "delete") {
              if (previous !== undefined) {
                this.#onEvent({
                  type: "DELETED",
                  entry: previous.atRevision(revisionOfEvent),
                  previous,
                  revision: revisionOfEvent,
                  frames: undefined,
                });
              }
              continue;
            }
            this.#onEvent({
              type: previous === undefined ? "ADDED" : "MODIFIED",
              entry: Entry.fromKeyValue(stored.codec, stored.keyPrefix, event.kv),
              previous,
              revision: revisionOfEvent,
              frames: undefined,
            });
          }
          this.#delivered = Math.max(this.#delivered, revision);
          const rest = cache.since(this.#delivered);
          if (rest === undefined) return;
          stop();
          for (const event of rest) this.#onEvent(event);
          this.#follow();
        },
        onEnd: (error) => {
          if (isDone) return;
          isDone = true;
          if (error === undefined) return;
          const isExpired = error instanceof StatusError && error.reason === "Expired";
          this.#sendError(
            isExpired
              ? expiredError(`too old resource version: ${this.#delivered} (${this.#core.hub.revision})`)
              : error instanceof StatusError
                ? error
                : internalError(error),
          );
          this.#end();
        },
      },
    );
    if (isDone) feed.watch.cancel();
    this.#cleanups.push(stop);
  }

  #startTimers(): void {
    const { clock, random } = this.#core;
    const seconds =
      this.#options.timeoutSeconds ?? defaultTimeoutMinSeconds + random.integer(defaultTimeoutMinSeconds);
    const timeout = clock.setTimer(seconds * 1000, () => {
      if (this.#options.allowWatchBookmarks) this.#sendBookmark(false);
      this.#end();
    });
    this.#cleanups.push(() => timeout.cancel());
    this.stream.onAbandon(() => this.#end());
    const onAbort = (): void => this.#end();
    this.#request.http.signal.addEventListener("abort", onAbort, { once: true });
    this.#cleanups.push(() => this.#request.http.signal.removeEventListener("abort", onAbort));
    if (this.#options.allowWatchBookmarks) this.#scheduleBookmark();
  }

  #scheduleBookmark(): void {
    const timer = this.#core.clock.setTimer(bookmarkIntervalMs, () => {
      if (this.#ended) return;
      this.#sendBookmark(false);
      this.#cleanups.splice(this.#cleanups.indexOf(cancel), 1);
      this.#scheduleBookmark();
    });
    const cancel = (): void => timer.cancel();
    this.#cleanups.push(cancel);
  }

  #onEvent(event: CacheEvent): void {
    if (event.revision <= this.#delivered) return;
    this.#delivered = event.revision;
    const namespace = this.#request.namespace;
    if (namespace !== "" && event.entry.namespace !== namespace) return;
    if (this.#conversions === undefined) this.#deliver(event);
    else this.#deliverConverted(this.#conversions, event);
  }

  /** The event in the version of the watch; its frames stay shared by all watches of that version. */
  #deliverConverted(conversions: ConversionQueue, event: CacheEvent): void {
    const { previous, frames, type, revision } = event;
    // A deletion shows the state before it, which is likely to be converted already.
    const states = type === "DELETED" ? [] : [event.entry];
    if (previous !== undefined) states.push(previous);
    conversions.push(states, (served) => {
      const before = previous === undefined ? undefined : served.at(-1);
      const entry = type === "DELETED" ? before?.atRevision(revision) : served[0];
      if (entry !== undefined) this.#deliver({ type, entry, previous: before, revision, frames });
    });
  }

  #deliver(event: CacheEvent): void {
    const options = this.#options;
    const isMatch = event.type !== "DELETED" && matches(options, event.entry);
    const wasMatch = event.previous !== undefined && matches(options, event.previous);
    if (isMatch) this.#send(wasMatch ? "MODIFIED" : "ADDED", event.entry, event);
    else if (wasMatch && event.type === "DELETED") this.#send("DELETED", event.entry, event);
    else if (wasMatch && event.previous !== undefined) {
      this.#send("DELETED", event.previous.atRevision(event.revision), undefined);
    }
  }

  #send(type: EventType, entry: Entry, event: CacheEvent | undefined): void {
    this.#core.meter.watchEvent(this.#resource);
    this.#write(this.#frame(type, entry, event));
  }

  #frame(type: EventType, entry: Entry, event: CacheEvent | undefined): Buffer {
    const isTable = this.#representation.as?.kind === "Table";
    if (event?.frames === undefined || isTable) return this.#encode(type, entry);
    const as = this.#representation.as;
    const key = `${type} ${this.#resource.groupVersion} ${this.#representation.format} ${as?.kind ?? ""} ${as?.version ?? ""}`;
    const known = event.frames.get(key);
    if (known !== undefined) return known;
    const frame = this.#encode(type, entry);
    event.frames.set(key, frame);
    return frame;
  }

  #encode(type: EventType, entry: Entry): Buffer {
    if (this.#representation.as === undefined && this.#representation.format === "json") {
      return Buffer.concat([
        Buffer.from(`{"type":"${type}","object":`),
        entryBytes(this.#resource, entry),
        Buffer.from("}\n"),
      ]);
    }
    const object = transformObject(
      this.#resource,
      entryObject(this.#resource, entry),
      this.#representation,
      { query: this.#request.query, nowMs: this.#core.clock.nowMs() },
      { headers: !this.#sentHeaders },
    );
    this.#sentHeaders = true;
    return this.#event(type, object);
  }

  #event(type: string, object: unknown): Buffer {
    return this.#representation.format === "protobuf"
      ? encodeProtobufEvent(type, object as Record<string, unknown>)
      : Buffer.from(`${JSON.stringify({ type, object })}\n`);
  }

  /** Either at once or, where a webhook converts, in turn. */
  #inTurn(entries: readonly Entry[], deliver: (entries: readonly Entry[]) => void): void {
    if (this.#conversions === undefined) deliver(entries);
    else this.#conversions.push(entries, deliver);
  }

  /** Tells the client up to which revision it has seen everything. */
  #sendBookmark(endsInitialEvents: boolean): void {
    const revision = Math.max(this.#delivered, endsInitialEvents ? this.#delivered : this.#core.hub.revision);
    const { kind, groupVersion } = this.#resource;
    const zero = findSchema(kind.schemaName) === undefined ? {} : zeroOf(kind.schemaName);
    const metadata = {
      resourceVersion: String(revision),
      creationTimestamp: null,
      ...(endsInitialEvents ? { annotations: this.#endAnnotations() } : {}),
    };
    const object = { kind: kind.kind, apiVersion: groupVersion, ...zero, metadata };
    const shown =
      this.#representation.as?.kind === "PartialObjectMetadata"
        ? {
            kind: "PartialObjectMetadata",
            apiVersion: `meta.k8s.io/${this.#representation.as.version}`,
            metadata,
          }
        : this.#representation.as?.kind === "Table"
          ? transformObject(this.#resource, object, this.#representation, {
              query: this.#request.query,
              nowMs: this.#core.clock.nowMs(),
            })
          : object;
    const frame = this.#event("BOOKMARK", shown);
    this.#inTurn([], () => this.#write(frame));
  }

  /** Marks the end of the initial events; the blueprint is the empty list that they would have come in. */
  #endAnnotations(): Record<string, string> {
    const { kind, groupVersion } = this.#resource;
    const list = { kind: `${kind.kind}List`, apiVersion: groupVersion, metadata: {}, items: null };
    return {
      "k8s.io/initial-events-end": "true",
      "kubernetes.io/initial-events-list-blueprint": Buffer.from(`${JSON.stringify(list)}\n`).toString(
        "base64",
      ),
    };
  }

  #sendError(error: StatusError): void {
    this.#write(this.#event("ERROR", error.toStatus()));
  }

  #write(frame: Buffer): void {
    if (this.#ended) return;
    // A reader that can't keep up is cut off and lists again: its events must not pile up here.
    if (!this.stream.write(frame)) this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
    this.stream.end();
  }
}
