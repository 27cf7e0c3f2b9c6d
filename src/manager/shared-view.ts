/**
 * The copies of objects that all control loops of one leadership share: one informer per resource, the
 * view over them, and what is left out of them to keep memory small.
 */
import { createInformer, dropManagedFields } from "#client/informer.ts";
import type { IndexedInformer } from "#client/informer.ts";
import type { ApiClient } from "#client/types.ts";
import type { View } from "#controllers/controller.ts";
import { viewIndexes } from "#controllers/indexes.ts";
import type { Resource } from "#controllers/kubernetes.ts";
import type { Clock, Logger, Random } from "#base/ports.ts";
import { copyOf } from "#kinds/equality.ts";
import type { KubeObject } from "#kinds/object.ts";

export type ChangeHandler = (
  resource: Resource,
  object: KubeObject | undefined,
  old: KubeObject | undefined,
) => void;

export class SharedView implements View {
  readonly #options: { client: ApiClient; clock: Clock; random: Random; logger: Logger };
  readonly #informers = new Map<string, { resource: Resource; informer: IndexedInformer }>();
  readonly #handlers = new Map<string, ChangeHandler[]>();
  readonly #handlersOfAll: ChangeHandler[] = [];

  constructor(options: { client: ApiClient; clock: Clock; random: Random; logger: Logger }) {
    this.#options = options;
  }

  /** Starts the resource's informer unless it runs. `metadataOnly` holds if this is the first to ask. */
  ensure(resource: Resource, metadataOnly = false): void {
    const key = keyOf(resource);
    if (this.#informers.has(key)) return;
    const informer = createInformer({
      ...this.#options,
      resource,
      indexes: viewIndexes,
      transform: metadataOnly ? onlyMetadata : slim,
    });
    this.#informers.set(key, { resource, informer });
    informer.onChange((object, old) => {
      for (const handler of this.#handlers.get(key) ?? []) handler(resource, object, old);
      for (const handler of this.#handlersOfAll) handler(resource, object, old);
    });
  }

  /** Stops copying a resource that is no longer served. */
  drop(resource: Resource): void {
    const key = keyOf(resource);
    this.#informers.get(key)?.informer.stop();
    this.#informers.delete(key);
  }

  onChange(resource: Resource, handler: ChangeHandler): void {
    const key = keyOf(resource);
    this.#handlers.set(key, [...(this.#handlers.get(key) ?? []), handler]);
  }

  onAnyChange(handler: ChangeHandler): void {
    this.#handlersOfAll.push(handler);
  }

  async whenSynced(resources: readonly Resource[]): Promise<void> {
    for (const each of resources) await this.#informers.get(keyOf(each))?.informer.whenSynced();
  }

  stop(): void {
    for (const { informer } of this.#informers.values()) informer.stop();
    this.#informers.clear();
  }

  resources(): readonly Resource[] {
    return [...this.#informers.values()].map((each) => each.resource);
  }

  get<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string | undefined,
    name: string,
  ): T | undefined {
    const key = namespace === undefined || namespace === "" ? name : `${namespace}/${name}`;
    return this.#informer(resource).get(key);
  }

  list<T extends KubeObject>(resource: Resource<T>, namespace?: string): T[] {
    return this.#informer(resource).list(namespace);
  }

  byIndex<T extends KubeObject>(resource: Resource<T>, index: string, value: string): T[] {
    return this.#informer(resource).byIndex(index, value);
  }

  /** The answer to a write: every plan sees it from now on. */
  apply(resource: Resource, object: KubeObject): void {
    this.#informers.get(keyOf(resource))?.informer.apply(copyOf(object));
  }

  forget(resource: Resource, object: KubeObject): void {
    this.#informers.get(keyOf(resource))?.informer.forget(object);
  }

  #informer<T extends KubeObject>(resource: Resource<T>): IndexedInformer<T> {
    const found = this.#informers.get(keyOf(resource));
    if (found === undefined) throw new Error(`no controller declared that it reads ${resource.plural}`);
    return found.informer as unknown as IndexedInformer<T>;
  }
}

export function keyOf(resource: Resource): string {
  let key = keys.get(resource);
  if (key === undefined) keys.set(resource, (key = `${resource.group}/${resource.plural}`));
  return key;
}

/** Made once: every look into the view asks for one. */
const keys = new WeakMap<Resource, string>();

const kindsWithoutStatus = new Set([
  "ConfigMap",
  "Secret",
  "ServiceAccount",
  "Endpoints",
  "EndpointSlice",
  "Event",
  "ControllerRevision",
  "ClusterRole",
  "Lease",
  "StorageClass",
  "CSIDriver",
  "CSINode",
  "PriorityClass",
  "LimitRange",
]);

const readConfigMaps = new Set(["kube-root-ca.crt", "cluster-info"]);
const readSecretTypes = new Set(["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"]);

/** Whole objects, but for field managers and the contents of ConfigMaps and Secrets that no controller reads. */
function slim(object: KubeObject): KubeObject {
  dropManagedFields(object);
  const kind = object.kind ?? "";
  if (!kindsWithoutStatus.has(kind)) {
    object["spec"] ??= {};
    object["status"] ??= {};
  }
  if (kind === "ConfigMap" && !readConfigMaps.has(object.metadata.name ?? "")) {
    delete object["data"];
    delete object["binaryData"];
  }
  if (kind === "Secret" && !readSecretTypes.has(String(object["type"]))) delete object["data"];
  return object;
}

function onlyMetadata(object: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, ownerReferences, finalizers, deletionTimestamp } =
    object.metadata;
  const metadata = { name, namespace, uid, resourceVersion, ownerReferences, finalizers, deletionTimestamp };
  for (const [field, value] of Object.entries(metadata)) {
    if (value === undefined) delete metadata[field as keyof typeof metadata];
  }
  return { apiVersion: object.apiVersion, kind: object.kind, metadata } as KubeObject;
}
