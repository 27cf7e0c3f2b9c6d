/**
 * Jobs: pods that run to completion. A finished pod carries a finalizer until it is counted: first its
 * uid is written to the status, then the finalizer goes, then the uid turns into a count. So no result
 * is lost or counted twice, whatever happens in between.
 */
import { StatusError } from "#base/errors.ts";
import { keyOf, on, patch, record, requeueAfter, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { formatIndexes, indexOf, parseIndexes } from "./job-indexes.ts";
import { failureAction, successReached } from "./job-policy.ts";
import {
  failuresBefore,
  freeIndexes,
  hasLimitPerIndex,
  podForJob,
  surplusOrder,
  trackingFinalizer,
} from "./job-pods.ts";
import { jobs, pods } from "./kubernetes.ts";
import type { Job, Pod } from "./kubernetes.ts";
import { claim, claimable, controllerKeys, controllerOf } from "./owner.ts";
import { isPodFinished, isPodReady, timestamp } from "./pod.ts";
import { createPod, deletePod } from "./pod-control.ts";
import { selects } from "./selector.ts";

const backoffFirstMs = 10_000;
const backoffLimitMs = 600_000;

export interface JobCondition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastProbeTime?: string;
  lastTransitionTime?: string;
}

interface Status {
  active?: number;
  ready?: number;
  terminating?: number;
  succeeded?: number;
  failed?: number;
  completedIndexes?: string;
  failedIndexes?: string;
  startTime?: string;
  completionTime?: string;
  conditions?: JobCondition[];
  uncountedTerminatedPods?: { succeeded?: string[]; failed?: string[] };
}

type Verdict = { type: "Failed" | "Complete"; reason: string; message: string };

export const jobController: Controller = {
  name: "job-controller",
  triggers: [on(jobs, self), on(pods, jobsOfPod)],
  writes: [jobs, pods],
  concurrency: 5,
  restMs: 20,
  plan: planJob,
};

export function* planJob(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  const job = view.get(jobs, namespace, name);
  yield* freeOrphans(view, namespace, name, job);
  const managedBy = (job?.spec as { managedBy?: string } | undefined)?.managedBy;
  if (job === undefined || (managedBy !== undefined && managedBy !== "kubernetes.io/job-controller")) return;
  const own = yield* ownPods(view, job);
  if (isFinished(job)) {
    for (const pod of own) yield* dropFinalizer(pod);
    return;
  }
  if (job.metadata.deletionTimestamp !== undefined) {
    for (const pod of own.filter(isPodFinished)) yield* dropFinalizer(pod);
    return;
  }
  const sync = new JobSync(job, own, nowMs);
  yield* sync.run();
}

/** One look at a job. Mutable while it runs: the status grows with what is found and done. */
class JobSync {
  readonly #job: Job;
  readonly #own: readonly Pod[];
  readonly #nowMs: number;
  readonly #status: Status;
  readonly #indexed: boolean;
  readonly #completions: number;
  #active: Pod[];
  #terminating: Pod[];
  #done: Set<number>;
  #failedIndexes: Set<number>;
  readonly #newlyFailed: Pod[] = [];
  #failJobMessage: string | undefined;

  constructor(job: Job, own: readonly Pod[], nowMs: number) {
    this.#job = job;
    this.#own = own;
    this.#nowMs = nowMs;
    this.#status = structuredClone(job.status) as Status;
    this.#indexed = job.spec.completionMode === "Indexed";
    this.#completions = job.spec.completions ?? 0;
    const live = own.filter((pod) => !isPodFinished(pod));
    this.#active = live.filter((pod) => pod.metadata.deletionTimestamp === undefined);
    this.#terminating = live.filter((pod) => pod.metadata.deletionTimestamp !== undefined);
    this.#done = parseIndexes(this.#status.completedIndexes, this.#completions);
    this.#failedIndexes = parseIndexes(this.#status.failedIndexes, this.#completions);
  }

