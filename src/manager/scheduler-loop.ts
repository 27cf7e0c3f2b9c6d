/**
 * Runs the scheduler: takes waiting pods one at a time, asks `#scheduler/schedule.ts` for a decision, and
 * carries it out: binds (volumes first), or says why not and sends victims away.
 */
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger, Random } from "#base/ports.ts";
import { targetOf } from "#client/event-recorder.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { ApiClient } from "#client/types.ts";
import {
  nodes,
  namespaces,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
} from "#controllers/kubernetes.ts";
import type { Node, PersistentVolumeClaim, Pod, Resource } from "#controllers/kubernetes.ts";
import { equal } from "#controllers/equality.ts";
import { isPodFinished, podCondition, timestamp } from "#controllers/pod.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Change } from "#scheduler/queueing-hints.ts";
import { schedule } from "#scheduler/schedule.ts";
import type { Decision } from "#scheduler/schedule.ts";
import { priorityOf } from "#scheduler/types.ts";
import type { VolumeBindings } from "#scheduler/volumes.ts";
import type { Executor } from "./executor.ts";
import { nextTurn } from "./next-turn.ts";
import { SchedulerCache, schedulerReads, zoneOf } from "./scheduler-cache.ts";
import { SchedulingQueue } from "./scheduling-queue.ts";
import type { SharedView } from "./shared-view.ts";

export const schedulerName = "default-scheduler";
const volumeBindLimitMs = 600_000;

export interface SchedulerLoopOptions {
  client: ApiClient;
  view: SharedView;
  executor: Executor;
  clock: Clock;
  random: Random;
  logger: Logger;
  fenceTerm: number;
}

export class SchedulerLoop {
  readonly #options: SchedulerLoopOptions;
  readonly #queue: SchedulingQueue;
  readonly #cache: SchedulerCache;
  readonly #recorder: EventRecorder;
  /** Pods that wait, by uid. */
  readonly #waiting = new Map<string, Pod>();
  readonly #claimWaiters = new Set<() => void>();
  /** Of many nodes only a part is looked at for each pod: the next pod's part begins here. */
  #begin = 0;

  constructor(options: SchedulerLoopOptions) {
    this.#options = options;
    const { view, clock, executor } = options;
    this.#queue = new SchedulingQueue(clock);
    this.#cache = new SchedulerCache(view);
    this.#recorder = executor.recorder(schedulerName);
    for (const resource of schedulerReads) view.ensure(resource);
    this.#subscribe();
  }

  start(): void {
    void this.#work();
  }

  stop(): void {
    this.#queue.close();
    for (const wake of this.#claimWaiters) wake();
  }

  #subscribe(): void {
    const { view } = this.#options;
    const on = <T extends KubeObject>(
      resource: Resource<T>,
      handler: (object: T | undefined, old: T | undefined) => void,
    ): void =>
      view.onChange(resource, (_resource, object, old) =>
        handler(object as T | undefined, old as T | undefined),
      );
    on(pods, (pod, old) => this.#onPod(pod, old));
    on(nodes, (node, old) => {
      if (node === undefined || old === undefined || zoneOf(node) !== zoneOf(old)) this.#cache.onNodeSet();
      this.#cache.onNode((node ?? old)?.metadata.name ?? "");
      for (const change of nodeChanges(node, old)) this.#queue.changed(change);
    });
    on(namespaces, (namespace, old) => {
      if (old !== undefined && !equal(namespace?.metadata.labels, old.metadata.labels))
        this.#queue.changed("namespaceLabels");
    });
    const volumeResources = schedulerReads.filter((each) =>
      ["persistentvolumes", "persistentvolumeclaims", "storageclasses", "csinodes"].includes(each.plural),
    );
    for (const resource of volumeResources) {
      on(resource, () => {
        this.#queue.changed("storage");
        for (const wake of this.#claimWaiters) wake();
      });
    }
  }

  #onPod(pod: Pod | undefined, old: Pod | undefined): void {
    this.#cache.onPod(pod, old);
    const uid = (pod ?? old)?.metadata.uid ?? "";
    if (pod !== undefined && isWaiting(pod)) {
      const known = this.#waiting.get(uid);
      this.#waiting.set(uid, pod);
      const changed =
        known === undefined ||
        !equal(known.spec, pod.spec) ||
        !equal(known.metadata.labels, pod.metadata.labels);
      if (changed && !this.#cache.isAssumed(uid)) this.#queue.add(uid, priorityOf(pod));
      return;
    }
    if (this.#waiting.delete(uid)) this.#queue.remove(uid);
    // A pod that left its node, that stopped counting or that others may like or dislike now can make room.
    const wasOnNode = (old?.spec.nodeName ?? "") !== "" && !isPodFinished(old!);
    const freed = wasOnNode && (pod === undefined || isPodFinished(pod));
    const arrived =
      pod !== undefined && (pod.spec.nodeName ?? "") !== "" && !wasOnNode && !isPodFinished(pod);
    const relabeled = wasOnNode && pod !== undefined && !equal(pod.metadata.labels, old!.metadata.labels);
    if (freed) this.#queue.changed("podRemoved");
    if (arrived) this.#queue.changed("podAdded");
    if (relabeled) this.#queue.changed("podLabels");
  }

  async #work(): Promise<void> {
    for (;;) {
      const uid = await this.#queue.take();
      if (uid === undefined) return;
      const pod = this.#waiting.get(uid);
      if (pod === undefined) continue;
      try {
        this.#decide(pod);
      } catch (error) {
        this.#options.logger.error("the scheduler failed by a bug", {
          pod: `${pod.metadata.namespace}/${pod.metadata.name}`,
          error: (error as Error).stack,
        });
        this.#queue.failed(uid, "error");
      }
      // One pod at a time, and everybody else in between.
      await nextTurn();
    }
  }

