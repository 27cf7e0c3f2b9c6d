/** CronJobs: Jobs by the clock, with limits on how late, how many at a time, and how many are kept. */
import { StatusError } from "#base/errors.ts";
import { create, on, record, remove, requeueAfter, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, Plan, Unsaved, View } from "./controller.ts";
import { nextTimeMs } from "./cron-schedule.ts";
import { equal } from "./equality.ts";
import { isFinished } from "./job.ts";
import { cronJobs, jobs } from "./kubernetes.ts";
import type { CronJob, Job } from "./kubernetes.ts";
import { controllerKeys, controllerReference } from "./owner.ts";
import { messageOf } from "./pod-control.ts";
import { timestamp } from "./pod.ts";

const scheduledAnnotation = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/** After so many missed times something is wrong with the clock or the schedule: only the last counts. */
const missedLimit = 100;
/** Clocks and timers are not exact: a look just before the time must not miss it. */
const slackMs = 100;

interface Status {
  active?: {
    apiVersion: string;
    kind: string;
    namespace: string;
    name: string;
    uid: string;
    resourceVersion?: string;
  }[];
  lastScheduleTime?: string;
  lastSuccessfulTime?: string;
}

export const cronJobController: Controller = {
  name: "cronjob-controller",
  triggers: [on(cronJobs, self), on(jobs, (job) => controllerKeys(cronJobs, job))],
  writes: [cronJobs, jobs],
  concurrency: 2,
  plan: planCronJob,
};

export function* planCronJob(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  const cronJob = view.get(cronJobs, namespace, name);
  if (cronJob === undefined || cronJob.metadata.deletionTimestamp !== undefined) return;
  const own = view.byIndex(jobs, "controller", cronJob.metadata.uid ?? "");
  const status = structuredClone(cronJob.status) as Status;
  noteSuccess(own, status);
  const trimmed = yield* trimHistory(cronJob, own);
  const left = own.filter((job) => !trimmed.includes(job));
  yield* observe(cronJob, left, status);
  if (cronJob.spec.suspend !== true) yield* startDue(cronJob, left, status, nowMs);
  if (!equal(status, cronJob.status)) {
    yield* updateStatus(cronJobs, { ...cronJob, status: status as unknown as CronJob["status"] });
  }
}

function noteSuccess(own: readonly Job[], status: Status): void {
  for (const { status: job } of own) {
    const complete = (job.conditions ?? []).some(
      (each) => each.type === "Complete" && each.status === "True",
    );
    const endedAt = job.completionTime as unknown as string | undefined;
    if (complete && endedAt !== undefined && endedAt > (status.lastSuccessfulTime ?? ""))
      status.lastSuccessfulTime = endedAt;
  }
}

/** Takes finished and vanished Jobs off the list of active ones. */
function* observe(cronJob: CronJob, own: readonly Job[], status: Status): Plan {
  for (const job of own) {
    const listed = status.active?.some((each) => each.uid === job.metadata.uid) === true;
    if (!isFinished(job)) {
      if (listed) continue;
      // One that was created just before a write of the status failed is known by its time. Others somebody else has made.
      if (job.metadata.annotations?.[scheduledAnnotation] !== undefined)
        status.active = [...(status.active ?? []), referenceTo(job)];
      else {
        const message = `Saw a job that the controller did not create or forgot: ${job.metadata.name}`;
        yield* record(cronJob, "Warning", "UnexpectedJob", message);
      }
      continue;
    }
    const finished = (job.status.conditions ?? []).find(
      (each) => (each.type === "Complete" || each.type === "Failed") && each.status === "True",
    );
    if (listed) {
      status.active = status.active!.filter((each) => each.uid !== job.metadata.uid);
      const message = `Saw completed job: ${job.metadata.name}, condition: ${finished?.type}`;
      yield* record(cronJob, "Normal", "SawCompletedJob", message);
    }
  }
  const uids = new Set(own.map((job) => job.metadata.uid));
  for (const missing of (status.active ?? []).filter((each) => !uids.has(each.uid))) {
    yield* record(cronJob, "Normal", "MissingJob", `Active job went missing: ${missing.name}`);
  }
  status.active = (status.active ?? []).filter((each) => uids.has(each.uid));
  if (status.active.length === 0) delete status.active;
}

function* trimHistory(cronJob: CronJob, own: readonly Job[]): Plan<Job[]> {
  const ended = (type: string): Job[] =>
    own
      .filter((job) =>
        (job.status.conditions ?? []).some((each) => each.type === type && each.status === "True"),
      )
      .sort((a, b) => ((a.status.startTime ?? "") < (b.status.startTime ?? "") ? -1 : 1));
  const { successfulJobsHistoryLimit: succeeded, failedJobsHistoryLimit: failed } = cronJob.spec;
  const surplus = (jobsOfType: Job[], limit: number | undefined): Job[] =>
    limit === undefined ? [] : jobsOfType.slice(0, Math.max(0, jobsOfType.length - limit));
  const trimmed = [...surplus(ended("Complete"), succeeded), ...surplus(ended("Failed"), failed)];
  for (const job of trimmed) yield* removeJob(cronJob, job);
  return trimmed;
}

