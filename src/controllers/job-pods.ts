/** Which pods a Job makes, and which of the running ones it takes away. */
import type { Unsaved } from "./controller.ts";
import { indexAnnotation, indexOf } from "./job-indexes.ts";
import { jobs } from "./kubernetes.ts";
import type { Job, Pod } from "./kubernetes.ts";
import { isPodReady } from "./pod.ts";
import { podFromTemplate } from "./pod-control.ts";

export const trackingFinalizer = "batch.kubernetes.io/job-tracking";
const failureCountAnnotation = "batch.kubernetes.io/job-index-failure-count";

/** `index`: undefined for a Job without indexes. */
export function podForJob(job: Job, index: number | undefined, failures: number): Unsaved<Pod> {
  const pod = podFromTemplate(jobs, job, job.spec.template);
  pod.metadata.finalizers = [...(pod.metadata.finalizers ?? []), trackingFinalizer];
  if (index === undefined) return pod;
  const name = job.metadata.name ?? "";
  pod.metadata.generateName = `${name}-${index}-`;
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [indexAnnotation]: String(index),
    ...(hasLimitPerIndex(job) ? { [failureCountAnnotation]: String(failures) } : {}),
  };
  pod.metadata.labels = { ...pod.metadata.labels, [indexAnnotation]: String(index) };
  pod.spec.hostname ??= `${name}-${index}`;
  const variable = {
    name: "JOB_COMPLETION_INDEX",
    valueFrom: { fieldRef: { fieldPath: `metadata.labels['${indexAnnotation}']` } },
  };
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    if (container.env?.some((each) => each.name === variable.name) !== true) {
      container.env = [...(container.env ?? []), structuredClone(variable)];
    }
  }
  return pod;
}

export function hasLimitPerIndex(job: Job): boolean {
  return (job.spec as { backoffLimitPerIndex?: number }).backoffLimitPerIndex !== undefined;
}

/** How often this pod's index had failed when it was made. */
export function failuresBefore(pod: Pod): number {
  return Number(pod.metadata.annotations?.[failureCountAnnotation] ?? 0) || 0;
}

/** Those that should go first when fewer may run: not ready, young. */
export function surplusOrder(active: readonly Pod[]): Pod[] {
  const stage = (pod: Pod): number => (pod.spec.nodeName === undefined ? 0 : isPodReady(pod) ? 2 : 1);
  return [...active].sort(
    (a, b) =>
      stage(a) - stage(b) ||
      ((a.metadata.creationTimestamp ?? "") > (b.metadata.creationTimestamp ?? "") ? -1 : 1),
  );
}

/** Indexes that have neither a live pod nor a result, lowest first. */
export function freeIndexes(
  completions: number,
  active: readonly Pod[],
  done: ReadonlySet<number>,
  failed: ReadonlySet<number>,
): number[] {
  const taken = new Set(active.map(indexOf));
  const free: number[] = [];
  for (let index = 0; index < completions; index++) {
    if (!taken.has(index) && !done.has(index) && !failed.has(index)) free.push(index);
  }
  return free;
}
