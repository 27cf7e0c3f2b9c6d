/**
 * Deployments: one ReplicaSet per template, and the way from the old ones to the new one. This file
 * decides what kind of step is due; `deployment-revision.ts` finds and makes the new ReplicaSet,
 * `deployment-scale.ts` changes sizes, `deployment-status.ts` reports.
 */
import { on, record, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { cleanUp } from "./deployment-history.ts";
import { getReplicaSets, templateMatches } from "./deployment-revision.ts";
import type { Rollout } from "./deployment-revision.ts";
import { scaleForEvent, scaleReplicaSet, isScalingEvent } from "./deployment-scale.ts";
import { rollOver } from "./deployment-rolling.ts";
import {
  deploymentComplete,
  progressCondition,
  setProgress,
  syncRolloutStatus,
  syncStatus,
} from "./deployment-status.ts";
import { deployments, pods, replicaSets } from "./kubernetes.ts";
import type { Deployment, Pod, ReplicaSet } from "./kubernetes.ts";
import { claim, claimable, controllerKeys, controllerOf } from "./owner.ts";
import { isPodFinished } from "./pod.ts";
import { isEmptySelector, selects } from "./selector.ts";

export const deploymentController: Controller = {
  name: "deployment-controller",
  triggers: [
    on(deployments, self),
    on(replicaSets, deploymentsOfReplicaSet),
    on(pods, deploymentsOfPod, (pod) => pod === undefined),
  ],
  writes: [deployments, replicaSets],
  concurrency: 5,
  restMs: 20,
  plan: planDeployment,
};

export function* planDeployment(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  const deployment = view.get(deployments, namespace, name);
  if (deployment === undefined) return;
  if (isEmptySelector(deployment.spec.selector)) {
    const message = "This deployment is selecting all pods. A non-empty selector is required.";
    yield* record(deployment, "Warning", "SelectingAll", message);
    if ((deployment.status.observedGeneration ?? 0) < (deployment.metadata.generation ?? 0)) {
      const observedGeneration = deployment.metadata.generation ?? 0;
      yield* updateStatus(deployments, {
        ...deployment,
        status: { ...deployment.status, observedGeneration },
      });
    }
    return;
  }
  const claimed = yield* claim({
    ownerResource: deployments,
    owner: deployment,
    resource: replicaSets,
    candidates: claimable(view, replicaSets, deployment),
    matches: (replicaSet) => selects(deployment.spec.selector, replicaSet.metadata.labels),
  });
  const rollout: Rollout = { deployment, all: claimed, nowMs };
  if (deployment.metadata.deletionTimestamp !== undefined) {
    yield* syncStatus(rollout, getOldAndNew(rollout));
    return;
  }
  yield* checkPaused(rollout);
  if (rollout.deployment.spec.paused === true || isScalingEvent(rollout)) {
    yield* sync(rollout);
    return;
  }
  if (deployment.spec.strategy?.type === "Recreate") yield* recreate(view, rollout);
  else yield* rollOver(rollout);
}

/** Scales and reports, without taking the rollout a step further. */
function* sync(rollout: Rollout): Plan {
  const sets = yield* getReplicaSets(rollout, false);
  yield* scaleForEvent(rollout, sets);
  if (rollout.deployment.spec.paused === true) yield* cleanUp(rollout, sets.old);
  yield* syncStatus(rollout, sets);
}

function* recreate(view: View, rollout: Rollout): Plan {
  let sets = yield* getReplicaSets(rollout, false);
  let scaledDown = false;
  for (const old of sets.old) {
    if ((old.spec.replicas ?? 0) > 0) scaledDown = (yield* scaleReplicaSet(rollout, old, 0)) || scaledDown;
  }
  if (scaledDown || oldPodsRun(view, sets.old, sets.newSet)) {
    yield* syncRolloutStatus(rollout, yield* getReplicaSets(rollout, false));
    return;
  }
  sets = yield* getReplicaSets(rollout, true);
  if (sets.newSet !== undefined) {
    yield* scaleReplicaSet(rollout, sets.newSet, rollout.deployment.spec.replicas ?? 1);
  }
  sets = getOldAndNew(rollout);
  if (deploymentComplete(rollout.deployment, rollout.deployment.status)) yield* cleanUp(rollout, sets.old);
  yield* syncRolloutStatus(rollout, sets);
}

function oldPodsRun(view: View, old: readonly ReplicaSet[], newSet: ReplicaSet | undefined): boolean {
  if (old.some((each) => (each.status.replicas ?? 0) > 0)) return true;
  return old
    .filter((each) => each.metadata.uid !== newSet?.metadata.uid)
    .flatMap((each) => view.byIndex(pods, "controller", each.metadata.uid ?? ""))
    .some((pod) => !isPodFinished(pod));
}

/** A paused rollout must not run into its progress deadline, so pausing is a kind of progress. */
function* checkPaused(rollout: Rollout): Plan {
  const { deployment } = rollout;
  if (deployment.spec.progressDeadlineSeconds === undefined) return;
  const progress = progressCondition(deployment);
  if (progress?.reason === "ProgressDeadlineExceeded") return;
  const pausedBefore = progress?.reason === "DeploymentPaused";
  if (deployment.spec.paused === true && !pausedBefore) {
    yield* setProgress(rollout, "Unknown", "DeploymentPaused", "Deployment is paused");
  } else if (deployment.spec.paused !== true && pausedBefore) {
    yield* setProgress(rollout, "Unknown", "DeploymentResumed", "Deployment is resumed");
  }
}

function getOldAndNew(rollout: Rollout): { newSet: ReplicaSet | undefined; old: ReplicaSet[] } {
  const newSet = rollout.all.find((each) => templateMatches(rollout.deployment, each));
  return { newSet, old: rollout.all.filter((each) => each !== newSet) };
}

function* deploymentsOfReplicaSet(replicaSet: ReplicaSet, view: View): Iterable<string> {
  if (controllerOf(replicaSet) !== undefined) {
    yield* controllerKeys(deployments, replicaSet);
    return;
  }
  for (const deployment of view.list(deployments, replicaSet.metadata.namespace)) {
    if (selects(deployment.spec.selector, replicaSet.metadata.labels)) yield* self(deployment);
  }
}

/** Only Recreate waits for pods to be gone. */
function* deploymentsOfPod(pod: Pod, view: View): Iterable<string> {
  const owner = controllerOf(pod);
  if (owner?.kind !== "ReplicaSet") return;
  const replicaSet = view.get(replicaSets, pod.metadata.namespace, owner.name);
  if (replicaSet === undefined) return;
  for (const key of controllerKeys(deployments, replicaSet)) {
    const { namespace, name } = splitKey(key);
    const deployment: Deployment | undefined = view.get(deployments, namespace, name);
    if (deployment?.spec.strategy?.type === "Recreate") yield key;
  }
}
