/**
 * Serves custom resources: follows the definitions, judges their names, puts what is established into
 * the registry, and takes it out again. It writes through the server's own handler, as any client would.
 * Several servers may do this at the same time: each write is what any of them would write.
 */
import { StatusError } from "#base/errors.ts";
import type { HttpHandler } from "#base/http.ts";
import type { Clock, Logger, Random, Timer } from "#base/ports.ts";
import { newUid, timestamp } from "#api/api-core.ts";
import { serverUser } from "#api/bootstrap/bootstrap.ts";
import type { RemoteConversion } from "#api/cache/converted-entries.ts";
import type { WatchHub } from "#api/cache/watch-hub.ts";
import { equalJson } from "#api/patch/json.ts";
import type { ResourceRegistry, StoredResource } from "#api/registry.ts";
import type { WebhookClient } from "#api/webhooks/webhook-client.ts";
import { cleanupFinalizer, isEstablished } from "./definition.ts";
import type { CustomResourceDefinition } from "./definition.ts";
import { planCrdStatus, planDeletionStatus } from "./plan-status.ts";
import { servedVersions } from "./served-versions.ts";
import { WebhookConversion } from "./webhook-conversion.ts";

const definitionsPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const retryDelayMs = 1_000;

export class CustomResources {
  readonly #registry: ResourceRegistry;
  readonly #hub: WatchHub;
  readonly #handler: HttpHandler;
  readonly #webhooks: WebhookClient;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  /** What is in the registry now, by the definition's name. */
  readonly #served = new Map<string, CustomResourceDefinition>();
  readonly #pending = new Set<string>();
  /** To be looked at again after a while. */
  readonly #later = new Set<string>();
  #isWorking = false;
  #retry: Timer | undefined;
  #unsubscribe: (() => void) | undefined;
  #closed = false;

  constructor(options: {
    registry: ResourceRegistry;
    hub: WatchHub;
    /** Must not wait for the server to be ready: it is used to make it so. */
    handler: HttpHandler;
    webhooks: WebhookClient;
    clock: Clock;
    random: Random;
    logger: Logger;
  }) {
    this.#registry = options.registry;
    this.#hub = options.hub;
    this.#handler = options.handler;
    this.#webhooks = options.webhooks;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#logger = options.logger;
  }

  /** Resolves once everything that is established already is served. */
  async start(): Promise<void> {
    const { cache } = this.#definitions();
    this.#unsubscribe = cache.subscribe((event) => this.#enqueue(event.entry.name));
    for (const crd of this.#all()) {
      if (isEstablished(crd)) await this.#serve(crd);
      this.#enqueue(nameOf(crd));
    }
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe?.();
    this.#retry?.cancel();
  }

