/**
 * The live registry: which resources this server serves, per group and version, and where each is
 * stored. Built-in kinds are here from the start; custom resources come and go at run time. Versions
 * of one resource share one storage and one cache.
 */
import { assert } from "#base/assert.ts";
import type { AnyKind } from "#kinds/kind.ts";
import type { Decoded } from "#kinds/decode.ts";
import type { ExtensionResource } from "#kinds/extension.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Schema } from "#kinds/schema.ts";
import type { ConvertedEntries } from "./cache/converted-entries.ts";
import { ObjectCodec } from "./cache/entry.ts";
import type { ResourceCache } from "./cache/resource-cache.ts";
import type { WatchHub } from "./cache/watch-hub.ts";
import type { Companions } from "./storage/object-store.ts";
import type { GroupResource } from "./status.ts";

/** How a served version relates to the stored one, where they differ. */
export interface VersionConversion {
  /** Both may change and return the object that they are given. */
  fromStorage(object: KubeObject): KubeObject;
  toStorage(object: KubeObject): KubeObject;
}

export interface StoredResource {
  keyPrefix: string;
  codec: ObjectCodec;
  cache: ResourceCache;
}

/** One resource in one served version. */
export interface Resource {
  kind: AnyKind;
  groupResource: GroupResource;
  groupVersion: string;
  namespaced: boolean;
  /** Undefined for kinds that are answered, not stored. */
  stored: StoredResource | undefined;
  /** Custom resources: their items in lists carry kind and apiVersion, unknown fields follow their own rules. */
  custom: boolean;
  conversion: VersionConversion | undefined;
  /** Where a webhook converts: the stored objects in this version. Lists, watches and answers have these. */
  converted: ConvertedEntries | undefined;
  /** Custom resources: their schema, and decoding by it. */
  schema: Schema | undefined;
  decode: ((value: Record<string, unknown>) => Decoded) | undefined;
  /** What is reserved (or, without an object, released) in the same transaction: a Service's addresses. */
  companions:
    | ((object: KubeObject | undefined, old: KubeObject | undefined, dryRun?: boolean) => Companions)
    | undefined;
  /** Custom resources: nothing new is created while the definition is being deleted. */
  terminating: boolean;
  /** Where its objects come from when they are computed by another room. */
  extension: ExtensionResource | undefined;
}

export class ResourceRegistry {
  readonly #hub: WatchHub;
  readonly #resources = new Map<string, Resource>();
  /** What `findAnyVersion` has found since the last change. */
  readonly #anyVersion = new Map<string, Resource>();
  readonly #stored = new Map<string, StoredResource>();
  readonly #listeners = new Set<() => void>();

  constructor(hub: WatchHub) {
    this.#hub = hub;
  }

  /** Where objects of this resource live in the store, as upstream's etcd layout. */
  static keyPrefixOf(group: string, plural: string, custom: boolean): string {
    const special = specialPrefixes[group === "" ? plural : `${plural}.${group}`];
    if (special !== undefined) return special;
    return custom ? `/registry/${group}/${plural}/` : `/registry/${plural}/`;
  }

  /**
   * Serves a kind. `storage` is the kind whose version is stored, itself by default. Returns the new
   * resource; its cache must be loaded (`WatchHub.load`) when the hub already runs.
   */
  add(
    kind: AnyKind,
    options: {
      custom?: boolean;
      storage?: AnyKind;
      conversion?: VersionConversion | undefined;
      converted?: ConvertedEntries | undefined;
      /** How the storage is written, where that takes more than its kind. */
      codec?: ObjectCodec;
      schema?: Schema | undefined;
      decode?: Resource["decode"];
      extension?: ExtensionResource;
    } = {},
  ): Resource {
    const custom = options.custom ?? false;
    const resource: Resource = {
      kind,
      groupResource: { group: kind.group, resource: kind.plural },
      groupVersion: kind.group === "" ? kind.version : `${kind.group}/${kind.version}`,
      namespaced: kind.namespaced,
      stored:
        kind.stored === false ? undefined : this.#storageOf(options.storage ?? kind, custom, options.codec),
      custom,
      conversion: options.conversion,
      converted: options.converted,
      schema: options.schema,
      decode: options.decode,
      companions: undefined,
      terminating: false,
      extension: options.extension,
    };
    this.#resources.set(keyOf(kind.group, kind.version, kind.plural), resource);
    this.#changed();
    return resource;
  }

