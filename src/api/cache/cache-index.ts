/**
 * Which keys some object of a cache has: an index that follows the cache. It is built when it is first
 * asked, and from then on each change costs one look at the changed object.
 */
import type { Entry } from "./entry.ts";
import type { ResourceCache } from "./resource-cache.ts";

export class CacheIndex {
  readonly #cache: () => ResourceCache;
  readonly #keysOf: (entry: Entry) => readonly string[];
  readonly #counts = new Map<string, number>();
  readonly #held = new Map<string, readonly string[]>();
  #started = false;

  /** `keysOf` must depend on nothing but the entry. */
  constructor(cache: () => ResourceCache, keysOf: (entry: Entry) => readonly string[]) {
    this.#cache = cache;
    this.#keysOf = keysOf;
  }

  has(key: string): boolean {
    if (!this.#started) this.#start();
    return this.#counts.has(key);
  }

  #start(): void {
    this.#started = true;
    const cache = this.#cache();
    for (const entry of cache.list("")) this.#hold(entry.key, this.#keysOf(entry));
    cache.subscribe((event) => {
      this.#hold(event.entry.key, event.type === "DELETED" ? [] : this.#keysOf(event.entry));
    });
  }

  #hold(owner: string, keys: readonly string[]): void {
    for (const key of this.#held.get(owner) ?? []) {
      const left = (this.#counts.get(key) ?? 0) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    }
    for (const key of keys) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    if (keys.length > 0) this.#held.set(owner, keys);
    else this.#held.delete(owner);
  }
}