  #decide(pod: Pod): void {
    const snapshot = this.#cache.snapshot(pod);
    const choose = (count: number): number => this.#options.random.integer(count);
    const decision = schedule(pod, snapshot, choose, this.#begin);
    this.#begin = (this.#begin + decision.examined) % Math.max(1, snapshot.nodes.length);
    if (decision.type === "bind") {
      this.#cache.assume(pod, decision.nodeName);
      void this.#bind(pod, decision.nodeName, decision.volumes);
    } else {
      void this.#refuse(pod, decision);
    }
  }

  async #bind(pod: Pod, nodeName: string, volumes: VolumeBindings): Promise<void> {
    const { client, fenceTerm, logger } = this.#options;
    const { namespace, name = "", uid = "" } = pod.metadata;
    try {
      await this.#bindVolumes(pod, nodeName, volumes);
      await client.post(
        pods,
        namespace,
        name,
        "binding",
        {
          apiVersion: "v1",
          kind: "Binding",
          metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid },
          target: { kind: "Node", name: nodeName },
        },
        { fenceTerm },
      );
    } catch (error) {
      logger.debug("a pod could not be bound", {
        namespace,
        name,
        nodeName,
        error: (error as Error).message,
      });
      this.#cache.unassume(pod);
      const isGone = error instanceof StatusError && error.reason === "NotFound";
      if (!isGone) {
        this.#recorder.event(targetOf(pod), "Warning", "FailedScheduling", (error as Error).message);
        this.#queue.failed(uid, "error");
      }
      return;
    }
    const message = `Successfully assigned ${namespace}/${name} to ${nodeName}`;
    this.#recorder.event(targetOf(pod), "Normal", "Scheduled", message);
  }

  async #bindVolumes(pod: Pod, nodeName: string, volumes: VolumeBindings): Promise<void> {
    const { client, fenceTerm, view } = this.#options;
    const waitFor = [...volumes.bind.map((each) => each.claim), ...volumes.provision];
    if (waitFor.length === 0) return;
    for (const { claim, volume } of volumes.bind) {
      const { namespace, name, uid, resourceVersion } = claim.metadata;
      if (volume.spec.claimRef?.uid === uid) continue;
      const bound = await client.update(
        persistentVolumes,
        {
          ...volume,
          metadata: {
            ...volume.metadata,
            annotations: { ...volume.metadata.annotations, "pv.kubernetes.io/bound-by-controller": "yes" },
          },
          spec: {
            ...volume.spec,
            claimRef: {
              apiVersion: "v1",
              kind: "PersistentVolumeClaim",
              namespace,
              name,
              uid,
              resourceVersion,
            },
          },
        } as unknown as KubeObject,
        { fenceTerm },
      );
      view.apply(persistentVolumes as unknown as Resource, bound);
    }
    for (const { metadata } of volumes.provision) {
      await client.patch(
        persistentVolumeClaims,
        metadata.namespace,
        metadata.name ?? "",
        "merge",
        { metadata: { annotations: { "volume.kubernetes.io/selected-node": nodeName } } },
        { fenceTerm },
      );
    }
    await this.#untilBound(pod, waitFor);
  }

  /** Resolves when all claims are bound; rejects when the pod is gone or after ten minutes. */
  async #untilBound(pod: Pod, claims: readonly PersistentVolumeClaim[]): Promise<void> {
    const { view, clock } = this.#options;
    const endMs = clock.monotonicMs() + volumeBindLimitMs;
    const isBound = ({ metadata }: PersistentVolumeClaim): boolean => {
      const current = view.get(persistentVolumeClaims, metadata.namespace, metadata.name ?? "");
      return current?.metadata.annotations?.["pv.kubernetes.io/bind-completed"] !== undefined;
    };
    while (!claims.every(isBound)) {
      if (!this.#waiting.has(pod.metadata.uid ?? "")) throw new StatusError("NotFound", "the pod is gone");
      const leftMs = endMs - clock.monotonicMs();
      if (leftMs <= 0)
        throw new StatusError("Timeout", "binding volumes: timed out waiting for the condition");
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          timer.cancel();
          this.#claimWaiters.delete(wake);
          resolve();
        };
        const timer = clock.setTimer(Math.min(leftMs, 5000), wake);
        this.#claimWaiters.add(wake);
      });
    }
  }

  async #refuse(
    pod: Pod,
    { message, preemption, refusedBy }: Decision & { type: "unschedulable" },
  ): Promise<void> {
    const { client, fenceTerm, logger, clock, view } = this.#options;
    const { namespace, name = "", uid = "" } = pod.metadata;
    this.#recorder.event(targetOf(pod), "Warning", "FailedScheduling", message);
    try {
      if (preemption !== undefined) {
        for (const victim of preemption.victims) await this.#evict(victim, pod, preemption.nodeName);
      }
      const current = podCondition(pod, "PodScheduled");
      const nominates = preemption !== undefined && preemption.nodeName !== pod.status.nominatedNodeName;
      if (
        current?.status !== "False" ||
        current.reason !== "Unschedulable" ||
        current.message !== message ||
        nominates
      ) {
        const at = timestamp(clock.nowMs());
        const updated = await client.patch(
          pods,
          namespace,
          name,
          "strategic",
          {
            metadata: { uid },
            status: {
              conditions: [
                {
                  type: "PodScheduled",
                  status: "False",
                  reason: "Unschedulable",
                  message,
                  lastProbeTime: null,
                  lastTransitionTime: current?.status === "False" ? (current.lastTransitionTime ?? at) : at,
                },
              ],
              ...(nominates ? { nominatedNodeName: preemption.nodeName } : {}),
            },
          },
          { subresource: "status", fenceTerm },
        );
        view.apply(pods as unknown as Resource, updated);
      }
    } catch (error) {
      const isGone = error instanceof StatusError && error.reason === "NotFound";
      if (!isGone) {
        logger.debug("a pod's scheduling failure could not be told", {
          namespace,
          name,
          error: (error as Error).message,
        });
      }
    }
    this.#queue.failed(uid, refusedBy);
  }

  async #evict(victim: Pod, pod: Pod, nodeName: string): Promise<void> {
    const { client, fenceTerm, clock } = this.#options;
    const { namespace, name = "", uid } = victim.metadata;
    if (victim.metadata.deletionTimestamp !== undefined) return;
    try {
      await client.patch(
        pods,
        namespace,
        name,
        "strategic",
        {
          metadata: { uid },
          status: {
            conditions: [
              {
                type: "DisruptionTarget",
                status: "True",
                reason: "PreemptionByScheduler",
                message: `${schedulerName}: preempting to accommodate a higher priority pod`,
                lastTransitionTime: timestamp(clock.nowMs()),
              },
            ],
          },
        },
        { subresource: "status", fenceTerm },
      );
      await client.delete(pods, namespace, name, {
        ...(uid === undefined ? {} : { preconditions: { uid } }),
        fenceTerm,
      });
    } catch (error) {
      if (error instanceof StatusError && error.reason === "NotFound") return;
      throw error;
    }
    const message = `Preempted by pod ${pod.metadata.uid} on node ${nodeName}`;
    this.#recorder.event(targetOf(victim), "Normal", "Preempted", message);
  }
}

function isWaiting(pod: Pod): boolean {
  return (
    (pod.spec.nodeName ?? "") === "" &&
    (pod.spec.schedulerName ?? schedulerName) === schedulerName &&
    pod.metadata.deletionTimestamp === undefined &&
    !isPodFinished(pod) &&
    ((pod.spec as { schedulingGates?: unknown[] }).schedulingGates ?? []).length === 0
  );
}

function* nodeChanges(node: Node | undefined, old: Node | undefined): Iterable<Change> {
  if (node === undefined) yield "nodeRemoved";
  else if (old === undefined) yield "nodeAdded";
  else {
    if (!equal(node.metadata.labels, old.metadata.labels)) yield "nodeLabels";
    if (!equal(node.spec, old.spec)) yield "nodeTaints";
    if (!equal(node.status.allocatable, old.status.allocatable)) yield "nodeAllocatable";
  }
}
