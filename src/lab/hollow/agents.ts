/**
 * Plays the agents of many hollow nodes in one process: registers the nodes, renews their leases, and
 * moves the pods that are bound to them through their lives. One informer for all of them, a bounded
 * number of writes at a time; the API server sees what that many real agents would write.
 */
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger, Random, Timer } from "#base/ports.ts";
import { createInformer } from "#client/informer.ts";
import type { IndexedInformer } from "#client/informer.ts";
import type { Client, ResourceName } from "#client/types.ts";
import { WorkQueue } from "#client/work-queue.ts";
import type { KubeObject } from "#kinds/object.ts";
import { around, finishedStatus, hostIp, nextStep, nodeObject, runningStatus } from "./plan.ts";
import type { HollowDelays, HollowNode, HollowPod, HollowStep } from "./plan.ts";

const pods: ResourceName = { group: "", version: "v1", plural: "pods" };
const nodes: ResourceName = { group: "", version: "v1", plural: "nodes" };
const leases: ResourceName = { group: "coordination.k8s.io", version: "v1", plural: "leases" };
const leaseNamespace = "kube-node-lease";
const leaseSeconds = 40;
const renewMs = 10_000;
/** As many writes as a client with a few connections has on the way. */
const parallelWrites = 64;

export interface HollowOptions {
  client: Client;
  clock: Clock;
  random: Random;
  logger: Logger;
  count: number;
  /** Names are this and a number. Default "hollow-". */
  prefix?: string;
  delays: HollowDelays;
}

export class HollowAgents {
  readonly #options: HollowOptions;
  readonly #queue: WorkQueue;
  readonly #nodes = new Map<string, HollowNode>();
  readonly #leases = new Map<string, KubeObject>();
  /** When the step that a pod waits for is due, by key. */
  readonly #due = new Map<string, { step: HollowStep; uid: string; atMs: number }>();
  #informer: IndexedInformer<HollowPod> | undefined;
  #timers = new Set<Timer>();
  #addresses = 0;
  #closed = false;

  constructor(options: HollowOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({ clock: options.clock, backoffFirstMs: 100 });
  }