  /** Stored objects are read with another codec from now on; `swap` serves them so, in the same turn. */
  recode(stored: StoredResource, codec: ObjectCodec, swap: () => void): Promise<void> {
    return this.#hub.recode(stored.cache, codec, () => {
      stored.codec = codec;
      swap();
    });
  }

  remove(group: string, version: string, plural: string): void {
    const key = keyOf(group, version, plural);
    const resource = this.#resources.get(key);
    if (resource === undefined) return;
    this.#resources.delete(key);
    const stored = resource.stored;
    if (stored !== undefined && ![...this.#resources.values()].some((each) => each.stored === stored)) {
      this.#stored.delete(stored.keyPrefix);
      this.#hub.removeCache(stored.keyPrefix);
    }
    this.#changed();
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.#resources.get(keyOf(group, version, plural));
  }

  /** The resource of a group in any version, the preferred one first. */
  findAnyVersion(group: string, plural: string): Resource | undefined {
    const key = keyOf(group, "", plural);
    const known = this.#anyVersion.get(key);
    if (known !== undefined) return known;
    for (const resource of this.#resources.values()) {
      if (resource.kind.group !== group || resource.kind.plural !== plural) continue;
      this.#anyVersion.set(key, resource);
      return resource;
    }
    return undefined;
  }

  /** A resource that must exist: built-in kinds that the server itself works with. */
  builtIn(group: string, plural: string): Resource {
    const resource = this.findAnyVersion(group, plural);
    assert(resource !== undefined, `the registry has ${plural}.${group}`);
    return resource;
  }

  all(): Iterable<Resource> {
    return this.#resources.values();
  }

  hasGroupVersion(group: string, version: string): boolean {
    for (const each of this.#resources.values()) {
      if (each.kind.group === group && each.kind.version === version) return true;
    }
    return false;
  }

  /** Called after each change of what is served. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  #storageOf(kind: AnyKind, custom: boolean, given: ObjectCodec | undefined): StoredResource {
    const keyPrefix = ResourceRegistry.keyPrefixOf(kind.group, kind.plural, custom);
    const known = this.#stored.get(keyPrefix);
    if (known !== undefined) return known;
    const codec = given ?? new ObjectCodec(kind);
    const stored = { keyPrefix, codec, cache: this.#hub.addCache(codec, keyPrefix) };
    this.#stored.set(keyPrefix, stored);
    return stored;
  }

  #changed(): void {
    this.#anyVersion.clear();
    for (const listener of this.#listeners) listener();
  }
}

/** Where upstream's key differs from /registry/<plural>/. */
const specialPrefixes: Readonly<Record<string, string>> = {
  nodes: "/registry/minions/",
  services: "/registry/services/specs/",
  endpoints: "/registry/services/endpoints/",
  replicationcontrollers: "/registry/controllers/",
  "ingresses.networking.k8s.io": "/registry/ingress/",
  "events.events.k8s.io": "/registry/events/",
  "customresourcedefinitions.apiextensions.k8s.io":
    "/registry/apiextensions.k8s.io/customresourcedefinitions/",
  "apiservices.apiregistration.k8s.io": "/registry/apiregistration.k8s.io/apiservices/",
};

function keyOf(group: string, version: string, plural: string): string {
  return `${group}/${version}/${plural}`;
}

/** The store's key of one object. */
export function objectKey(stored: StoredResource, namespace: string, name: string): string {
  return namespace === "" ? stored.keyPrefix + name : `${stored.keyPrefix}${namespace}/${name}`;
}