  #definitions(): StoredResource {
    const { stored } = this.#registry.builtIn("apiextensions.k8s.io", "customresourcedefinitions");
    if (stored === undefined) throw new RangeError("definitions are stored");
    return stored;
  }

  #all(): CustomResourceDefinition[] {
    return this.#definitions()
      .cache.list("")
      .map((entry) => entry.decode() as CustomResourceDefinition);
  }

  #find(name: string): CustomResourceDefinition | undefined {
    const { cache, keyPrefix } = this.#definitions();
    return cache.get(keyPrefix + name)?.decode() as CustomResourceDefinition | undefined;
  }

  #enqueue(name: string): void {
    if (this.#closed) return;
    this.#pending.add(name);
    if (this.#isWorking) return;
    this.#isWorking = true;
    void this.#work();
  }

  async #work(): Promise<void> {
    // One turn later, so that a burst of events is one piece of work.
    await Promise.resolve();
    for (const name of this.#pending) {
      this.#pending.delete(name);
      try {
        await this.#reconcile(name);
      } catch (error) {
        this.#logger.debug("a custom resource definition is tried again", { name, error: String(error) });
        this.#tryAgain(name);
      }
    }
    this.#isWorking = false;
  }

  #tryAgain(name: string): void {
    if (this.#closed) return;
    this.#later.add(name);
    this.#retry ??= this.#clock.setTimer(retryDelayMs, () => {
      this.#retry = undefined;
      const names = [...this.#later];
      this.#later.clear();
      for (const each of names) this.#enqueue(each);
    });
  }

  async #reconcile(name: string): Promise<void> {
    const crd = this.#find(name);
    if (crd === undefined) {
      const gone = this.#served.get(name);
      this.#unserve(name);
      // Names that were taken may be free now.
      for (const other of this.#all())
        if (other.spec.group === gone?.spec.group && !isEstablished(other)) this.#enqueue(nameOf(other));
      return;
    }
    if (crd.metadata.deletionTimestamp !== undefined) {
      await this.#cleanUp(crd);
      return;
    }
    const others = this.#all().filter((each) => each.spec.group === crd.spec.group && nameOf(each) !== name);
    const status = planCrdStatus(crd, others, timestamp(this.#clock.nowMs()));
    const judged = status === undefined ? crd : { ...crd, status };
    if (isEstablished(judged)) await this.#serve(judged);
    else this.#unserve(name);
    if (status !== undefined) await this.#patch(`${definitionsPath}/${name}/status`, { status });
  }

  async #serve(crd: CustomResourceDefinition): Promise<void> {
    const name = nameOf(crd);
    const before = this.#served.get(name);
    if (before !== undefined && equalJson(before.spec, crd.spec)) return;
    const { group, names, versions } = crd.spec;
    const storage = versions.find((each) => each.storage);
    if (storage === undefined) return;
    const { codec, resources } = servedVersions(crd, storage, this.#conversionOf(crd));
    const register = (): void => {
      for (const { kind, options } of resources) this.#registry.add(kind, { ...options, codec });
      const isServed = (version: string) => resources.some(({ kind }) => kind.version === version);
      for (const version of [...(before?.spec.versions ?? []), ...versions])
        if (!isServed(version.name)) this.#registry.remove(group, version.name, names.plural);
      this.#served.set(name, crd);
    };
    const known = before === undefined ? undefined : this.#stored(before);
    if (known !== undefined && resources.length > 0) {
      // Watches end, as they do upstream: what they would show from now on has another form.
      await this.#registry.recode(known, codec, register);
      return;
    }
    register();
    const stored = this.#stored(crd);
    if (stored !== undefined) await this.#hub.load(stored.cache);
  }

  #stored({ spec }: CustomResourceDefinition): StoredResource | undefined {
    return this.#registry.findAnyVersion(spec.group, spec.names.plural)?.stored;
  }

  #conversionOf(crd: CustomResourceDefinition): RemoteConversion | undefined {
    if (crd.spec.conversion?.strategy !== "Webhook" || crd.spec.versions.length < 2) return undefined;
    return new WebhookConversion(crd, this.#webhooks, () => newUid(this.#random));
  }

  #unserve(name: string): void {
    const crd = this.#served.get(name);
    if (crd === undefined) return;
    this.#served.delete(name);
    for (const version of crd.spec.versions)
      this.#registry.remove(crd.spec.group, version.name, crd.spec.names.plural);
  }

  /** Deletes all objects of a definition that is being deleted, then lets the definition go. */
  async #cleanUp(crd: CustomResourceDefinition): Promise<void> {
    const name = nameOf(crd);
    const finalizers = crd.metadata.finalizers ?? [];
    if (!finalizers.includes(cleanupFinalizer)) return;
    const { group, names, versions } = crd.spec;
    for (const each of versions) {
      const served = this.#registry.find(group, each.name, names.plural);
      if (served !== undefined && this.#served.has(name)) served.terminating = true;
    }
    const storage = versions.find((each) => each.storage)?.name ?? "";
    // In the storage version nothing has to be converted in order to go.
    const resource =
      this.#registry.find(group, storage, names.plural) ?? this.#registry.findAnyVersion(group, names.plural);
    const entries = this.#served.has(name) ? (resource?.stored?.cache.list("") ?? []) : [];
    if (resource !== undefined && entries.length > 0) {
      const base = `/apis/${resource.groupVersion}`;
      for (const entry of entries) {
        if (entry.decode().metadata.deletionTimestamp !== undefined) continue;
        const place = entry.namespace === "" ? "" : `/namespaces/${entry.namespace}`;
        await this.#request("DELETE", `${base}${place}/${crd.spec.names.plural}/${entry.name}`);
      }
      const status = planDeletionStatus(crd, timestamp(this.#clock.nowMs()));
      if (status !== undefined) await this.#patch(`${definitionsPath}/${name}/status`, { status });
      // Objects with finalizers take their time.
      this.#tryAgain(name);
      return;
    }
    await this.#patch(`${definitionsPath}/${name}`, {
      metadata: {
        finalizers: finalizers.filter((each) => each !== cleanupFinalizer),
        resourceVersion: crd.metadata.resourceVersion,
      },
    });
  }

  #patch(path: string, body: unknown): Promise<void> {
    return this.#request("PATCH", path, body);
  }

  async #request(method: string, path: string, body?: unknown): Promise<void> {
    const response = await this.#handler({
      method,
      path,
      query: method === "PATCH" ? "fieldManager=kube-apiserver" : "",
      headers: { "content-type": body === undefined ? "application/json" : "application/merge-patch+json" },
      body: body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body)),
      signal: new AbortController().signal,
      user: serverUser,
    });
    if (response.status < 300 || response.status === 404) return;
    const text = Buffer.from(response.body as Uint8Array).toString("utf8");
    throw new StatusError("InternalError", `${method} ${path}: ${text.slice(0, 300)}`);
  }
}

function nameOf(crd: CustomResourceDefinition): string {
  return crd.metadata.name ?? "";
}
