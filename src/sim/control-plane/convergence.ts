/** What must hold once nothing disturbs any more: everything that was asked for is there, and nothing else. */

import type { KubeObject } from "#kinds/object.ts";
import { controllerOf, holds, isAvailable, isFinished, nameOf } from "./shapes.ts";
import type { JobObject, PodObject, Scaled } from "./shapes.ts";
import type { Truth } from "./truth.ts";

/** Everything that is not yet as it should be, in words. Empty: converged. */
export function unfinished(truth: Truth): string[] {
  return [
    ...truth.list<Scaled>("Deployment").flatMap((each) => unfinishedSet(each, truth)),
    ...truth.list<Scaled>("ReplicaSet").flatMap((each) => unfinishedSet(each, truth)),
    ...truth.list<Scaled>("StatefulSet").flatMap((each) => unfinishedSet(each, truth)),
    ...truth.list<Scaled>("DaemonSet").flatMap((each) => unfinishedDaemon(each, truth)),
    ...truth.list<JobObject>("Job").flatMap(unfinishedJob),
    ...truth.list<PodObject>("Pod").flatMap(unfinishedPod),
    ...truth.list("Namespace").flatMap((each) => leaving(each)),
    ...orphans(truth),
  ];
}

function unfinishedSet(set: Scaled, truth: Truth): string[] {
  const { replicas = 1 } = set.spec;
  const { status = {} } = set;
  const is = (what: string): string => `${nameOf(set)} ${what}`;
  const found = leaving(set);
  if (status.observedGeneration !== set.metadata.generation) found.push(is("is not observed"));
  const counted = [status.replicas ?? 0, status.readyReplicas ?? 0, status.availableReplicas ?? 0];
  if (counted.some((each) => each !== replicas))
    found.push(is(`counts ${counted.join(", ")} of ${replicas}`));
  if (set.kind !== "ReplicaSet" && (status.updatedReplicas ?? 0) !== replicas)
    found.push(is(`has ${status.updatedReplicas} updated of ${replicas}`));
  if (set.kind === "Deployment") {
    const sets = truth
      .list<Scaled>("ReplicaSet")
      .filter((each) => controllerOf(each)?.uid === set.metadata.uid);
    const asked = sets.filter((each) => (each.spec.replicas ?? 1) > 0).length;
    if (asked > 1) found.push(is(`still has ${asked} ReplicaSets with pods`));
    return found;
  }
  const own = truth.list<PodObject>("Pod").filter((pod) => controllerOf(pod)?.uid === set.metadata.uid);
  const available = own.filter(isAvailable).length;
  if (available !== replicas || own.filter((pod) => !isFinished(pod)).length !== replicas)
    found.push(is(`has ${available} available of ${own.length} pods, not ${replicas}`));
  return found;
}

function unfinishedDaemon(set: Scaled, truth: Truth): string[] {
  const { status = {} } = set;
  const nodes = truth.list("Node").length;
  const counted = [status.desiredNumberScheduled, status.numberAvailable, status.updatedNumberScheduled];
  const found = leaving(set);
  if (counted.some((each) => (each ?? 0) !== nodes))
    found.push(`${nameOf(set)} counts ${counted.map((each) => each ?? 0).join(", ")} of ${nodes}`);
  return found;
}

function unfinishedJob(job: JobObject): string[] {
  const isOver = holds(job, "Complete") || holds(job, "Failed") || job.spec.suspend === true;
  return [...leaving(job), ...(isOver ? [] : [`${nameOf(job)} has not ended`])];
}

function unfinishedPod(pod: PodObject): string[] {
  return [...leaving(pod), ...(isAvailable(pod) || isFinished(pod) ? [] : [`${nameOf(pod)} is not ready`])];
}

function leaving(object: KubeObject): string[] {
  return object.metadata.deletionTimestamp === undefined ? [] : [`${nameOf(object)} is still on its way out`];
}

/** All owners are gone, or the namespace is. */
function orphans(truth: Truth): string[] {
  const uids = new Set<string>();
  for (const each of truth.all()) uids.add(each.metadata.uid ?? "");
  const found: string[] = [];
  for (const each of truth.all()) {
    const { ownerReferences: owners = [], namespace } = each.metadata;
    if (owners.length > 0 && !owners.some((owner) => uids.has(owner.uid)))
      found.push(`${nameOf(each)} has outlived its owners`);
    if (
      namespace !== undefined &&
      namespace !== "" &&
      truth.get("Namespace", undefined, namespace) === undefined
    )
      found.push(`${nameOf(each)} has outlived its namespace`);
  }
  return found;
}
