/** The ReplicaSets of a Deployment: which one is the new one, its making, revisions and annotations. */
import { StatusError } from "#base/errors.ts";
import { create, get, record, update, updateStatus } from "./controller.ts";
import type { Plan, Unsaved } from "./controller.ts";
import { byCreation, maxSurge, newSetReplicas } from "./deployment-sizes.ts";
import { progressCondition, setProgress, withProgress } from "./deployment-status.ts";
import { equal } from "./equality.ts";
import { contentHash } from "./hash.ts";
import { deployments, replicaSets } from "./kubernetes.ts";
import type { Deployment, ReplicaSet } from "./kubernetes.ts";
import { controllerReference, isControlledBy } from "./owner.ts";
import { isNamespaceTerminating } from "./pod-control.ts";

export const revisionAnnotation = "deployment.kubernetes.io/revision";
const revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history";
export const desiredReplicasAnnotation = "deployment.kubernetes.io/desired-replicas";
export const maxReplicasAnnotation = "deployment.kubernetes.io/max-replicas";
const hashLabel = "pod-template-hash";
const historyLengthLimit = 2000;
const notCopied = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  revisionAnnotation,
  revisionHistoryAnnotation,
  desiredReplicasAnnotation,
  maxReplicasAnnotation,
  "deprecated.deployment.rollback.to",
]);

/** What one plan works on. `deployment` and `all` are always the newest that the plan knows. */
export interface Rollout {
  deployment: Deployment;
  all: ReplicaSet[];
  nowMs: number;
}

export interface Sets {
  newSet: ReplicaSet | undefined;
  /** All others, in the order of creation. */
  old: ReplicaSet[];
}

export function templateMatches(deployment: Deployment, replicaSet: ReplicaSet): boolean {
  return equal(withoutHash(deployment.spec.template), withoutHash(replicaSet.spec.template));
}

/** Finds the new ReplicaSet, brings its annotations and the Deployment's revision up to date, makes it if asked. */
export function* getReplicaSets(rollout: Rollout, makeNew: boolean): Plan<Sets> {
  rollout.all.sort(byCreation);
  const found = rollout.all.find((each) => templateMatches(rollout.deployment, each));
  const old = rollout.all.filter((each) => each !== found);
  const revision = String(Math.max(0, ...old.map(revisionOf)) + 1);
  if (found !== undefined) return { newSet: yield* refresh(rollout, found, revision), old };
  if (!makeNew) return { newSet: undefined, old };
  return { newSet: yield* make(rollout, old, revision), old };
}

export function revisionOf(replicaSet: ReplicaSet): number {
  return Number(replicaSet.metadata.annotations?.[revisionAnnotation] ?? 0) || 0;
}

export function replaceSet(rollout: Rollout, replicaSet: ReplicaSet): void {
  rollout.all = rollout.all.map((each) =>
    each.metadata.uid === replicaSet.metadata.uid ? replicaSet : each,
  );
}

function* refresh(rollout: Rollout, found: ReplicaSet, revision: string): Plan<ReplicaSet> {
  const { deployment } = rollout;
  const annotations = newSetAnnotations(deployment, found.metadata.annotations ?? {}, revision, true);
  const minReadySeconds = deployment.spec.minReadySeconds ?? 0;
  if (
    !equal(annotations, found.metadata.annotations) ||
    (found.spec.minReadySeconds ?? 0) !== minReadySeconds
  ) {
    const updated = yield* update(replicaSets, {
      ...found,
      metadata: { ...found.metadata, annotations },
      spec: { ...found.spec, minReadySeconds },
    });
    replaceSet(rollout, updated);
    return updated;
  }
  const known = progressCondition(deployment);
  const isNews = deployment.spec.progressDeadlineSeconds !== undefined && known === undefined;
  const message = `Found new replica set "${found.metadata.name}"`;
  yield* writeRevision(
    rollout,
    found.metadata.annotations?.[revisionAnnotation] ?? revision,
    isNews ? ["FoundNewReplicaSet", message] : undefined,
  );
  return found;
}

