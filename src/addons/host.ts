/**
 * Runs on every control-plane node: follows the cluster's state by an informer and starts and stops
 * add-ons to match. What fails is logged, shown and tried again; it disturbs nothing else.
 */
import type { Clock, Logger } from "#base/ports.ts";
import { createInformer } from "#client/informer.ts";
import type { IndexedInformer } from "#client/informer.ts";
import type { ApiClient } from "#client/types.ts";
import { WorkQueue } from "#client/work-queue.ts";
import type { Addon, ApiExtensions, RunningAddon } from "./addon.ts";
import { applyObjects, deleteObjects } from "./objects.ts";
import type { StateObject } from "./state.ts";
import { changeEnabled, configMaps, enabledIn, stateName, stateNamespace } from "./state.ts";
import { switched } from "./switching.ts";
import type { Switches } from "./switching.ts";

export interface AddonHostOptions extends ApiExtensions {
  catalogue: readonly Addon[];
  /** Speaks with the API of this node as the cluster's administrator. */
  client: ApiClient;
  clock: Clock;
  logger: Logger;
}

/** One add-on as this node sees it. */
export interface AddonState {
  name: string;
  description: string;
  requires: readonly string[];
  /** In the cluster. */
  enabled: boolean;
  /** On this node. */
  running: boolean;
  /** Why it can't be started or stopped on this node; empty when all is well. */
  trouble: string;
}

const retryFirstMs = 500;
const retryLimitMs = 30_000;

export class AddonHost {
  readonly #options: AddonHostOptions;
  readonly #informer: IndexedInformer<StateObject>;
  readonly #queue: WorkQueue;
  readonly #running = new Map<string, RunningAddon>();
  readonly #troubles = new Map<string, string>();
  /** Called once the add-on of that name has been looked after, however it went. */
  readonly #waiting = new Map<string, (() => void)[]>();
  readonly #work: Promise<void>;

  constructor(options: AddonHostOptions) {
    const { client, clock, logger } = options;
    this.#options = options;
    this.#queue = new WorkQueue({ clock, backoffFirstMs: retryFirstMs, backoffLimitMs: retryLimitMs });
    this.#informer = createInformer<StateObject>({
      client,
      resource: configMaps,
      namespace: stateNamespace,
      fieldSelector: `metadata.name=${stateName}`,
      clock,
      logger,
    });
    this.#informer.onChange((object) => this.#lookAfterAll(object));
    void this.#informer.whenSynced().then(() => this.#lookAfterAll(this.#state()));
    this.#work = this.#run();
  }

  list(): AddonState[] {
    const enabled = enabledIn(this.#state());
    return this.#options.catalogue.map(({ name, description, requires }) => ({
      name,
      description,
      requires,
      enabled: enabled.has(name),
      running: this.#running.has(name),
      trouble: this.#troubles.get(name) ?? "",
    }));
  }

  /** Changes the cluster's state; resolves once this node has followed (or has noted its trouble). */
  async switch(switches: Switches): Promise<AddonState[]> {
    const { catalogue, client } = this.#options;
    const state = await changeEnabled(client, (enabled) => switched(catalogue, enabled, switches));
    this.#informer.apply(state);
    await Promise.all(catalogue.map((each) => this.#lookedAfter(each.name)));
    return this.list();
  }

  /** Stops what runs on this node. The cluster's state and objects stay. */
  async close(): Promise<void> {
    this.#informer.stop();
    this.#queue.close();
    await this.#work;
    for (const addon of this.#running.values()) await addon.close();
    this.#running.clear();
  }

  #state(): StateObject | undefined {
    return this.#informer.get(`${stateNamespace}/${stateName}`);
  }

  #lookAfterAll(state: StateObject | undefined): void {
    const known = this.#options.catalogue.map((each) => each.name);
    for (const name of known) this.#queue.add(name);
    const unknown = [...enabledIn(state)].filter((each) => !known.includes(each));
    if (unknown.length > 0) this.#options.logger.warn("add-ons of another version are enabled", { unknown });
  }

  #lookedAfter(name: string): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.set(name, [...(this.#waiting.get(name) ?? []), resolve]);
      this.#queue.add(name);
    });
  }

  async #run(): Promise<void> {
    for (;;) {
      const name = await this.#queue.take();
      if (name === undefined) break;
      const waiting = this.#waiting.get(name) ?? [];
      this.#waiting.delete(name);
      try {
        await this.#lookAfter(name);
        this.#troubles.delete(name);
        this.#queue.forget(name);
      } catch (error) {
        const trouble = error instanceof Error ? error.message : String(error);
        this.#options.logger.warn("an add-on is not as it should be", { addon: name, error: trouble });
        this.#troubles.set(name, trouble);
        this.#queue.addRateLimited(name);
      }
      this.#queue.done(name);
      for (const each of waiting) each();
    }
    for (const each of [...this.#waiting.values()].flat()) each();
  }

  async #lookAfter(name: string): Promise<void> {
    const addon = this.#options.catalogue.find((each) => each.name === name);
    if (addon === undefined || !this.#informer.synced) return;
    const isWanted = enabledIn(this.#state()).has(name);
    const running = this.#running.get(name);
    if (isWanted && running === undefined) await this.#start(addon);
    if (!isWanted) {
      this.#running.delete(name);
      await running?.close();
      await deleteObjects(this.#options.client, addon.objects);
      if (running !== undefined) this.#options.logger.info("an add-on has stopped", { addon: name });
    }
  }

  async #start(addon: Addon): Promise<void> {
    const { catalogue: _catalogue, ...context } = this.#options;
    await applyObjects(context.client, addon.objects);
    this.#running.set(addon.name, await addon.start(context));
    context.logger.info("an add-on has started", { addon: addon.name });
  }
}
