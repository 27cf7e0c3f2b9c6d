/**
 * The ConfigMaps and Secrets that this node's pods refer to, and only those: each is watched by name
 * while a pod needs it, as the node authorizer allows. Knows nothing of what they are used for.
 */
import { createInformer } from "#client/informer.ts";
import type { Client, Informer, ResourceName } from "#client/types.ts";
import type { Clock, Logger } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import { podReferences } from "./plan/volume-files.ts";
import { configMaps, secrets } from "./types.ts";
import type { ConfigMap, Pod, Secret } from "./types.ts";

interface Watched {
  informer: Informer;
  users: Set<string>;
}

const syncLimitMs = 10_000;

export class References {
  #client: Client;
  #clock: Clock;
  #logger: Logger;
  #watched = new Map<string, Watched>();
  #byPod = new Map<string, Set<string>>();
  #listeners = new Set<(podUids: readonly string[]) => void>();

  constructor(client: Client, clock: Clock, logger: Logger) {
    this.#client = client;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Called with the uids of the pods whose objects changed. */
  onChange(listener: (podUids: readonly string[]) => void): void {
    this.#listeners.add(listener);
  }

  /** Watches what the pod needs; resolves once all of it has been read. */
  async use(pod: Pod): Promise<void> {
    const uid = pod.metadata.uid ?? "";
    const namespace = pod.metadata.namespace ?? "";
    const names = podReferences(pod);
    const wanted = new Set<string>();
    for (const name of names.configMaps) wanted.add(this.#watch(configMaps, namespace, name, uid));
    for (const name of names.secrets) wanted.add(this.#watch(secrets, namespace, name, uid));
    for (const key of this.#byPod.get(uid) ?? []) if (!wanted.has(key)) this.#drop(key, uid);
    this.#byPod.set(uid, wanted);
    const waits = [...wanted].map((key) => this.#watched.get(key)!.informer);
    if (waits.every((each) => each.synced)) return;
    await this.#withDeadline(Promise.all(waits.map((each) => each.whenSynced())));
  }

  /** The pod is gone: what only it needed is no longer watched. */
  release(uid: string): void {
    for (const key of this.#byPod.get(uid) ?? []) this.#drop(key, uid);
    this.#byPod.delete(uid);
  }

  configMap(namespace: string, name: string): ConfigMap | undefined {
    return this.#get<ConfigMap>(configMaps, namespace, name);
  }

  secret(namespace: string, name: string): Secret | undefined {
    return this.#get<Secret>(secrets, namespace, name);
  }

  close(): void {
    for (const { informer } of this.#watched.values()) informer.stop();
    this.#watched.clear();
  }

  #get<T extends KubeObject>(resource: ResourceName, namespace: string, name: string): T | undefined {
    const watched = this.#watched.get(`${resource.plural}/${namespace}/${name}`);
    return watched?.informer.get(`${namespace}/${name}`) as T | undefined;
  }

  #watch(resource: ResourceName, namespace: string, name: string, uid: string): string {
    const key = `${resource.plural}/${namespace}/${name}`;
    let watched = this.#watched.get(key);
    if (!watched) {
      const informer = createInformer({
        client: this.#client,
        resource,
        namespace,
        fieldSelector: `metadata.name=${name}`,
        clock: this.#clock,
        logger: this.#logger,
      });
      const fresh: Watched = { informer, users: new Set() };
      informer.onChange(() => {
        if (informer.synced) for (const listener of this.#listeners) listener([...fresh.users]);
      });
      this.#watched.set(key, fresh);
      watched = fresh;
    }
    watched.users.add(uid);
    return key;
  }

  #drop(key: string, uid: string): void {
    const watched = this.#watched.get(key);
    watched?.users.delete(uid);
    if (!watched || watched.users.size > 0) return;
    watched.informer.stop();
    this.#watched.delete(key);
  }

  async #withDeadline(work: Promise<unknown>): Promise<void> {
    let timer;
    const limit = new Promise<never>((_, reject) => {
      timer = this.#clock.setTimer(syncLimitMs, () =>
        reject(new Error("failed to sync configmap and secret cache: timed out waiting for the condition")),
      );
    });
    try {
      await Promise.race([work, limit]);
    } finally {
      (timer as { cancel(): void } | undefined)?.cancel();
    }
  }
}
