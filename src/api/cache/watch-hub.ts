/**
 * The one backend watch that feeds every resource's cache. It loads the caches, follows the log and
 * knows up to which revision this node has seen everything. When the feed breaks, watchers are ended
 * loudly and the caches are loaded again; nothing polls.
 */
import type { Backend, KeyValue, Watch, WatchEvent } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger } from "#base/ports.ts";
import { tooLargeResourceVersion } from "../status.ts";
import { ResourceCache } from "./resource-cache.ts";
import type { ObjectCodec } from "./entry.ts";

const root = "/registry/";
const rootEnd = "/registry0";
const pageSize = 5000;
const retryDelayMs = 200;

interface Waiter {
  revision: number;
  resolve: () => void;
  reject: (error: Error) => void;
}

export class WatchHub {
  readonly #backend: Backend;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #caches = new Map<string, ResourceCache>();
  /** Caches that are being loaded after the start, with the events that came meanwhile. */
  readonly #loading = new Map<string, WatchEvent[]>();
  /** Caches that are read once more while they serve, likewise. */
  readonly #recoding = new Map<string, WatchEvent[]>();
  readonly #waiters = new Set<Waiter>();
  readonly #progressListeners = new Set<(revision: number) => void>();
  #revision = 0;
  #watch: Watch | undefined;
  #feeding = false;
  #closed = false;
  #generation = 0;

