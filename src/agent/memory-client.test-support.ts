/**
 * A client with an API server's behaviour in memory, as much of it as the agent meets: versions,
 * watches, merge by name and type, graceful deletion of pods, tokens. For tests only.
 */
import { StatusError } from "#base/errors.ts";
import type {
  Client,
  DeleteOptions,
  ListOptions,
  ResourceName,
  WatchEvent,
  WriteOptions,
} from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";

interface Subscription {
  prefix: string;
  matches(object: KubeObject): boolean;
  push(event: WatchEvent): void;
}

const mergeKeys: Readonly<Record<string, string>> = {
  conditions: "type",
  podIPs: "ip",
  hostIPs: "ip",
  addresses: "type",
};

export class MemoryClient implements Client {
  #objects = new Map<string, KubeObject>();
  #version = 0;
  #subscriptions = new Set<Subscription>();

  get<T extends KubeObject>(resource: ResourceName, namespace: string | undefined, name: string): Promise<T> {
    const found = this.#objects.get(keyOf(resource, namespace, name));
    if (!found) return Promise.reject(missing(resource, name));
    return Promise.resolve(structuredClone(found) as T);
  }

  list<T extends KubeObject>(
    resource: ResourceName,
    options: ListOptions = {},
  ): Promise<{ items: T[]; resourceVersion: string }> {
    const matches = matcher(options);
    const prefix = prefixOf(resource, options.namespace);
    const items = [...this.#objects]
      .filter(([key, object]) => key.startsWith(prefix) && matches(object))
      .map(([, object]) => structuredClone(object) as T);
    return Promise.resolve({ items, resourceVersion: String(this.#version) });
  }

  create<T extends KubeObject>(resource: ResourceName, object: T): Promise<T> {
    const { name = "", namespace } = object.metadata;
    const key = keyOf(resource, namespace, name);
    if (this.#objects.has(key))
      return Promise.reject(new StatusError("AlreadyExists", `${resource.plural} "${name}" already exists`));
    const created = structuredClone(object);
    created.metadata.uid ??= crypto.randomUUID();
    created.metadata.creationTimestamp ??= new Date().toISOString();
    return Promise.resolve(this.#store(key, created, "ADDED") as T);
  }

  update<T extends KubeObject>(resource: ResourceName, object: T): Promise<T> {
    const { name = "", namespace } = object.metadata;
    const key = keyOf(resource, namespace, name);
    if (!this.#objects.has(key)) return Promise.reject(missing(resource, name));
    return Promise.resolve(this.#store(key, structuredClone(object), "MODIFIED") as T);
  }

  patch<T extends KubeObject>(
    resource: ResourceName,
    namespace: string | undefined,
    name: string,
    _type: string,
    patch: unknown,
    _options?: WriteOptions,
  ): Promise<T> {
    const key = keyOf(resource, namespace, name);
    const found = this.#objects.get(key);
    if (!found) return Promise.reject(missing(resource, name));
    const uid = (patch as { metadata?: { uid?: string } }).metadata?.uid;
    if (uid !== undefined && uid !== found.metadata.uid)
      return Promise.reject(new StatusError("Conflict", "the uid in the precondition does not match"));
    const merged = merge(structuredClone(found), patch, "") as KubeObject;
    if (JSON.stringify(merged) === JSON.stringify(found)) return Promise.resolve(structuredClone(found) as T);
    return Promise.resolve(this.#store(key, merged, "MODIFIED") as T);
  }

  delete(
    resource: ResourceName,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    const key = keyOf(resource, namespace, name);
    const found = this.#objects.get(key);
    if (!found) return Promise.reject(missing(resource, name));
    const spec = found["spec"] as { terminationGracePeriodSeconds?: number } | undefined;
    const seconds = options.gracePeriodSeconds ?? spec?.terminationGracePeriodSeconds ?? 30;
    if (resource.plural === "pods" && seconds > 0) {
      const marked = structuredClone(found);
      marked.metadata.deletionTimestamp = new Date(Date.now() + seconds * 1000).toISOString();
      marked.metadata.deletionGracePeriodSeconds = seconds;
      this.#store(key, marked, "MODIFIED");
      return Promise.resolve();
    }
    this.#objects.delete(key);
    const gone = structuredClone(found);
    gone.metadata.resourceVersion = String(++this.#version);
    this.#announce(key, { type: "DELETED", object: gone });
    return Promise.resolve();
  }

  post<T extends KubeObject>(
    _resource: ResourceName,
    namespace: string | undefined,
    name: string,
    subresource: string,
    body: KubeObject,
  ): Promise<T> {
    const seconds = (body["spec"] as { expirationSeconds?: number }).expirationSeconds ?? 3600;
    const status = {
      token: `${subresource}-of-${namespace}-${name}`,
      expirationTimestamp: new Date(Date.now() + seconds * 1000).toISOString(),
    };
    return Promise.resolve({ ...body, status } as unknown as T);
  }

  async *watch<T extends KubeObject>(
    resource: ResourceName,
    options: ListOptions & { signal: AbortSignal },
  ): AsyncIterable<WatchEvent<T>> {
    const queue: WatchEvent[] = [];
    let wake: () => void = () => undefined;
    const subscription: Subscription = {
      prefix: prefixOf(resource, options.namespace),
      matches: matcher(options),
      push(event) {
        queue.push(event);
        wake();
      },
    };
    const since = Number(options.resourceVersion ?? this.#version);
    for (const [key, object] of this.#objects)
      if (
        key.startsWith(subscription.prefix) &&
        subscription.matches(object) &&
        Number(object.metadata.resourceVersion) > since
      )
        queue.push({ type: "MODIFIED", object: structuredClone(object) });
    this.#subscriptions.add(subscription);
    options.signal.addEventListener("abort", () => wake());
    try {
      while (!options.signal.aborted) {
        const event = queue.shift();
        if (event) yield event as WatchEvent<T>;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      this.#subscriptions.delete(subscription);
    }
  }

  #store(key: string, object: KubeObject, type: "ADDED" | "MODIFIED"): KubeObject {
    object.metadata.resourceVersion = String(++this.#version);
    this.#objects.set(key, object);
    this.#announce(key, { type, object });
    return structuredClone(object);
  }

  #announce(key: string, event: WatchEvent): void {
    for (const subscription of this.#subscriptions)
      if (key.startsWith(subscription.prefix) && subscription.matches(event.object))
        subscription.push({ ...event, object: structuredClone(event.object) });
  }
}

function prefixOf(resource: ResourceName, namespace: string | undefined): string {
  return `${resource.group}/${resource.plural}/${namespace === undefined ? "" : `${namespace}/`}`;
}

function keyOf(resource: ResourceName, namespace: string | undefined, name: string): string {
  return `${resource.group}/${resource.plural}/${namespace === undefined ? "" : `${namespace}/`}${name}`;
}

function missing(resource: ResourceName, name: string): StatusError {
  return new StatusError("NotFound", `${resource.plural} "${name}" not found`);
}

function matcher({ fieldSelector }: ListOptions): (object: KubeObject) => boolean {
  if (!fieldSelector) return () => true;
  const [path = "", value] = fieldSelector.split("=");
  return (object) => {
    let node: unknown = object;
    for (const step of path.split(".")) node = (node as Record<string, unknown> | undefined)?.[step];
    return node === value;
  };
}

function merge(target: unknown, patch: unknown, field: string): unknown {
  if (Array.isArray(patch)) {
    const key = mergeKeys[field];
    if (key === undefined || !Array.isArray(target)) return patch;
    const result = target as Record<string, unknown>[];
    for (const item of patch as Record<string, unknown>[]) {
      const index = result.findIndex((each) => each[key] === item[key]);
      if (item["$patch"] === "delete") result.splice(index, index < 0 ? 0 : 1);
      else if (index < 0) result.push(item);
      else result[index] = merge(result[index], item, "") as Record<string, unknown>;
    }
    return result;
  }
  if (typeof patch !== "object" || patch === null) return patch;
  const result = (typeof target === "object" && target !== null ? target : {}) as Record<string, unknown>;
  for (const [key, value] of Object.entries(patch)) {
    if (value === null && !key.startsWith("last")) delete result[key];
    else result[key] = merge(result[key], value, key);
  }
  return result;
}
