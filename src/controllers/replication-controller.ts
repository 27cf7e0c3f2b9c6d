/** ReplicationControllers: the elder of the ReplicaSet, with a plain map as selector. */
import { keyOf, on, requeueAfter, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { pods, replicationControllers } from "./kubernetes.ts";
import type { Pod, ReplicationController } from "./kubernetes.ts";
import { claim, claimable, controllerKeys, controllerOf } from "./owner.ts";
import { isPodActive, nextAvailableInMs } from "./pod.ts";
import { createPod, deletePod, isNamespaceTerminating, messageOf, podFromTemplate } from "./pod-control.ts";
import { deletionOrder, replicaStatus } from "./replica-status.ts";
import type { ReplicaStatus } from "./replica-status.ts";
import { selectsMap } from "./selector.ts";

export const replicationControllerController: Controller = {
  name: "replication-controller",
  triggers: [on(replicationControllers, self), on(pods, controllersOfPod)],
  writes: [pods, replicationControllers],
  concurrency: 5,
  restMs: 20,
  plan: planReplicationController,
};

function* planReplicationController(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  const owner = view.get(replicationControllers, namespace, name);
  if (owner === undefined) return;
  const active = yield* claim({
    ownerResource: replicationControllers,
    owner,
    resource: pods,
    candidates: claimable(view, pods, owner).filter(isPodActive),
    matches: (pod) => selectsMap(owner.spec.selector, pod.metadata.labels),
  });
  const wanted = owner.spec.replicas ?? 1;
  let failure: unknown;
  if (owner.metadata.deletionTimestamp === undefined) {
    try {
      while (active.length < wanted) {
        active.push(
          yield* createPod(owner, podFromTemplate(replicationControllers, owner, owner.spec.template ?? {})),
        );
      }
      const surplus = Math.max(0, active.length - wanted);
      for (const victim of deletionOrder(active, active, nowMs).slice(0, surplus)) {
        yield* deletePod(owner, victim);
        active.splice(active.indexOf(victim), 1);
      }
    } catch (error) {
      failure = error;
    }
  }
  yield* writeStatus(owner, active, failure, nowMs);
  if (failure !== undefined && !isNamespaceTerminating(failure)) throw failure;
  const nextMs = nextAvailableInMs(active, owner.spec.minReadySeconds ?? 0, nowMs);
  if (nextMs !== undefined) yield* requeueAfter(nextMs);
}

function* writeStatus(
  owner: ReplicationController,
  active: readonly Pod[],
  failure: unknown,
  nowMs: number,
): Plan {
  const old = owner.status as ReplicaStatus;
  const reason = active.length < (owner.spec.replicas ?? 1) ? "FailedCreate" : "FailedDelete";
  const status = replicaStatus({
    pods: active,
    templateLabels: owner.spec.template?.metadata?.labels ?? {},
    minReadySeconds: owner.spec.minReadySeconds ?? 0,
    generation: owner.metadata.generation ?? 0,
    old,
    failure: failure === undefined ? undefined : { reason, message: messageOf(failure) },
    nowMs,
  });
  if (equal(old, status)) return;
  yield* updateStatus(replicationControllers, { ...owner, status } as ReplicationController);
}

function* controllersOfPod(pod: Pod, view: View): Iterable<string> {
  if (controllerOf(pod) !== undefined) {
    yield* controllerKeys(replicationControllers, pod);
    return;
  }
  for (const each of view.list(replicationControllers, pod.metadata.namespace)) {
    if (selectsMap(each.spec.selector, pod.metadata.labels)) yield keyOf(each);
  }
}