function* startDue(cronJob: CronJob, own: readonly Job[], status: Status, nowMs: number): Plan {
  const { schedule, timeZone, startingDeadlineSeconds } = cronJob.spec;
  const earliestMs = Date.parse(status.lastScheduleTime ?? cronJob.metadata.creationTimestamp ?? "");
  const deadlineMs =
    startingDeadlineSeconds === undefined || startingDeadlineSeconds === null
      ? undefined
      : startingDeadlineSeconds * 1000;
  const sinceMs = deadlineMs === undefined ? earliestMs : Math.max(earliestMs, nowMs - deadlineMs);
  const due = lastDue(schedule, sinceMs, nowMs, timeZone);
  const nextMs = nextTimeMs(schedule, nowMs, timeZone);
  if (nextMs === undefined) {
    const problem = "time difference between two schedules is less than 1 second";
    yield* record(cronJob, "Warning", "InvalidSchedule", `invalid schedule: ${schedule} : ${problem}`);
    return;
  }
  yield* requeueAfter(nextMs - nowMs + slackMs);
  if (due === undefined) return;
  if (due.missed > missedLimit) {
    const message =
      "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
    yield* record(cronJob, "Warning", "TooManyMissedTimes", message);
  }
  // It is there already where only the write of the status behind it failed.
  let job = own.find(({ metadata }) => metadata.name === jobName(cronJob, due.atMs));
  if (job === undefined) {
    if (!(yield* makeRoom(cronJob, own, status))) return;
    job = yield* start(cronJob, due.atMs);
  }
  if (!isFinished(job)) {
    const { uid } = job.metadata;
    status.active = [...(status.active ?? []).filter((each) => each.uid !== uid), referenceTo(job)];
  }
  status.lastScheduleTime = timestamp(due.atMs);
}

/** False when the policy forbids another Job beside those that run. */
function* makeRoom(cronJob: CronJob, own: readonly Job[], status: Status): Plan<boolean> {
  const { concurrencyPolicy } = cronJob.spec;
  const listed = new Set(status.active?.map(({ uid }) => uid));
  const active = own.filter((job) => listed.has(job.metadata.uid ?? ""));
  if (concurrencyPolicy === "Forbid" && active.length > 0) {
    const message = "Not starting job because prior execution is running and concurrency policy is Forbid";
    yield* record(cronJob, "Normal", "JobAlreadyActive", message);
    return false;
  }
  if (concurrencyPolicy === "Replace") {
    for (const job of active) yield* removeJob(cronJob, job);
    delete status.active;
  }
  return true;
}

function lastDue(
  schedule: string,
  sinceMs: number,
  nowMs: number,
  timeZone: string | undefined,
): { atMs: number; missed: number } | undefined {
  let found: { atMs: number; missed: number } | undefined;
  let atMs = nextTimeMs(schedule, sinceMs, timeZone);
  while (atMs !== undefined && atMs <= nowMs) {
    found = { atMs, missed: (found?.missed ?? 0) + 1 };
    // Far behind: look only at the last hour of what was missed.
    const fromMs = found.missed > missedLimit ? Math.max(atMs, nowMs - 3_600_000) : atMs;
    atMs = nextTimeMs(schedule, fromMs, timeZone);
  }
  return found;
}

function jobName({ metadata }: CronJob, atMs: number): string {
  return `${metadata.name}-${Math.floor(atMs / 60_000)}`;
}

function* start(cronJob: CronJob, atMs: number): Plan<Job> {
  const { namespace = "" } = cronJob.metadata;
  const template = cronJob.spec.jobTemplate;
  const wanted = {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: jobName(cronJob, atMs),
      namespace,
      labels: { ...template.metadata?.labels },
      annotations: { ...template.metadata?.annotations, [scheduledAnnotation]: timestamp(atMs) },
      ownerReferences: [controllerReference(cronJobs, cronJob)],
    },
    spec: structuredClone(template.spec ?? {}),
  } as unknown as Unsaved<Job>;
  try {
    const job = yield* create(jobs, wanted);
    yield* record(cronJob, "Normal", "SuccessfulCreate", `Created job ${job.metadata.name}`);
    return job;
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === "AlreadyExists")) {
      yield* record(cronJob, "Warning", "FailedCreate", `Error creating job: ${messageOf(error)}`);
    }
    throw error;
  }
}

function* removeJob(cronJob: CronJob, job: Job): Plan {
  try {
    yield* remove(jobs, job, { propagation: "Background" });
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") return;
    yield* record(cronJob, "Warning", "FailedDelete", `Deleted job: ${messageOf(error)}`);
    throw error;
  }
  yield* record(cronJob, "Normal", "SuccessfulDelete", `Deleted job ${job.metadata.name}`);
}

function referenceTo(job: Job): NonNullable<Status["active"]>[number] {
  const { namespace = "", name = "", uid = "", resourceVersion } = job.metadata;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    namespace,
    name,
    uid,
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}