  *run(): Plan {
    const suspended = this.#job.spec.suspend === true;
    if (!suspended && this.#status.startTime === undefined) this.#status.startTime = timestamp(this.#nowMs);
    const counted = this.#count();
    let verdict = this.#verdict();
    if (verdict?.type === "Complete") yield* this.#tellOfSurplus();
    if (verdict !== undefined) yield* this.#stopAll(verdict.type === "Failed");
    else if (suspended) yield* this.#suspend();
    else {
      yield* this.#resume();
      yield* this.#fill();
      verdict = undefined;
    }
    this.#report(verdict);
    yield* this.#settle(counted, verdict);
    yield* this.#requeueForDeadline(verdict);
  }

  /** Finished pods that still carry the finalizer: results to be counted now. */
  #count(): Pod[] {
    const counted: Pod[] = [];
    const uncounted = this.#status.uncountedTerminatedPods ?? {};
    const before = new Set([...(uncounted.succeeded ?? []), ...(uncounted.failed ?? [])]);
    // A deleted pod whose replacement does not wait for its end counts as failed at once.
    const replacesEarly = this.#replacesEarly();
    for (const pod of this.#own) {
      if (pod.metadata.finalizers?.includes(trackingFinalizer) !== true) continue;
      const deleted = pod.metadata.deletionTimestamp !== undefined;
      if (!isPodFinished(pod) && !(deleted && replacesEarly && this.#job.spec.suspend !== true)) continue;
      counted.push(pod);
      if (before.has(pod.metadata.uid ?? "")) continue;
      if (pod.status.phase === "Succeeded") this.#countSuccess(pod);
      else this.#countFailure(pod);
    }
    return counted;
  }

  #replacesEarly(): boolean {
    return this.#job.spec.podReplacementPolicy !== "Failed" && this.#job.spec.podFailurePolicy === undefined;
  }

  #countSuccess(pod: Pod): void {
    if (!this.#indexed) {
      this.#status.succeeded = (this.#status.succeeded ?? 0) + 1;
      return;
    }
    const index = indexOf(pod);
    if (index >= 0 && index < this.#completions) this.#done.add(index);
  }

  #countFailure(pod: Pod): void {
    const matched = isPodFinished(pod) ? failureAction(this.#job, pod) : undefined;
    if (matched?.action === "Ignore") return;
    if (matched?.action === "FailJob") this.#failJobMessage ??= matched.message;
    this.#status.failed = (this.#status.failed ?? 0) + 1;
    this.#newlyFailed.push(pod);
    if (!this.#indexed || !hasLimitPerIndex(this.#job)) return;
    const limit = (this.#job.spec as { backoffLimitPerIndex?: number }).backoffLimitPerIndex ?? 0;
    if (matched?.action === "FailIndex" || failuresBefore(pod) >= limit)
      this.#failedIndexes.add(indexOf(pod));
  }

  #verdict(): Verdict | undefined {
    const { spec } = this.#job;
    const target = findCondition(this.#status, "FailureTarget");
    if (target !== undefined) return verdictOf("Failed", target);
    const success = findCondition(this.#status, "SuccessCriteriaMet");
    if (success !== undefined) return verdictOf("Complete", success);
    if (this.#failJobMessage !== undefined) {
      return { type: "Failed", reason: "PodFailurePolicy", message: this.#failJobMessage };
    }
    const failed = (this.#status.failed ?? 0) + this.#restarts();
    if (failed > (spec.backoffLimit ?? 6)) {
      return {
        type: "Failed",
        reason: "BackoffLimitExceeded",
        message: "Job has reached the specified backoff limit",
      };
    }
    if (this.#deadlineLeftMs() <= 0) {
      return {
        type: "Failed",
        reason: "DeadlineExceeded",
        message: "Job was active longer than specified deadline",
      };
    }
    if (this.#indexed) return this.#indexedVerdict();
    const succeeded = this.#status.succeeded ?? 0;
    const complete =
      spec.completions === undefined || spec.completions === null
        ? succeeded > 0 && this.#active.length === 0 && this.#terminating.length === 0
        : succeeded >= spec.completions;
    return complete ? completed() : undefined;
  }

  #indexedVerdict(): Verdict | undefined {
    const limit = (this.#job.spec as { maxFailedIndexes?: number }).maxFailedIndexes;
    if (
      hasLimitPerIndex(this.#job) &&
      limit !== undefined &&
      limit !== null &&
      this.#failedIndexes.size > limit
    ) {
      return {
        type: "Failed",
        reason: "MaxFailedIndexesExceeded",
        message: "Job has exceeded the specified maximal number of failed indexes",
      };
    }
    const message = successReached(this.#job, this.#done);
    if (message !== undefined) return { type: "Complete", reason: "SuccessPolicy", message };
    if (this.#failedIndexes.size > 0 && this.#failedIndexes.size + this.#done.size >= this.#completions) {
      return { type: "Failed", reason: "FailedIndexes", message: "Job has failed indexes" };
    }
    return this.#done.size >= this.#completions ? completed() : undefined;
  }

  /** More pods than it takes: told once, when the Job is found to be complete. */
  *#tellOfSurplus(): Plan {
    const { completions } = this.#job.spec;
    if (this.#indexed || completions === undefined || completions === null) return;
    if (findCondition(this.#status, "SuccessCriteriaMet") !== undefined) return;
    const tell = (reason: string, which: string): Plan =>
      record(this.#job, "Warning", reason, `Too many ${which} pods running after completion count reached`);
    if (this.#active.length > 0) yield* tell("TooManyActivePods", "active");
    if ((this.#status.succeeded ?? 0) > completions) yield* tell("TooManySucceededPods", "succeeded");
  }

  /** With restartPolicy OnFailure the restarts of running pods count like failed pods. */
  #restarts(): number {
    if (this.#job.spec.template.spec?.restartPolicy !== "OnFailure") return 0;
    let total = 0;
    for (const pod of this.#active) {
      for (const each of [
        ...(pod.status.initContainerStatuses ?? []),
        ...(pod.status.containerStatuses ?? []),
      ]) {
        total += each.restartCount;
      }
    }
    const limit = this.#job.spec.backoffLimit ?? 6;
    // The limit itself is reached by restarts, passed by failed pods.
    return total > 0 && total >= limit ? limit + 1 : 0;
  }

  #deadlineLeftMs(): number {
    const seconds = this.#job.spec.activeDeadlineSeconds;
    if (seconds === undefined || seconds === null || this.#status.startTime === undefined) return Infinity;
    if (this.#job.spec.suspend === true) return Infinity;
    return Date.parse(this.#status.startTime) + seconds * 1000 - this.#nowMs;
  }

  /** A pod that is sent away though the Job goes well is nobody's failure: it is not counted. */
  *#stop(pod: Pod, counts = false): Plan {
    if (!counts) yield* dropFinalizer(pod);
    yield* deletePod(this.#job, pod);
  }

  *#stopAll(count: boolean): Plan {
    for (const pod of this.#active) yield* this.#stop(pod, count);
    this.#terminating = [...this.#terminating, ...this.#active];
    this.#active = [];
  }

  *#suspend(): Plan {
    yield* this.#stopAll(false);
    const known = findCondition(this.#status, "Suspended");
    if (known !== undefined) return;
    this.#setCondition("Suspended", "True", "JobSuspended", "Job suspended");
    yield* record(this.#job, "Normal", "Suspended", "Job suspended");
  }

  *#resume(): Plan {
    const known = (this.#status.conditions ?? []).find((each) => each.type === "Suspended");
    if (known?.status !== "True") return;
    this.#setCondition("Suspended", "False", "JobResumed", "Job resumed");
    this.#status.startTime = timestamp(this.#nowMs);
    yield* record(this.#job, "Normal", "Resumed", "Job resumed");
  }

  *#fill(): Plan {
    const { spec } = this.#job;
    const parallelism = spec.parallelism ?? 1;
    const succeeded = this.#indexed ? this.#done.size : (this.#status.succeeded ?? 0);
    let wanted: number;
    if (this.#indexed)
      wanted = Math.min(parallelism, this.#completions - succeeded - this.#failedIndexes.size);
    else if (spec.completions === undefined || spec.completions === null) {
      wanted = succeeded > 0 ? this.#active.length : parallelism;
    } else wanted = Math.min(parallelism, spec.completions - succeeded);
    if (this.#active.length > wanted) {
      for (const pod of surplusOrder(this.#active).slice(0, this.#active.length - Math.max(0, wanted))) {
        yield* this.#stop(pod);
        this.#active = this.#active.filter((each) => each !== pod);
        this.#terminating.push(pod);
      }
      return;
    }
    const waitsForEnd = spec.podReplacementPolicy === "Failed";
    const occupied = this.#active.length + (waitsForEnd ? this.#terminating.length : 0);
    const missing = wanted - occupied;
    if (missing <= 0) return;
    const backoffMs = this.#backoffLeftMs();
    if (backoffMs > 0) {
      yield* requeueAfter(backoffMs);
      return;
    }
    yield* this.#create(missing, waitsForEnd);
  }

  *#create(count: number, waitsForEnd: boolean): Plan {
    if (!this.#indexed) {
      for (let made = 0; made < count; made++) {
        this.#active.push(yield* createPod(this.#job, podForJob(this.#job, undefined, 0)));
      }
      return;
    }
    const taken = waitsForEnd ? [...this.#active, ...this.#terminating] : this.#active;
    const free = freeIndexes(this.#completions, taken, this.#done, this.#failedIndexes);
    for (const index of free.slice(0, count)) {
      const past = this.#own.filter((pod) => indexOf(pod) === index && pod.status.phase === "Failed");
      const failures = past.length === 0 ? 0 : Math.max(...past.map(failuresBefore)) + 1;
      this.#active.push(yield* createPod(this.#job, podForJob(this.#job, index, failures)));
    }
  }

  /** After failures new pods wait: 10 s doubling, counted from the last one's end. */
  #backoffLeftMs(): number {
    const failures = this.#own.filter(
      (pod) =>
        this.#newlyFailed.includes(pod) ||
        (this.#replacesEarly() && this.#terminating.includes(pod)) ||
        (pod.status.phase === "Failed" && failureAction(this.#job, pod)?.action !== "Ignore"),
    );
    if (failures.length === 0) return 0;
    const endedMs = Math.max(...failures.map(finishedMs));
    const since = this.#own.filter((pod) => pod.status.phase === "Succeeded" && finishedMs(pod) > endedMs);
    if (since.length > 0) return 0;
    const waitMs = Math.min(backoffFirstMs * 2 ** (failures.length - 1), backoffLimitMs);
    return endedMs + waitMs - this.#nowMs;
  }

  /** Puts counts and verdict into the status. */
  #report(verdict: Verdict | undefined): void {
    const status = this.#status;
    status.active = this.#active.length;
    status.ready = this.#active.filter(isPodReady).length;
    status.terminating = this.#terminating.length;
    if (this.#indexed) {
      status.succeeded = this.#done.size;
      status.completedIndexes = formatIndexes(this.#done);
      if (hasLimitPerIndex(this.#job)) status.failedIndexes = formatIndexes(this.#failedIndexes);
    }
    if (verdict === undefined) return;
    const first = verdict.type === "Failed" ? "FailureTarget" : "SuccessCriteriaMet";
    this.#setCondition(first, "True", verdict.reason, verdict.message);
  }

  /** Writes the status in the order that loses nothing. */
  *#settle(counted: readonly Pod[], verdict: Verdict | undefined): Plan {
    const uncounted = counted.filter((pod) => pod.metadata.uid !== undefined);
    const uids = (phase: "succeeded" | "failed"): string[] =>
      uncounted
        .filter((pod) => (pod.status.phase === "Succeeded") === (phase === "succeeded"))
        .map((pod) => pod.metadata.uid!);
    this.#status.uncountedTerminatedPods = {};
    let job = this.#job;
    if (uncounted.length > 0) {
      const [succeeded, failed] = [uids("succeeded"), uids("failed")];
      const uncountedTerminatedPods = {
        ...(succeeded.length === 0 ? {} : { succeeded }),
        ...(failed.length === 0 ? {} : { failed }),
      };
      job = yield* this.#write(job, { ...this.#status, uncountedTerminatedPods });
      for (const pod of uncounted) yield* dropFinalizer(pod);
    }
    // The final condition comes only after all pods have stopped.
    if (verdict !== undefined && this.#terminating.length === 0) {
      if (verdict.type === "Complete") this.#status.completionTime = timestamp(this.#nowMs);
      this.#setCondition(verdict.type, "True", verdict.reason, verdict.message);
    }
    yield* this.#write(job, this.#status);
    if (verdict !== undefined && this.#terminating.length === 0) {
      if (verdict.type === "Complete") yield* record(job, "Normal", "Completed", "Job completed");
      else yield* record(job, "Warning", verdict.reason, verdict.message);
      for (const pod of this.#own) yield* dropFinalizer(pod);
    }
  }

  *#write(job: Job, status: Status): Plan<Job> {
    const next = { ...status };
    for (const field of ["active", "succeeded", "failed"] as const) if (next[field] === 0) delete next[field];
    if (next.completedIndexes === "") delete next.completedIndexes;
    if (equal(next, job.status)) return job;
    return yield* updateStatus(jobs, { ...job, status: next as unknown as Job["status"] });
  }

  #setCondition(type: string, status: string, reason: string, message: string): void {
    const list = this.#status.conditions ?? [];
    const at = timestamp(this.#nowMs);
    const known = list.find((each) => each.type === type);
    if (known?.status === status) return;
    const next = { type, status, lastProbeTime: at, lastTransitionTime: at, reason, message };
    this.#status.conditions = [...list.filter((each) => each.type !== type), next];
  }

  *#requeueForDeadline(verdict: Verdict | undefined): Plan {
    const leftMs = this.#deadlineLeftMs();
    if (verdict === undefined && leftMs < Infinity) yield* requeueAfter(leftMs);
  }
}

export function isFinished(job: Job): boolean {
  return ["Complete", "Failed"].some((type) => findCondition(job.status as Status, type) !== undefined);
}

function findCondition(status: Status, type: string): JobCondition | undefined {
  return status.conditions?.find((each) => each.type === type && each.status === "True");
}

function verdictOf(type: Verdict["type"], { reason = "", message = "" }: JobCondition): Verdict {
  return { type, reason, message };
}

function completed(): Verdict {
  return {
    type: "Complete",
    reason: "CompletionsReached",
    message: "Reached expected number of succeeded pods",
  };
}

function finishedMs(pod: Pod): number {
  const ends = (pod.status.containerStatuses ?? [])
    .map((each) => Date.parse(String(each.state?.terminated?.finishedAt ?? "")))
    .filter((each) => !Number.isNaN(each));
  if (ends.length > 0) return Math.max(...ends);
  const { creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata;
  if (deletionTimestamp === undefined) return Date.parse(creationTimestamp ?? "");
  // When its deletion was asked for.
  return Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
}

/** Pods of an earlier Job of this name: nobody will count them any more. */
function* freeOrphans(view: View, namespace: string, name: string, job: Job | undefined): Plan {
  for (const pod of view.list(pods, namespace)) {
    const owner = controllerOf(pod);
    if (owner?.kind !== "Job" || owner.name !== name || owner.uid === job?.metadata.uid) continue;
    yield* dropFinalizer(pod);
  }
}

function* ownPods(view: View, job: Job): Plan<Pod[]> {
  return yield* claim({
    ownerResource: jobs,
    owner: job,
    resource: pods,
    candidates: claimable(view, pods, job),
    matches: (pod) => selects(job.spec.selector, pod.metadata.labels),
  });
}

function* dropFinalizer(pod: Pod): Plan {
  const finalizers = pod.metadata.finalizers ?? [];
  if (!finalizers.includes(trackingFinalizer)) return;
  try {
    yield* patch(pods, pod, "strategic", {
      metadata: { uid: pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [trackingFinalizer] },
    });
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
  }
}

function* jobsOfPod(pod: Pod, view: View): Iterable<string> {
  if (controllerOf(pod) !== undefined) {
    yield* controllerKeys(jobs, pod);
    return;
  }
  for (const job of view.list(jobs, pod.metadata.namespace)) {
    if (selects(job.spec.selector, pod.metadata.labels)) yield keyOf(job);
  }
}
