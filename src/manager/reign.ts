/** One leadership: the shared view, the control loops and the scheduler of one term. */
import type { Timer } from "#base/ports.ts";
import type { DiscoveredResource } from "#controllers/controller.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Resource } from "#controllers/kubernetes.ts";
import { ControlLoop } from "./control-loop.ts";
import { controllersFor } from "./control-loops.ts";
import { discover } from "./discovery.ts";
import { Executor } from "./executor.ts";
import type { ManagerOptions } from "./options.ts";
import { SchedulerLoop } from "./scheduler-loop.ts";
import { SharedView, keyOf } from "./shared-view.ts";

const rediscoverMs = 300_000;
const afterDefinitionChangeMs = 500;
/** Nobody owns through them or they are owned by nobody, and they change all the time. */
const notCollected = new Set(["/events", "events.k8s.io/events"]);

const customResourceDefinitions: Resource = {
  group: "apiextensions.k8s.io",
  version: "v1",
  plural: "customresourcedefinitions",
  kind: "CustomResourceDefinition",
  namespaced: false,
};

export class Reign {
  readonly term: number;
  readonly #options: ManagerOptions;
  readonly #view: SharedView;
  readonly #loops: ControlLoop[];
  readonly #scheduler: SchedulerLoop;
  readonly #fixed = new Set<string>();
  #discovered: Promise<DiscoveredResource[]> | undefined;
  #timer: Timer | undefined;
  #ended = false;

  constructor(options: ManagerOptions, term: number) {
    this.term = term;
    this.#options = options;
    const { client, clock, random, logger } = options;
    this.#view = new SharedView({ client, clock, random, logger });
    const executor = new Executor({
      client,
      view: this.#view,
      clock,
      logger,
      fenceTerm: term,
      certificates: options.certificates,
      checkPolicyTypes: options.checkPolicyTypes,
      discover: () => this.#discover(),
    });
    this.#loops = controllersFor(options, term).map(
      (controller) => new ControlLoop({ controller, view: this.#view, executor, clock, logger }),
    );
    this.#scheduler = new SchedulerLoop({
      client,
      view: this.#view,
      executor,
      clock,
      random,
      logger,
      fenceTerm: term,
    });
    for (const resource of this.#view.resources()) this.#fixed.add(keyOf(resource));
    void this.#begin();
  }

  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
    for (const loop of this.#loops) loop.stop();
    this.#scheduler.stop();
    this.#view.stop();
  }

  async #begin(): Promise<void> {
    const { logger } = this.#options;
    await this.#view.whenSynced(this.#view.resources());
    if (this.#ended) return;
    for (const loop of this.#loops) loop.start();
    this.#scheduler.start();
    logger.info("the control loops run here", { term: this.term });
    this.#view.ensure(customResourceDefinitions);
    this.#fixed.add(keyOf(customResourceDefinitions));
    this.#view.onChange(customResourceDefinitions, (_resource, object) => this.#onDefinition(object));
    await this.#copyEverything();
  }

  #onDefinition(object: KubeObject | undefined): void {
    const conditions = (object?.["status"] as { conditions?: { type: string; status: string }[] } | undefined)
      ?.conditions;
    const established = conditions?.some((each) => each.type === "Established" && each.status === "True");
    if (object !== undefined && established !== true) return;
    this.#discovered = undefined;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(afterDefinitionChangeMs, () => void this.#copyEverything());
  }

  /** Garbage collection needs the metadata of every resource that can be listed and deleted. */
  async #copyEverything(): Promise<void> {
    try {
      this.#discovered = undefined;
      const resources = await this.#discover();
      if (this.#ended) return;
      const served = new Set(resources.map(keyOf));
      for (const resource of resources) {
        const collectable = ["list", "watch", "delete"].every((verb) => resource.verbs.includes(verb));
        if (collectable && !notCollected.has(keyOf(resource))) this.#view.ensure(resource, true);
      }
      for (const resource of this.#view.resources()) {
        if (!served.has(keyOf(resource)) && !this.#fixed.has(keyOf(resource))) this.#view.drop(resource);
      }
    } catch (error) {
      this.#options.logger.warn("discovery failed, will be tried again", { error: (error as Error).message });
      this.#plan(2000);
      return;
    }
    this.#plan(rediscoverMs);
  }

  #plan(delayMs: number): void {
    if (this.#ended) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(delayMs, () => void this.#copyEverything());
  }

  #discover(): Promise<DiscoveredResource[]> {
    if (this.#discovered === undefined) {
      const asked = discover(this.#options.client);
      this.#discovered = asked;
      asked.catch(() => {
        if (this.#discovered === asked) this.#discovered = undefined;
      });
    }
    return this.#discovered;
  }
}
