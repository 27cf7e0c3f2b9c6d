/** What happens at most once: a result is counted, a pod is bound, an identity, an index or a time is taken. */

import { Violation } from "../violation.ts";
import { Recent } from "./recent.ts";
import type { RecentCount } from "./recent.ts";
import { controllerOf, holds, indexesOf, isActive, isFinished, nameOf } from "./shapes.ts";
import type { JobObject, PodObject, Scaled } from "./shapes.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import type { Change, Truth } from "./truth.ts";

const trackingFinalizer = "batch.kubernetes.io/job-tracking";

interface Results {
  succeeded: Set<string>;
  indexes: Set<number>;
  /** Failed, or gone before they ended. */
  lost: Set<string>;
  /** Ended well, and nobody waits for them to be counted any more. */
  released: Set<string>;
}

export class OnceInvariants {
  readonly #truth: Truth;
  readonly #results = new Map<string, Results>();
  readonly #ready: Recent;
  readonly #replicas: Recent;
  readonly #lostCreations: RecentCount;

  constructor(clock: SimulatedClock, truth: Truth, lostCreations: RecentCount) {
    this.#truth = truth;
    this.#ready = new Recent(clock);
    this.#replicas = new Recent(clock);
    this.#lostCreations = lostCreations;
    truth.onChange((change) => this.#onChange(change));
  }

  #onChange({ kind, object, old, fenced }: Change): void {
    if (kind === "Pod") this.#onPod(object as PodObject | undefined, old as PodObject | undefined, fenced);
    else if (kind === "Job" && object !== undefined) {
      if (old === undefined && fenced) this.#onScheduledJob(object);
      this.#onJob(object as JobObject, old as JobObject | undefined);
    } else if (kind === "StatefulSet" && object !== undefined) {
      this.#replicas.set(object.metadata.uid ?? "", (object as Scaled).spec.replicas ?? 1);
    }
  }