function* make(rollout: Rollout, old: readonly ReplicaSet[], revision: string): Plan<ReplicaSet | undefined> {
  const { deployment } = rollout;
  const wanted = newReplicaSet(deployment, old, revision);
  const name = wanted.metadata.name ?? "";
  let made: ReplicaSet;
  let existed = false;
  try {
    made = yield* create(replicaSets, wanted);
    rollout.all = [...rollout.all, made];
  } catch (error) {
    if (error instanceof StatusError && error.reason === "AlreadyExists") {
      made = yield* adoptExisting(rollout, name, error);
      existed = true;
    } else if (isNamespaceTerminating(error)) {
      return undefined;
    } else {
      const message = `Failed to create new replica set "${name}": ${(error as Error).message}`;
      if (deployment.spec.progressDeadlineSeconds !== undefined) {
        yield* setProgress(rollout, "False", "ReplicaSetCreateError", message);
      }
      yield* record(deployment, "Warning", "ReplicaSetCreateError", message);
      throw error;
    }
  }
  const size = made.spec.replicas ?? 0;
  if (!existed && size > 0) {
    yield* record(
      deployment,
      "Normal",
      "ScalingReplicaSet",
      `Scaled up replica set ${name} from 0 to ${size}`,
    );
  }
  const isNews = !existed && deployment.spec.progressDeadlineSeconds !== undefined;
  yield* writeRevision(
    rollout,
    revision,
    isNews ? ["NewReplicaSetCreated", `Created new replica set "${name}"`] : undefined,
  );
  return made;
}

/** The name is taken: by our own ReplicaSet that the copy doesn't show yet, or by another template (a collision). */
function* adoptExisting(rollout: Rollout, name: string, error: StatusError): Plan<ReplicaSet> {
  const { deployment } = rollout;
  const existing = yield* get(replicaSets, deployment.metadata.namespace, name);
  if (isControlledBy(existing, deployment) && templateMatches(deployment, existing)) {
    rollout.all = [...rollout.all.filter((each) => each.metadata.uid !== existing.metadata.uid), existing];
    return existing;
  }
  const collisionCount = (deployment.status.collisionCount ?? 0) + 1;
  yield* updateStatus(deployments, { ...deployment, status: { ...deployment.status, collisionCount } });
  throw error;
}

function newReplicaSet(
  deployment: Deployment,
  old: readonly ReplicaSet[],
  revision: string,
): Unsaved<ReplicaSet> {
  const template = structuredClone(deployment.spec.template);
  const hash = contentHash(template, deployment.status.collisionCount);
  const labels = { ...template.metadata?.labels, [hashLabel]: hash };
  const { selector, minReadySeconds = 0 } = deployment.spec;
  const replicas = newSetReplicas(deployment, old, 0);
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace ?? "",
      labels,
      annotations: newSetAnnotations(deployment, {}, revision, false),
      ownerReferences: [controllerReference(deployments, deployment)],
    },
    spec: {
      replicas,
      minReadySeconds,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  } as Unsaved<ReplicaSet>;
}

/** The Deployment's own annotations, the revision with its history, and, for a new set, the sizes. */
function newSetAnnotations(
  deployment: Deployment,
  current: Record<string, string>,
  revision: string,
  exists: boolean,
): Record<string, string> {
  const next = { ...current };
  for (const [name, value] of Object.entries(deployment.metadata.annotations ?? {})) {
    if (!notCopied.has(name)) next[name] = value;
  }
  const before = current[revisionAnnotation];
  if ((Number(before ?? 0) || 0) < Number(revision)) {
    next[revisionAnnotation] = revision;
    if (before !== undefined)
      next[revisionHistoryAnnotation] = longerHistory(current[revisionHistoryAnnotation], before);
  }
  if (!exists) Object.assign(next, sizeAnnotations(deployment));
  return next;
}

export function sizeAnnotations(deployment: Deployment): Record<string, string> {
  const replicas = deployment.spec.replicas ?? 1;
  return {
    [desiredReplicasAnnotation]: String(replicas),
    [maxReplicasAnnotation]: String(replicas + maxSurge(deployment)),
  };
}

function longerHistory(history: string | undefined, revision: string): string {
  const revisions = history === undefined || history === "" ? [] : history.split(",");
  revisions.push(revision);
  while (revisions.join(",").length > historyLengthLimit) revisions.shift();
  return revisions.join(",");
}

function* writeRevision(
  rollout: Rollout,
  revision: string,
  progress: [reason: string, message: string] | undefined,
): Plan {
  const { deployment } = rollout;
  const stale = deployment.metadata.annotations?.[revisionAnnotation] !== revision;
  if (!stale && progress === undefined) return;
  const annotations = { ...deployment.metadata.annotations, [revisionAnnotation]: revision };
  const status =
    progress === undefined
      ? deployment.status
      : ({
          ...deployment.status,
          conditions: withProgress(rollout, "True", progress[0], progress[1]),
        } as Deployment["status"]);
  rollout.deployment = yield* updateStatus(deployments, {
    ...deployment,
    metadata: { ...deployment.metadata, annotations },
    status,
  });
}

function withoutHash(template: ReplicaSet["spec"]["template"]): unknown {
  const { [hashLabel]: _, ...labels } = template?.metadata?.labels ?? {};
  return { ...template, metadata: { ...template?.metadata, labels, creationTimestamp: undefined } };
}
