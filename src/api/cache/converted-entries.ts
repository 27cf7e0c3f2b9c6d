/**
 * Stored entries in a version in which they are served, where converting means asking somebody else: a
 * conversion webhook. Each state of an object is converted once per version, however many read it.
 */
import type { KubeObject } from "#kinds/object.ts";
import type { Entry, ObjectCodec } from "./entry.ts";

export interface RemoteConversion {
  /** In the order given. The objects may be in different versions, none of them in the wanted one. */
  convert(objects: readonly KubeObject[], apiVersion: string): Promise<KubeObject[]>;
}

export class ConvertedEntries {
  readonly #conversion: RemoteConversion;
  readonly #served: ObjectCodec;
  readonly #storageVersion: string;
  /** By the state as it is stored: an entry never changes. */
  readonly #known = new WeakMap<Entry, Promise<Entry>>();

  constructor(conversion: RemoteConversion, served: ObjectCodec, storageVersion: string) {
    this.#conversion = conversion;
    this.#served = served;
    this.#storageVersion = storageVersion;
  }

  /** The entries in the served version, those that are not known yet in one question. */
  async of(entries: readonly Entry[]): Promise<Entry[]> {
    const isServed = (entry: Entry) => entry.codec.apiVersion === this.#served.apiVersion;
    const unknown = entries.filter((entry) => !isServed(entry) && !this.#known.has(entry));
    if (unknown.length > 0) this.#ask(unknown);
    return Promise.all(
      entries.map(async (entry) => (isServed(entry) ? entry : (this.#known.get(entry) ?? entry))),
    );
  }

  /** The object, which is in the served version, in the version to be stored. */
  async toStorage(object: KubeObject): Promise<KubeObject> {
    if (this.#served.apiVersion === this.#storageVersion) return object;
    const [converted] = await this.#conversion.convert([object], this.#storageVersion);
    return converted ?? object;
  }

  #ask(entries: readonly Entry[]): void {
    const answer = this.#conversion.convert(
      entries.map((each) => each.decode()),
      this.#served.apiVersion,
    );
    for (const [index, entry] of entries.entries()) {
      const converted = answer.then((objects) => entry.as(this.#served, objects[index] ?? entry.decode()));
      // Asked again by whoever comes next.
      converted.catch(() => this.#known.delete(entry));
      this.#known.set(entry, converted);
    }
  }
}
