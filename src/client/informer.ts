/**
 * Informers: a current, read-only copy of a set of objects, kept by a list and a watch with bookmarks.
 * An informer never goes silent: every failure is logged and tried again with growing, jittered pauses;
 * a watch that shows no sign of life is replaced; an expired one is followed by a new list.
 * Whoever writes may `apply` the answer, so that it reads its own writes before the watch shows them.
 */
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger, Random } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import { ObjectStore } from "./object-store.ts";
import type { Indexers } from "./object-store.ts";
import { systemRandom } from "./system-clock.ts";
import type { Client, Informer, ListOptions, ResourceName } from "./types.ts";

export interface InformerOptions<T extends KubeObject> {
  client: Client;
  resource: ResourceName;
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  clock: Clock;
  logger: Logger;
  random?: Random;
  /** Changes a fresh object before it is kept: what nobody reads should not use memory. Default: drops managedFields. */
  transform?: (object: T) => T;
  /** Named indexes for `byIndex`: each gives the values under which an object is found. */
  indexes?: Indexers<T>;
  /** A watch without event or bookmark for this long is replaced. Default 150 s. */
  silenceLimitMs?: number;
  /** Freeze what is kept. For tests. */
  freeze?: boolean;
}

/** An informer that also has indexes and takes the results of its owner's writes. */
export interface IndexedInformer<T extends KubeObject = KubeObject> extends Informer<T> {
  byIndex(index: string, value: string): T[];
  /** The answer to a write of this process: seen at once, unless the copy is already newer. */
  apply(object: T): void;
  /** This process has removed the object for good: gone at once, and older news of it are ignored. */
  forget(object: T): void;
  readonly size: number;
  /** Everything up to this resourceVersion has been seen. */
  readonly resourceVersion: string;
}

export function createInformer<T extends KubeObject = KubeObject>(
  options: InformerOptions<T>,
): IndexedInformer<T> {
  const informer = new ListWatch<T>(options);
  informer.start();
  return informer;
}

export function dropManagedFields<T extends KubeObject>(object: T): T {
  delete object.metadata.managedFields;
  return object;
}

const backoffFirstMs = 200;
const backoffLimitMs = 10_000;
const watchSeconds = 300;

class ListWatch<T extends KubeObject> implements IndexedInformer<T> {
  readonly #options: InformerOptions<T>;
  readonly #store: ObjectStore<T>;
  readonly #handlers = new Set<(object: T | undefined, old: T | undefined) => void>();
  readonly #stopped = new AbortController();
  readonly #whenSynced: Promise<void>;
  #markSynced!: () => void;
  #synced = false;
  #resourceVersion = "";

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#store = new ObjectStore(options.indexes ?? {}, (object, old) => this.#notify(object, old));
    this.#whenSynced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  get synced(): boolean {
    return this.#synced;
  }

  get size(): number {
    return this.#store.size;
  }

  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  whenSynced(): Promise<void> {
    return this.#whenSynced;
  }

  get(key: string): T | undefined {
    return this.#store.get(key);
  }

  list(namespace?: string): T[] {
    return this.#store.list(namespace);
  }

  byIndex(index: string, value: string): T[] {
    return this.#store.byIndex(index, value);
  }

  apply(object: T): void {
    this.#store.put(this.#prepare(object));
  }

  forget(object: T): void {
    this.#store.bury(object);
  }

  onChange(handler: (object: T | undefined, old: T | undefined) => void): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#stopped.abort();
    this.#handlers.clear();
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#stopped.signal.aborted) {
      try {
        if (this.#resourceVersion === "") await this.#list();
        await this.#watch(() => {
          failures = 0;
        });
        failures = 0;
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        if (error instanceof StatusError && error.code === 410) this.#resourceVersion = "";
        failures++;
        this.#log(failures, error as Error);
        await this.#pause(failures);
      }
    }
  }

  async #list(): Promise<void> {
    const { client, resource } = this.#options;
    const items: T[] = [];
    let page: { resourceVersion: string; continue?: string } | undefined;
    do {
      const list = { ...this.#selection(), limit: 500 };
      const answer: { items: T[]; resourceVersion: string; continue?: string } = await client.list<T>(
        resource,
        page?.continue === undefined ? list : { ...list, continue: page.continue },
      );
      for (const item of answer.items) items.push(this.#prepare(item));
      page = answer;
    } while (page.continue !== undefined);
    if (this.#stopped.signal.aborted) return;
    this.#store.replace(items, Number(page.resourceVersion));
    this.#resourceVersion = page.resourceVersion;
    this.#synced = true;
    this.#markSynced();
  }

  async #watch(alive: () => void): Promise<void> {
    const { client, clock, resource } = this.#options;
    const abort = new AbortController();
    const silenceLimitMs = this.#options.silenceLimitMs ?? 150_000;
    let lastSignMs = clock.monotonicMs();
    let silent = false;
    const check = (): void => {
      const leftMs = silenceLimitMs - (clock.monotonicMs() - lastSignMs);
      silent = leftMs <= 0;
      if (silent) abort.abort();
      // A rest of a fraction too small for the clock to show would come back at the same time for ever.
      else timer = clock.setTimer(Math.ceil(leftMs), check);
    };
    let timer = clock.setTimer(silenceLimitMs, check);
    const onStop = (): void => abort.abort();
    this.#stopped.signal.addEventListener("abort", onStop, { once: true });
    try {
      const watch = client.watch<T>(resource, {
        ...this.#selection(),
        resourceVersion: this.#resourceVersion,
        timeoutSeconds: watchSeconds + this.#random(watchSeconds),
        signal: abort.signal,
      });
      for await (const event of watch) {
        lastSignMs = clock.monotonicMs();
        alive();
        if (this.#stopped.signal.aborted) return;
        if (event.type === "DELETED") this.#store.remove(event.object);
        else if (event.type !== "BOOKMARK") this.#store.put(this.#prepare(event.object));
        this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion;
      }
    } catch (error) {
      if (!silent) throw error;
    } finally {
      timer.cancel();
      this.#stopped.signal.removeEventListener("abort", onStop);
    }
    if (silent) throw new StatusError("Timeout", `the watch was silent for ${silenceLimitMs} ms`);
    // A server that ends watches at once must not make a busy loop of this.
    if (clock.monotonicMs() - lastSignMs < 5) await this.#pause(1);
  }

  #selection(): ListOptions {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
  }

  #prepare(object: T): T {
    const kept = (this.#options.transform ?? dropManagedFields)(object);
    return this.#options.freeze === true ? deepFreeze(kept) : kept;
  }

  #notify(object: T | undefined, old: T | undefined): void {
    for (const handler of this.#handlers) handler(object, old);
  }

  #log(failures: number, error: Error): void {
    const { resource, logger } = this.#options;
    const expired = error instanceof StatusError && error.code === 410;
    const message = "list and watch failed, will be tried again";
    const fields = { resource: resource.plural, failures, error: error.message };
    if (expired || failures < 3) logger.debug(message, fields);
    else logger.warn(message, fields);
  }

  #pause(failures: number): Promise<void> {
    const limitMs = Math.min(backoffFirstMs * 2 ** (failures - 1), backoffLimitMs);
    const delayMs = limitMs / 2 + this.#random(Math.ceil(limitMs / 2));
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#stopped.signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = this.#options.clock.setTimer(delayMs, done);
      this.#stopped.signal.addEventListener("abort", done, { once: true });
    });
  }

  #random(bound: number): number {
    return (this.#options.random ?? systemRandom).integer(bound);
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