  constructor(options: { backend: Backend; clock: Clock; logger: Logger }) {
    this.#backend = options.backend;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /** Everything up to this revision is in the caches. */
  get revision(): number {
    return this.#revision;
  }

  get isFeeding(): boolean {
    return this.#feeding;
  }

  /** Makes the cache of a resource; before `start` it is loaded with the rest, else by `load`. */
  addCache(codec: ObjectCodec, keyPrefix: string): ResourceCache {
    const cache = new ResourceCache(codec, keyPrefix);
    this.#caches.set(keyPrefix, cache);
    return cache;
  }

  removeCache(keyPrefix: string): void {
    this.#caches.get(keyPrefix)?.breakWatchers();
    this.#caches.delete(keyPrefix);
    this.#loading.delete(keyPrefix);
    this.#recoding.delete(keyPrefix);
  }

  /** Loads a cache that was added while the hub runs. */
  async load(cache: ResourceCache): Promise<void> {
    const arrived: WatchEvent[] = [];
    this.#loading.set(cache.keyPrefix, arrived);
    const { kvs, revision } = await this.#readAll(cache.keyPrefix, `${cache.keyPrefix.slice(0, -1)}0`);
    if (this.#loading.get(cache.keyPrefix) !== arrived) return;
    this.#loading.delete(cache.keyPrefix);
    cache.replace(kvs, revision);
    for (const event of arrived) if (event.kv.modRevision > revision) cache.apply(event);
  }

  /**
   * Reads what the cache has once more, with another codec. Until that is complete the cache serves as
   * before; then it has the new form at once, its watchers are ended, and `swap` is called in the same turn.
   */
  async recode(cache: ResourceCache, codec: ObjectCodec, swap: () => void): Promise<void> {
    const { keyPrefix } = cache;
    const arrived: WatchEvent[] = [];
    this.#recoding.set(keyPrefix, arrived);
    const { kvs, revision } = await this.#readAll(keyPrefix, `${keyPrefix.slice(0, -1)}0`);
    if (this.#recoding.get(keyPrefix) !== arrived || this.#caches.get(keyPrefix) !== cache) return;
    this.#recoding.delete(keyPrefix);
    cache.replace(kvs, revision, codec);
    for (const event of arrived) if (event.kv.modRevision > revision) cache.apply(event);
    swap();
  }

  /** Loads all caches and follows from there. Resolves when they are complete. */
  async start(): Promise<void> {
    await this.#reload();
  }

  /**
   * Resolves once this node has seen `revision`. Rejects with upstream's "Too large resource version"
   * when it hasn't within the time (default: 3 s, as upstream's cache).
   */
  async waitFor(revision: number, timeoutMs = 3000): Promise<void> {
    if (this.#revision >= revision && this.#feeding) return;
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        revision,
        resolve: () => {
          timer.cancel();
          resolve();
        },
        reject: (error) => {
          timer.cancel();
          reject(error);
        },
      };
      const timer = this.#clock.setTimer(timeoutMs, () => {
        this.#waiters.delete(waiter);
        reject(tooLargeResourceVersion(revision, this.#revision));
      });
      this.#waiters.add(waiter);
    });
  }

  /** Asks the quorum for the newest revision and waits for it: what follows is a consistent read. */
  async waitForNewest(): Promise<number> {
    const revision = await this.#backend.readRevision();
    if (this.#revision < revision || !this.#feeding) await this.waitFor(revision, 10_000);
    return this.#revision;
  }

  /** Called with the hub's revision after each batch of events, also when none concerned a cache. */
  onProgress(listener: (revision: number) => void): () => void {
    this.#progressListeners.add(listener);
    return () => this.#progressListeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    this.#generation++;
    this.#watch?.cancel();
    for (const cache of this.#caches.values()) cache.breakWatchers();
    for (const waiter of this.#waiters) {
      waiter.reject(new StatusError("ServiceUnavailable", "the API server is shutting down"));
    }
    this.#waiters.clear();
  }

  async #reload(): Promise<void> {
    const generation = ++this.#generation;
    const { kvs, revision } = await this.#readAll(root, rootEnd);
    if (this.#closed || generation !== this.#generation) return;
    const byPrefix = new Map<string, KeyValue[]>();
    for (const kv of kvs) {
      const prefix = this.#prefixOf(kv.key);
      if (prefix === undefined) continue;
      const list = byPrefix.get(prefix);
      if (list === undefined) byPrefix.set(prefix, [kv]);
      else list.push(kv);
    }
    this.#loading.clear();
    for (const [prefix, cache] of this.#caches) cache.replace(byPrefix.get(prefix) ?? [], revision);
    this.#feeding = true;
    this.#advance(revision);
    this.#watch = this.#backend.watch(
      { key: "\0", end: "\0", fromRevision: revision + 1 },
      {
        onEvents: (events, seen) => {
          if (generation === this.#generation) this.#onEvents(events, seen);
        },
        onEnd: (error) => {
          if (generation === this.#generation && !this.#closed) this.#onFeedBroken(error);
        },
      },
    );
  }

  async #readAll(key: string, end: string): Promise<{ kvs: KeyValue[]; revision: number }> {
    const first = await this.#backend.range({ key, end, limit: pageSize });
    const kvs = first.kvs;
    let more = first.more;
    while (more) {
      const last = kvs[kvs.length - 1];
      if (last === undefined) break;
      const page = await this.#backend.range({
        key: `${last.key}\0`,
        end,
        limit: pageSize,
        revision: first.revision,
      });
      kvs.push(...page.kvs);
      more = page.more;
    }
    return { kvs, revision: first.revision };
  }

  #onEvents(events: readonly WatchEvent[], revision: number): void {
    for (const event of events) {
      const prefix = this.#prefixOf(event.kv.key);
      if (prefix === undefined) continue;
      this.#recoding.get(prefix)?.push(event);
      const arrived = this.#loading.get(prefix);
      if (arrived !== undefined) arrived.push(event);
      else this.#caches.get(prefix)?.apply(event);
    }
    this.#advance(revision);
  }

  #advance(revision: number): void {
    if (revision > this.#revision) this.#revision = revision;
    if (this.#waiters.size > 0) {
      for (const waiter of this.#waiters) {
        if (waiter.revision <= this.#revision) {
          this.#waiters.delete(waiter);
          waiter.resolve();
        }
      }
    }
    for (const listener of this.#progressListeners) listener(this.#revision);
  }

  #onFeedBroken(error: Error | undefined): void {
    this.#feeding = false;
    this.#logger.warn("the watch that feeds the caches has ended; loading them again", {
      error: error?.message ?? "ended without an error",
    });
    for (const cache of this.#caches.values()) cache.breakWatchers();
    this.#retry();
  }

  #retry(): void {
    if (this.#closed) return;
    this.#clock.setTimer(retryDelayMs, () => {
      if (this.#closed) return;
      this.#reload().catch((error: unknown) => {
        this.#logger.warn("the caches could not be loaded", { error: String(error) });
        this.#retry();
      });
    });
  }

  /** Keys are /registry/<resource>/… or, for services and custom resources, /registry/<a>/<b>/…. */
  #prefixOf(key: string): string | undefined {
    if (!key.startsWith(root)) return undefined;
    const first = key.indexOf("/", root.length);
    if (first < 0) return undefined;
    const short = key.slice(0, first + 1);
    if (this.#caches.has(short)) return short;
    const second = key.indexOf("/", first + 1);
    if (second < 0) return undefined;
    const long = key.slice(0, second + 1);
    return this.#caches.has(long) ? long : undefined;
  }
}