  #onPod(pod: PodObject | undefined, old: PodObject | undefined, fenced: boolean): void {
    const any = (pod ?? old)!;
    const owner = controllerOf(any);
    if (owner?.kind === "Job") this.#noteResult(owner.uid, pod, old);
    if (owner?.kind === "StatefulSet") {
      if (pod !== undefined && old === undefined && fenced) this.#onOrdinal(owner, pod);
      this.#ready.set(
        `${any.metadata.namespace}/${any.metadata.name}`,
        pod !== undefined && holds(pod, "Ready") ? 1 : 0,
      );
    }
    if (pod !== undefined && old === undefined && owner?.kind === "DaemonSet") this.#onDaemon(owner, pod);
    if (pod === undefined || pod.spec.nodeName === old?.spec.nodeName) return;
    if ((old?.spec.nodeName ?? "") !== "") throw new Violation(`${nameOf(pod)} is bound twice`);
    this.#onBound(pod.spec.nodeName ?? "");
  }

  #onBound(nodeName: string): void {
    const node = this.#truth.get("Node", undefined, nodeName);
    if (node === undefined) return;
    const { allocatable } = node["status"] as { allocatable: { cpu: string; pods: string } };
    const here = this.#truth
      .list<PodObject>("Pod")
      .filter((each) => each.spec.nodeName === nodeName && !isFinished(each));
    const millis = here.reduce((sum, each) => sum + cpuOf(each), 0);
    if (here.length > Number(allocatable.pods) || millis > Number(allocatable.cpu) * 1000)
      throw new Violation(
        `${nodeName} is given ${here.length} pods with ${millis}m of cpu, more than it has`,
      );
  }

  /** Pods of an ordered StatefulSet come one after another, and none beyond its size. */
  #onOrdinal(owner: { uid: string; name: string }, pod: PodObject): void {
    const { namespace, name = "" } = pod.metadata;
    const ordinal = Number(name.slice(name.lastIndexOf("-") + 1));
    const largest = this.#replicas.largest(owner.uid) ?? 0;
    if (ordinal >= largest)
      throw new Violation(`${nameOf(pod)} is beyond the ${largest} that were asked for`);
    const set = this.#truth.get("StatefulSet", namespace, owner.name) as Scaled | undefined;
    if (set?.spec.podManagementPolicy === "Parallel") return;
    for (let before = 0; before < ordinal; before++) {
      if (this.#ready.largest(`${namespace}/${owner.name}-${before}`) !== 1)
        throw new Violation(`${nameOf(pod)} is made before the one with ordinal ${before} was ready`);
    }
  }

  #onDaemon(owner: { uid: string; name: string }, pod: PodObject): void {
    const set = this.#truth.get("DaemonSet", pod.metadata.namespace, owner.name) as Scaled | undefined;
    const target = targetOf(pod);
    const there = this.#truth
      .list<PodObject>("Pod")
      .filter(
        (each) => controllerOf(each)?.uid === owner.uid && isActive(each) && targetOf(each) === target,
      ).length;
    const surge = Number(set?.spec.updateStrategy?.rollingUpdate?.maxSurge ?? 0) > 0 ? 1 : 0;
    const allowed = 1 + surge + this.#lostCreations.of(owner.uid);
    if (there > allowed)
      throw new Violation(`DaemonSet ${owner.name} has ${there} pods for ${target}, not ${allowed}`);
  }

  #noteResult(jobUid: string, pod: PodObject | undefined, old: PodObject | undefined): void {
    const results = this.#resultsOf(jobUid);
    const any = (pod ?? old)!;
    const uid = any.metadata.uid ?? "";
    if (any.status?.phase === "Succeeded") {
      results.succeeded.add(uid);
      const index = any.metadata.annotations?.["batch.kubernetes.io/job-completion-index"];
      if (index !== undefined) results.indexes.add(Number(index));
      if (pod?.metadata.finalizers?.includes(trackingFinalizer) !== true) results.released.add(uid);
    } else if (
      pod === undefined ||
      any.status?.phase === "Failed" ||
      any.metadata.deletionTimestamp !== undefined
    )
      results.lost.add(uid);
  }

  #onJob(job: JobObject, old: JobObject | undefined): void {
    const { status = {} } = job;
    const results = this.#resultsOf(job.metadata.uid ?? "");
    const succeeded = status.succeeded ?? 0;
    const indexed = job.spec.completionMode === "Indexed";
    const limit = indexed ? results.indexes.size : results.succeeded.size;
    if (succeeded > limit) throw new Violation(`${nameOf(job)} counts ${succeeded} completions of ${limit}`);
    if ((status.failed ?? 0) > results.lost.size)
      throw new Violation(`${nameOf(job)} counts ${status.failed} failures of ${results.lost.size}`);
    if (succeeded < (old?.status?.succeeded ?? 0)) throw new Violation(`${nameOf(job)} forgets a completion`);
    const indexes = indexesOf(status.completedIndexes);
    if (indexes.some((each) => !results.indexes.has(each)))
      throw new Violation(
        `${nameOf(job)} counts indexes ${status.completedIndexes} that have not all succeeded`,
      );
    if (!indexed && !isOver(old) && succeeded < results.released.size)
      throw new Violation(
        `${nameOf(job)} counts ${succeeded}, though ${results.released.size} were released as counted`,
      );
    if (!isOver(old) && holds(job, "Complete") && succeeded < (job.spec.completions ?? 1))
      throw new Violation(`${nameOf(job)} is complete with ${succeeded} completions`);
  }

  /** concurrencyPolicy Forbid: one at a time. */
  #onScheduledJob(job: { metadata: JobObject["metadata"]; kind?: string }): void {
    const owner = controllerOf(job as JobObject);
    if (owner?.kind !== "CronJob") return;
    const cron = this.#truth.get("CronJob", job.metadata.namespace, owner.name);
    const { concurrencyPolicy } = (cron?.["spec"] ?? {}) as { concurrencyPolicy?: string };
    if (concurrencyPolicy !== "Forbid") return;
    const running = this.#truth
      .list<JobObject>("Job")
      .filter((each) => controllerOf(each)?.uid === owner.uid && !isOver(each));
    if (running.length > 1) throw new Violation(`CronJob ${owner.name} runs ${running.length} jobs at once`);
  }

  #resultsOf(uid: string): Results {
    let results = this.#results.get(uid);
    if (results === undefined) {
      results = { succeeded: new Set(), indexes: new Set(), lost: new Set(), released: new Set() };
      this.#results.set(uid, results);
    }
    return results;
  }
}

function isOver(job: JobObject | undefined): boolean {
  return holds(job, "Complete") || holds(job, "Failed");
}

function cpuOf(pod: PodObject): number {
  return pod.spec.containers.reduce(
    (sum, each) => sum + Number.parseInt(each.resources?.requests?.cpu ?? "0", 10),
    0,
  );
}

/** The node that a DaemonSet's pod is made for. */
function targetOf(pod: PodObject): string {
  return /"metadata\.name","operator":"In","values":\["([^"]+)"/.exec(JSON.stringify(pod.spec))?.[1] ?? "";
}
