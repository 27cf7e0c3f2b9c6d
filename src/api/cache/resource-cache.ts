/**
 * All objects of one stored resource, in key order, with the recent events that let a watch resume.
 * It is fed by the hub, in revision order, and serves readers synchronously. It knows nothing of HTTP.
 */
import type { KeyValue, WatchEvent } from "#base/backend.ts";
import { Entry } from "./entry.ts";
import type { ObjectCodec } from "./entry.ts";

export interface CacheEvent {
  type: "ADDED" | "MODIFIED" | "DELETED";
  /** The state after the event; for DELETED the last state, with the revision of the deletion. */
  entry: Entry;
  previous: Entry | undefined;
  revision: number;
  /** Encoded forms, shared by all watchers while the event is being handed out. */
  frames: Map<string, Buffer> | undefined;
}

export interface CacheWatcher {
  onEvent(event: CacheEvent): void;
  /** The feed broke or the resource went away: nothing comes any more. */
  onBroken(): void;
}

/** Events kept per resource for watches that resume. Older ones are read from the backend. */
const historyLimit = 1024;

export class ResourceCache {
  #codec: ObjectCodec;
  readonly keyPrefix: string;
  readonly #entries = new Map<string, Entry>();
  #sorted: Entry[] = [];
  #history: CacheEvent[] = [];
  /** Events with a revision above this one are complete in `#history`. */
  #historyFloor = 0;
  #lastChange = 0;
  readonly #watchers = new Set<CacheWatcher>();
  readonly #listeners = new Set<(event: CacheEvent) => void>();

  constructor(codec: ObjectCodec, keyPrefix: string) {
    this.#codec = codec;
    this.keyPrefix = keyPrefix;
  }

  get size(): number {
    return this.#sorted.length;
  }

  /** Revision of the last change of any object of this resource that this cache has seen. */
  get lastChange(): number {
    return this.#lastChange;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** Entries of one namespace ("" for all) in key order. The array must not be changed. */
  list(namespace: string): readonly Entry[] {
    if (namespace === "") return this.#sorted;
    const start = `${this.keyPrefix}${namespace}/`;
    const end = `${this.keyPrefix}${namespace}0`;
    return this.#sorted.slice(this.#position(start), this.#position(end));
  }

  /** Starts anew from a complete listing as of `revision`. Watchers are ended: they may have missed something. */
  replace(kvs: readonly KeyValue[], revision: number, codec = this.#codec): void {
    const before = new Map(this.#entries);
    const isSameForm = codec === this.#codec;
    this.#codec = codec;
    this.breakWatchers();
    this.#entries.clear();
    this.#sorted = [];
    for (const kv of kvs) {
      const known = before.get(kv.key);
      const entry =
        known?.revision === kv.modRevision && isSameForm
          ? known
          : Entry.fromKeyValue(codec, this.keyPrefix, kv);
      this.#entries.set(kv.key, entry);
      this.#sorted.push(entry);
    }
    this.#sorted.sort((left, right) => (left.key < right.key ? -1 : 1));
    this.#history = [];
    this.#historyFloor = revision;
    this.#lastChange = revision;
    this.#tellListenersOfReplacement(before);
  }

  #tellListenersOfReplacement(before: Map<string, Entry>): void {
    if (this.#listeners.size === 0) return;
    for (const entry of this.#sorted) {
      const previous = before.get(entry.key);
      before.delete(entry.key);
      if (previous?.revision === entry.revision) continue;
      this.#notify({
        type: previous === undefined ? "ADDED" : "MODIFIED",
        entry,
        previous,
        revision: entry.revision,
        frames: undefined,
      });
    }
    for (const entry of before.values()) {
      this.#notify({
        type: "DELETED",
        entry,
        previous: entry,
        revision: this.#historyFloor,
        frames: undefined,
      });
    }
  }

  apply(event: WatchEvent): void {
    const { kv } = event;
    const previous = this.#entries.get(kv.key);
    if (previous !== undefined && previous.revision >= kv.modRevision) return;
    let change: CacheEvent;
    if (event.type === "put") {
      const entry = Entry.fromKeyValue(this.#codec, this.keyPrefix, kv);
      this.#put(entry, previous);
      change = {
        type: previous === undefined ? "ADDED" : "MODIFIED",
        entry,
        previous,
        revision: kv.modRevision,
        frames: undefined,
      };
    } else {
      if (previous === undefined) return;
      this.#remove(previous);
      change = {
        type: "DELETED",
        entry: previous.atRevision(kv.modRevision),
        previous,
        revision: kv.modRevision,
        frames: undefined,
      };
    }
    this.#lastChange = change.revision;
    this.#remember(change);
    this.#notify(change);
    if (this.#watchers.size === 0) return;
    change.frames = new Map();
    for (const watcher of this.#watchers) watcher.onEvent(change);
    change.frames = undefined;
  }

  /** The events after `revision`, or undefined when they are not all kept here. */
  since(revision: number): CacheEvent[] | undefined {
    if (revision < this.#historyFloor) return undefined;
    let at = this.#history.length;
    while (at > 0 && (this.#history[at - 1]?.revision ?? 0) > revision) at--;
    return this.#history.slice(at);
  }

  /** Adds a watcher for events from now on. Returns the function that removes it. */
  watch(watcher: CacheWatcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** For consumers in the server (RBAC, quota, custom resources): they survive a broken feed. */
  subscribe(listener: (event: CacheEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  breakWatchers(): void {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const watcher of watchers) watcher.onBroken();
  }

  #notify(event: CacheEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #remember(event: CacheEvent): void {
    this.#history.push(event);
    if (this.#history.length < historyLimit * 2) return;
    const dropped = this.#history.length - historyLimit;
    this.#historyFloor = this.#history[dropped - 1]?.revision ?? this.#historyFloor;
    this.#history = this.#history.slice(dropped);
  }

  #put(entry: Entry, previous: Entry | undefined): void {
    this.#entries.set(entry.key, entry);
    const at = this.#position(entry.key);
    if (previous === undefined) this.#sorted.splice(at, 0, entry);
    else this.#sorted[at] = entry;
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.key);
    this.#sorted.splice(this.#position(entry.key), 1);
  }

  /** Index of the first entry whose key is not below `key`. */
  #position(key: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle]?.key ?? "") < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
