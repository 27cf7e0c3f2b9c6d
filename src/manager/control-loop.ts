/**
 * Runs one controller: changes become keys in a work queue, each key is planned and carried out, and a
 * plan that fails is tried again after a pause that grows per key. Nothing else in Trivet retries.
 */
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger } from "#base/ports.ts";
import { WorkQueue } from "#client/work-queue.ts";
import type { Controller } from "#controllers/controller.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Executor } from "./executor.ts";
import { nextTurn } from "./next-turn.ts";
import type { SharedView } from "./shared-view.ts";

export interface ControlLoopOptions {
  controller: Controller;
  view: SharedView;
  executor: Executor;
  clock: Clock;
  logger: Logger;
}

const turnLimitMs = 5;

export class ControlLoop {
  readonly #options: ControlLoopOptions;
  readonly #queue: WorkQueue;

  constructor(options: ControlLoopOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      clock: options.clock,
      restMs: options.controller.restMs ?? 0,
    });
    this.#subscribe();
  }

  /** Starts the workers. Everything that the view knows already has been queued by then. */
  start(): void {
    const { controller } = this.#options;
    for (let worker = 0; worker < (controller.concurrency ?? 1); worker++) void this.#work();
  }

  add(key: string): void {
    this.#queue.add(key);
  }

  stop(): void {
    this.#queue.close();
  }

  #subscribe(): void {
    const { controller, view } = this.#options;
    for (const trigger of controller.triggers) {
      view.ensure(trigger.resource);
      const enqueue = (object: KubeObject | undefined): void => {
        if (object !== undefined) for (const key of trigger.keys(object, view)) this.#queue.add(key);
      };
      view.onChange(trigger.resource, (_resource, object, old) => {
        if (trigger.when?.(object, old) === false) return;
        enqueue(object);
        enqueue(old);
      });
    }
    for (const resource of controller.reads ?? []) view.ensure(resource);
    const { everything } = controller;
    if (everything !== undefined) {
      view.onAnyChange((resource, object, old) => {
        for (const key of everything.keys(resource, object, old, view)) this.#queue.add(key);
      });
    }
  }

  async #work(): Promise<void> {
    for (;;) {
      const key = await this.#queue.take();
      if (key === undefined) return;
      try {
        await this.#run(key);
        this.#queue.forget(key);
      } catch (error) {
        this.#log(key, error as Error);
        this.#queue.addRateLimited(key);
      } finally {
        this.#queue.done(key);
      }
      // In-process answers come without a turn of the event loop: let everybody else have theirs.
      await nextTurn();
    }
  }

  async #run(key: string): Promise<void> {
    const { controller, view, executor, clock } = this.#options;
    const plan = controller.plan(view, key, clock.nowMs());
    const requeue = (delayMs: number): void => this.#queue.addAfter(key, delayMs);
    let turnMs = clock.monotonicMs();
    let step = plan.next();
    while (step.done !== true) {
      // A plan of hundreds of steps, answered in the process, would keep everybody else waiting.
      if (clock.monotonicMs() - turnMs > turnLimitMs) {
        await nextTurn();
        turnMs = clock.monotonicMs();
      }
      let answer: unknown;
      try {
        answer = await executor.execute(step.value, controller.name, requeue);
      } catch (error) {
        step = plan.throw(error);
        continue;
      }
      step = plan.next(answer);
    }
  }

  #log(key: string, error: Error): void {
    const { controller, logger } = this.#options;
    const fields = {
      controller: controller.name,
      key,
      failures: this.#queue.failures(key) + 1,
      error: error.message,
    };
    if (!(error instanceof StatusError)) {
      logger.error("a plan failed by a bug", { ...fields, stack: error.stack });
    } else if (error.code === 409 || fields.failures < 4) {
      logger.debug("a plan was refused and will be tried again", fields);
    } else {
      logger.warn("a plan was refused again and will be tried again", fields);
    }
  }
}
