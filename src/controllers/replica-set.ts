/** ReplicaSets: as many pods as asked for, and a status that counts them. */
import { claim, claimable, controllerKeys, controllerOf } from "./owner.ts";
import { keyOf, on, requeueAfter, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { pods, replicaSets } from "./kubernetes.ts";
import type { Pod, ReplicaSet } from "./kubernetes.ts";
import { isPodActive, nextAvailableInMs } from "./pod.ts";
import { createPod, deletePod, isNamespaceTerminating, messageOf, podFromTemplate } from "./pod-control.ts";
import { deletionOrder, replicaStatus } from "./replica-status.ts";
import type { ReplicaStatus } from "./replica-status.ts";
import { selects } from "./selector.ts";

/** At most so many pods are made or deleted in one plan. */
const burstReplicas = 500;

export const replicaSetController: Controller = {
  name: "replicaset-controller",
  triggers: [on(replicaSets, self), on(pods, replicaSetsOfPod)],
  writes: [pods, replicaSets],
  concurrency: 5,
  restMs: 20,
  plan: planReplicaSet,
};

export function* planReplicaSet(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  const replicaSet = view.get(replicaSets, namespace, name);
  if (replicaSet === undefined) return;
  const candidates = claimable(view, pods, replicaSet).filter(isPodActive);
  const own = yield* claim({
    ownerResource: replicaSets,
    owner: replicaSet,
    resource: pods,
    candidates,
    matches: (pod) => selects(replicaSet.spec.selector, pod.metadata.labels),
  });
  let failure: unknown;
  let active = own;
  if (replicaSet.metadata.deletionTimestamp === undefined) {
    const result = yield* manageReplicas(view, replicaSet, own, nowMs);
    active = result.active;
    failure = result.failure;
  }
  yield* writeStatus(replicaSet, active, failure, nowMs);
  if (failure !== undefined && !isNamespaceTerminating(failure)) throw failure;
  const nextMs = nextAvailableInMs(active, replicaSet.spec.minReadySeconds ?? 0, nowMs);
  if (nextMs !== undefined) yield* requeueAfter(nextMs);
}

function* manageReplicas(
  view: View,
  replicaSet: ReplicaSet,
  own: Pod[],
  nowMs: number,
): Plan<{ active: Pod[]; failure: unknown }> {
  const wanted = replicaSet.spec.replicas ?? 1;
  const active = [...own];
  try {
    for (let made = 0; active.length < wanted && made < burstReplicas; made++) {
      active.push(
        yield* createPod(
          replicaSet,
          podFromTemplate(replicaSets, replicaSet, replicaSet.spec.template ?? {}),
        ),
      );
    }
    if (active.length > wanted) {
      const victims = deletionOrder(active, relatedPods(view, replicaSet, active), nowMs);
      for (const victim of victims.slice(0, Math.min(active.length - wanted, burstReplicas))) {
        yield* deletePod(replicaSet, victim);
        active.splice(active.indexOf(victim), 1);
      }
    }
    return { active, failure: undefined };
  } catch (error) {
    return { active, failure: error };
  }
}

/** The pods of all ReplicaSets of the same Deployment: they say how crowded a node is. */
function relatedPods(view: View, replicaSet: ReplicaSet, own: readonly Pod[]): Pod[] {
  const owner = controllerOf(replicaSet);
  if (owner === undefined) return [...own];
  return view
    .byIndex(replicaSets, "controller", owner.uid)
    .flatMap((each) => view.byIndex(pods, "controller", each.metadata.uid ?? ""))
    .filter(isPodActive);
}

function* writeStatus(replicaSet: ReplicaSet, active: readonly Pod[], failure: unknown, nowMs: number): Plan {
  const old = replicaSet.status as ReplicaStatus;
  const wanted = replicaSet.spec.replicas ?? 1;
  const status = replicaStatus({
    pods: active,
    templateLabels: replicaSet.spec.template?.metadata?.labels ?? {},
    minReadySeconds: replicaSet.spec.minReadySeconds ?? 0,
    generation: replicaSet.metadata.generation ?? 0,
    old,
    failure:
      failure === undefined
        ? undefined
        : {
            reason: active.length < wanted ? "FailedCreate" : "FailedDelete",
            message: messageOf(failure),
          },
    nowMs,
  });
  if (equal({ ...old, replicas: old.replicas ?? 0 }, status) && old.observedGeneration !== undefined) return;
  yield* updateStatus(replicaSets, { ...replicaSet, status } as ReplicaSet);
}

function* replicaSetsOfPod(pod: Pod, view: View): Iterable<string> {
  if (controllerOf(pod) !== undefined) {
    yield* controllerKeys(replicaSets, pod);
    return;
  }
  for (const replicaSet of view.list(replicaSets, pod.metadata.namespace)) {
    if (selects(replicaSet.spec.selector, pod.metadata.labels)) yield keyOf(replicaSet);
  }
}
