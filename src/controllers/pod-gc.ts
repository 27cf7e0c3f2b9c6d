/** Pods that nobody else can remove: those on nodes that are gone, and deleted ones that never got a node. */
import { StatusError } from "#base/errors.ts";
import { get, keyOf, on, patch, remove, requeueAfter, self, splitKey } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { nodes, pods } from "./kubernetes.ts";
import type { Node, Pod } from "./kubernetes.ts";
import { isPodFinished, timestamp } from "./pod.ts";

/** A node that comes back within this time (registered anew) keeps its pods. */
const quarantineMs = 20_000;

export function podGarbageCollector(): Controller {
  /** Since when a pod's node has been missing, by pod uid. */
  const missingSince = new Map<string, number>();
  return {
    name: "pod-garbage-collector-controller",
    triggers: [on(pods, self), on(nodes, podsOnNode, (node, old) => node === undefined || old === undefined)],
    writes: [pods],
    plan: (view, key, nowMs) => planPod(view, key, nowMs, missingSince),
  };
}

function* planPod(view: View, key: string, nowMs: number, missingSince: Map<string, number>): Plan {
  const { namespace, name } = splitKey(key);
  const pod = view.get(pods, namespace, name);
  if (pod === undefined) return;
  const uid = pod.metadata.uid ?? "";
  const nodeName = pod.spec.nodeName ?? "";
  if (nodeName === "") {
    if (pod.metadata.deletionTimestamp !== undefined) yield* force(pod);
    return;
  }
  if (view.get(nodes, undefined, nodeName) !== undefined) {
    missingSince.delete(uid);
    return;
  }
  const sinceMs = missingSince.get(uid) ?? nowMs;
  missingSince.set(uid, sinceMs);
  if (nowMs - sinceMs < quarantineMs) {
    yield* requeueAfter(sinceMs + quarantineMs - nowMs);
    return;
  }
  if (yield* nodeExists(nodeName)) return;
  missingSince.delete(uid);
  yield* ignoringGone(markOrphan(pod, nowMs));
  yield* force(pod);
}

function* nodeExists(name: string): Plan<boolean> {
  try {
    yield* get(nodes, undefined, name);
    return true;
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") return false;
    throw error;
  }
}

function* markOrphan(pod: Pod, nowMs: number): Plan {
  const condition = {
    type: "DisruptionTarget",
    status: "True",
    reason: "DeletionByPodGC",
    message: "PodGC: node no longer exists",
    lastTransitionTime: timestamp(nowMs),
  };
  const status = { conditions: [condition], ...(isPodFinished(pod) ? {} : { phase: "Failed" }) };
  yield* patch(pods, pod, "strategic", { metadata: { uid: pod.metadata.uid }, status }, "status");
}

function* force(pod: Pod): Plan {
  yield* ignoringGone(remove(pods, pod, { gracePeriodSeconds: 0 }));
}

function* ignoringGone(steps: Plan): Plan {
  try {
    yield* steps;
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
  }
}

function* podsOnNode(node: Node, view: View): Iterable<string> {
  for (const pod of view.byIndex(pods, "node", node.metadata.name ?? "")) yield keyOf(pod);
}