  /** Resolves when all nodes are registered. Nodes of the same names that are there already are taken over. */
  async start(onRegistered: (count: number) => void = () => undefined): Promise<void> {
    const { count, prefix = "hollow-", client, clock, logger } = this.#options;
    const waiting = Array.from({ length: count }, (_, index) => ({ name: `${prefix}${index}`, index }));
    await inParallel(waiting, async (node) => {
      await this.#register(node);
      this.#nodes.set(node.name, node);
      onRegistered(this.#nodes.size);
    });
    this.#informer = createInformer<HollowPod>({ client, resource: pods, clock, logger });
    this.#informer.onChange((pod, old) => this.#onPod(pod, old));
    for (let worker = 0; worker < parallelWrites; worker++) void this.#work();
    await this.#informer.whenSynced();
  }

  /** Pods of these nodes that wait for something to happen. */
  get unsettled(): number {
    return this.#due.size;
  }

  stop(): void {
    this.#closed = true;
    this.#informer?.stop();
    this.#queue.close();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  /** Deletes the nodes; the control plane then removes their pods. */
  async remove(): Promise<void> {
    await inParallel([...this.#nodes.keys()], async (name) => {
      await this.#options.client.delete(nodes, undefined, name).catch(unlessMissing);
    });
  }

  async #register(node: HollowNode): Promise<void> {
    const { client, clock, random } = this.#options;
    const object = nodeObject(node, clock.nowMs());
    try {
      await client.create(nodes, object);
    } catch (error) {
      if (!(error instanceof StatusError) || error.reason !== "AlreadyExists") throw error;
      await client.patch(
        nodes,
        undefined,
        node.name,
        "strategic",
        { status: object["status"] },
        { subresource: "status" },
      );
    }
    await this.#renew(node.name).catch((error: unknown) => this.#told("a lease", node.name, error));
    // Spread over the interval, as agents that started at different times are.
    this.#later(random.integer(renewMs), () => this.#keepRenewing(node.name));
  }

  #keepRenewing(name: string): void {
    this.#renew(name).catch((error: unknown) => {
      this.#leases.delete(name);
      this.#told("a lease", name, error);
    });
    this.#later(renewMs, () => this.#keepRenewing(name));
  }

  async #renew(name: string): Promise<void> {
    const { client, clock } = this.#options;
    const spec = {
      holderIdentity: name,
      leaseDurationSeconds: leaseSeconds,
      renewTime: new Date(clock.nowMs()).toISOString().replace("Z", "000Z"),
    };
    const known =
      this.#leases.get(name) ??
      (await client.get<KubeObject>(leases, leaseNamespace, name).catch(unlessMissing));
    const lease =
      known === undefined
        ? await client.create(leases, {
            apiVersion: "coordination.k8s.io/v1",
            kind: "Lease",
            metadata: { name, namespace: leaseNamespace },
            spec,
          } as KubeObject)
        : await client.update(leases, { ...known, spec });
    this.#leases.set(name, lease);
  }

  #onPod(pod: HollowPod | undefined, old: HollowPod | undefined): void {
    const any = (pod ?? old) as HollowPod;
    if (!this.#nodes.has(any.spec?.nodeName ?? "")) return;
    const key = keyOf(any);
    const step = pod === undefined ? undefined : nextStep(pod, this.#options.delays);
    if (pod === undefined || step === undefined) {
      this.#due.delete(key);
      return;
    }
    const { uid = "" } = pod.metadata;
    const known = this.#due.get(key);
    if (known !== undefined && known.uid === uid && known.step.type === step.type) return;
    const delayMs = around(step.afterMs, this.#options.random);
    this.#due.set(key, { step, uid, atMs: this.#options.clock.monotonicMs() + delayMs });
    this.#queue.addAfter(key, delayMs);
  }

  async #work(): Promise<void> {
    for (;;) {
      const key = await this.#queue.take();
      if (key === undefined) return;
      try {
        await this.#carryOut(key);
        this.#queue.forget(key);
      } catch (error) {
        this.#told("a pod's step", key, error);
        this.#queue.addRateLimited(key);
      } finally {
        this.#queue.done(key);
      }
    }
  }

  async #carryOut(key: string): Promise<void> {
    const { client, clock } = this.#options;
    const due = this.#due.get(key);
    const pod = this.#informer?.get(key);
    if (due === undefined || pod?.metadata.uid !== due.uid) return;
    const leftMs = due.atMs - clock.monotonicMs();
    if (leftMs > 0) {
      this.#queue.addAfter(key, leftMs);
      return;
    }
    const { namespace, name = "", uid } = pod.metadata;
    if (due.step.type === "remove") {
      const preconditions = uid === undefined ? {} : { preconditions: { uid } };
      await client
        .delete(pods, namespace, name, { gracePeriodSeconds: 0, ...preconditions })
        .catch(unlessMissing);
    } else {
      const status =
        due.step.type === "finish"
          ? finishedStatus(pod, due.step.exitCode, clock.nowMs())
          : this.#running(pod);
      await client
        .patch(pods, namespace, name, "strategic", { metadata: { uid }, status }, { subresource: "status" })
        .catch(unlessMissing);
    }
  }

  #running(pod: HollowPod): object {
    const { index = 0 } = this.#nodes.get(pod.spec?.nodeName ?? "") ?? {};
    // 10.128.0.0/9 is far from what nodes with containers give to pods by default.
    const number = this.#addresses++ % (1 << 22);
    const podIp = `10.${128 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
    return runningStatus(pod, podIp, hostIp(index), this.#options.clock.nowMs());
  }

  #later(delayMs: number, work: () => void): void {
    if (this.#closed) return;
    const timer = this.#options.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      if (!this.#closed) work();
    });
    this.#timers.add(timer);
  }

  #told(what: string, key: string, error: unknown): void {
    this.#options.logger.debug(`${what} of a hollow node could not be written`, {
      key,
      error: String(error),
    });
  }
}

function keyOf(pod: HollowPod): string {
  return `${pod.metadata.namespace ?? ""}/${pod.metadata.name ?? ""}`;
}

function unlessMissing(error: unknown): undefined {
  if (error instanceof StatusError && (error.reason === "NotFound" || error.reason === "Conflict"))
    return undefined;
  throw error;
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = items.values();
  await Promise.all(
    Array.from({ length: Math.min(parallelWrites, items.length) }, async () => {
      for (const item of waiting) await work(item);
    }),
  );
}
