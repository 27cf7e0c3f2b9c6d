/**
 * What the rooms above the API use to speak with it: a typed client over an HttpHandler (in-process or
 * HTTPS with several endpoints), and informers. `controllers`, `scheduler` and the pure parts of
 * `agent` and `network` never see these: they get plain objects.
 */
import type { KubeObject } from "#kinds/object.ts";

/** Where a resource lives: enough to build its path. */
export interface ResourceName {
  group: string;
  version: string;
  plural: string;
}

export interface ListOptions {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  limit?: number;
  continue?: string;
  resourceVersion?: string;
  /** Watches only: the server ends the watch after this time. */
  timeoutSeconds?: number;
}

export interface WriteOptions {
  subresource?: string;
  fieldManager?: string;
  dryRun?: boolean;
  /** Refused with Conflict unless the node's replica leads in this term (header "Trivet-Fence-Term"). */
  fenceTerm?: number;
}

export type PatchType = "json" | "merge" | "strategic" | "apply";

export interface DeleteOptions {
  gracePeriodSeconds?: number;
  propagationPolicy?: "Orphan" | "Background" | "Foreground";
  preconditions?: { uid?: string; resourceVersion?: string };
  fenceTerm?: number;
}

export interface WatchEvent<T extends KubeObject = KubeObject> {
  type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  object: T;
}

/** All methods reject with a StatusError made from the server's Status. */
export interface Client {
  get<T extends KubeObject>(resource: ResourceName, namespace: string | undefined, name: string): Promise<T>;
  list<T extends KubeObject>(
    resource: ResourceName,
    options?: ListOptions,
  ): Promise<{ items: T[]; resourceVersion: string; continue?: string }>;
  create<T extends KubeObject>(resource: ResourceName, object: T, options?: WriteOptions): Promise<T>;
  /** `object.metadata` names it. */
  update<T extends KubeObject>(resource: ResourceName, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(
    resource: ResourceName,
    namespace: string | undefined,
    name: string,
    type: PatchType,
    patch: unknown,
    options?: WriteOptions & { force?: boolean },
  ): Promise<T>;
  /** Resolves with the object as it is left when it is still there (grace period, finalizers). */
  delete(
    resource: ResourceName,
    namespace: string | undefined,
    name: string,
    options?: DeleteOptions,
  ): Promise<KubeObject | void>;
  /** POST of a body to a subresource that speaks another kind (binding, eviction, token). */
  post<T extends KubeObject>(
    resource: ResourceName,
    namespace: string | undefined,
    name: string,
    subresource: string,
    body: KubeObject,
    options?: WriteOptions,
  ): Promise<T>;
  /** Ends when the server ends the watch; throws a StatusError for an ERROR event. */
  watch<T extends KubeObject>(
    resource: ResourceName,
    options: ListOptions & { signal: AbortSignal },
  ): AsyncIterable<WatchEvent<T>>;
}

/** What `createClient` returns: also what only garbage collection, namespaces and tools need. */
export interface ApiClient extends Client {
  deleteCollection(
    resource: ResourceName,
    options?: Pick<ListOptions, "namespace" | "labelSelector" | "fieldSelector"> & DeleteOptions,
  ): Promise<void>;
  /** GET of any path (discovery, version, OpenAPI), decoded from JSON. */
  getPath(path: string, options?: { query?: string; accept?: string }): Promise<unknown>;
}

/** A read-only, current copy of a set of objects. Objects in it are frozen in tests. */
export interface Informer<T extends KubeObject = KubeObject> {
  /** By "namespace/name", or "name" for cluster-scoped kinds. */
  get(key: string): T | undefined;
  list(namespace?: string): T[];
  /** True once the first list is complete. */
  readonly synced: boolean;
  whenSynced(): Promise<void>;
  /** Handlers are called in order, after the copy has changed. `old` is undefined for an addition, `object` for a deletion. Returns unsubscribe. */
  onChange(handler: (object: T | undefined, old: T | undefined) => void): () => void;
  stop(): void;
}
