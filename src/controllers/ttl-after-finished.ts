/** Finished Jobs with a time to live go when it is over. */
import { StatusError } from "#base/errors.ts";
import { get, on, remove, requeueAfter, self, splitKey } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { isFinished } from "./job.ts";
import { jobs } from "./kubernetes.ts";
import type { Job } from "./kubernetes.ts";

export const ttlAfterFinishedController: Controller = {
  name: "ttl-after-finished-controller",
  triggers: [on(jobs, self, (job) => job !== undefined && isFinished(job))],
  writes: [jobs],
  plan: planTtl,
};

export function* planTtl(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  const seen = view.get(jobs, namespace, name);
  if (seen === undefined) return;
  const leftMs = timeLeftMs(seen, nowMs);
  if (leftMs === undefined) return;
  if (leftMs > 0) {
    yield* requeueAfter(leftMs);
    return;
  }
  try {
    // The time to live may have been raised a moment ago.
    const fresh = yield* get(jobs, namespace, name);
    const stillLeftMs = timeLeftMs(fresh, nowMs);
    if (fresh.metadata.uid !== seen.metadata.uid || stillLeftMs === undefined || stillLeftMs > 0) return;
    yield* remove(jobs, fresh, { propagation: "Foreground" });
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
  }
}

function timeLeftMs(job: Job, nowMs: number): number | undefined {
  const seconds = job.spec.ttlSecondsAfterFinished;
  if (seconds === undefined || job.metadata.deletionTimestamp !== undefined || !isFinished(job))
    return undefined;
  const finished = (job.status.conditions ?? []).find(
    (each) => (each.type === "Complete" || each.type === "Failed") && each.status === "True",
  );
  const endedAt = finished?.lastTransitionTime as unknown as string | undefined;
  return endedAt === undefined ? undefined : Date.parse(endedAt) + seconds * 1000 - nowMs;
}
