/**
 * The objects of an informer, with indexes. Resource versions decide: older news than what is kept is
 * ignored, so that watch events, lists and the answers to own writes may come in any order.
 */
import type { KubeObject } from "#kinds/object.ts";

export type Indexers<T> = Readonly<Record<string, (object: T) => readonly string[]>>;

export function objectKey(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined || namespace === "" ? (name ?? "") : `${namespace}/${name ?? ""}`;
}

const buriedLimit = 1000;

export class ObjectStore<T extends KubeObject> {
  readonly #indexers: Indexers<T>;
  readonly #notify: (object: T | undefined, old: T | undefined) => void;
  readonly #objects = new Map<string, T>();
  readonly #byNamespace = new Map<string, Map<string, T>>();
  readonly #indexes = new Map<string, Map<string, Map<string, T>>>();
  /**
   * Uids of objects that are gone, newest last: a late answer to a write, or older news, must not bring
   * them back. A uid is never used again, so only memory bounds how many are remembered.
   */
  readonly #buried = new Set<string>();

  constructor(indexers: Indexers<T>, notify: (object: T | undefined, old: T | undefined) => void) {
    this.#indexers = indexers;
    this.#notify = notify;
    for (const name of Object.keys(indexers)) this.#indexes.set(name, new Map());
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(namespace?: string): T[] {
    if (namespace === undefined) return [...this.#objects.values()];
    return [...(this.#byNamespace.get(namespace)?.values() ?? [])];
  }

  byIndex(index: string, value: string): T[] {
    const values = this.#indexes.get(index);
    if (values === undefined) throw new Error(`there is no index ${index}`);
    return [...(values.get(value)?.values() ?? [])];
  }

  put(object: T): void {
    const key = objectKey(object);
    const old = this.#objects.get(key);
    if (this.#buried.has(object.metadata.uid ?? "")) return;
    if (old !== undefined && version(old) >= version(object)) return;
    if (old !== undefined) this.#unindex(key, old);
    this.#objects.set(key, object);
    this.#index(key, object);
    this.#notify(object, old);
  }

  /** A deletion that the server told of: the end of this uid, whatever version is kept. */
  remove(object: T): void {
    this.#bury(object.metadata.uid);
    const key = objectKey(object);
    const old = this.#objects.get(key);
    if (old === undefined) return;
    if (old.metadata.uid === object.metadata.uid || version(old) <= version(object)) this.#drop(key, old);
  }

  /** A deletion that this process knows of before the server tells. */
  bury(object: T): void {
    const key = objectKey(object);
    const old = this.#objects.get(key);
    if (old === undefined || old.metadata.uid !== object.metadata.uid) return;
    this.#bury(old.metadata.uid);
    this.#drop(key, old);
  }

  /** What a new list says is there as of its version. */
  replace(objects: readonly T[], listVersion: number): void {
    const listed = new Set(objects.map(objectKey));
    for (const [key, old] of this.#objects) {
      if (!listed.has(key) && version(old) <= listVersion) this.#drop(key, old);
    }
    for (const object of objects) this.put(object);
  }

  #bury(uid: string | undefined): void {
    if (uid === undefined) return;
    this.#buried.add(uid);
    if (this.#buried.size > buriedLimit) this.#buried.delete(this.#buried.values().next().value!);
  }

  #drop(key: string, old: T): void {
    this.#objects.delete(key);
    this.#unindex(key, old);
    this.#notify(undefined, old);
  }

  #index(key: string, object: T): void {
    const { namespace } = object.metadata;
    if (namespace !== undefined) enter(this.#byNamespace, namespace, key, object);
    for (const [name, values] of this.#indexes) {
      for (const value of this.#indexers[name]!(object)) enter(values, value, key, object);
    }
  }

  #unindex(key: string, object: T): void {
    const { namespace } = object.metadata;
    if (namespace !== undefined) leave(this.#byNamespace, namespace, key);
    for (const [name, values] of this.#indexes) {
      for (const value of this.#indexers[name]!(object)) leave(values, value, key);
    }
  }
}

function version(object: KubeObject): number {
  return Number(object.metadata.resourceVersion ?? 0);
}

function enter<T>(map: Map<string, Map<string, T>>, value: string, key: string, object: T): void {
  const members = map.get(value);
  if (members === undefined) map.set(value, new Map([[key, object]]));
  else members.set(key, object);
}

function leave<T>(map: Map<string, Map<string, T>>, value: string, key: string): void {
  const members = map.get(value);
  if (members === undefined) return;
  members.delete(key);
  if (members.size === 0) map.delete(value);
}
