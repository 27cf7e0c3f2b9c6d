/** Eviction by NoExecute taints: pods that do not tolerate them go, those that do for a while go later. */
import { StatusError } from "#base/errors.ts";
import { on, patch, record, remove, requeueAfter, self } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { nodes, pods } from "./kubernetes.ts";
import type { Pod, Taint, Toleration } from "./kubernetes.ts";
import { isPodFinished, timestamp } from "./pod.ts";

export function taintEvictionController(): Controller {
  /** When a taint without time was first seen to concern a pod: by node, then "uid taint". */
  const firstSeen = new Map<string, Map<string, number>>();
  return {
    name: "taint-eviction-controller",
    triggers: [
      on(nodes, self, (node, old) => !equal(node?.spec.taints, old?.spec.taints)),
      on(pods, nodeOfPod, (pod, old) => pod !== undefined && pod.spec.nodeName !== old?.spec.nodeName),
    ],
    writes: [pods],
    plan: (view, key, nowMs) => planEvictions(view, key, nowMs, firstSeen),
  };
}

function* planEvictions(
  view: View,
  key: string,
  nowMs: number,
  firstSeen: Map<string, Map<string, number>>,
): Plan {
  const taints = (view.get(nodes, undefined, key)?.spec.taints ?? []).filter(
    (each) => each.effect === "NoExecute",
  );
  const seen = taints.length === 0 ? undefined : (firstSeen.get(key) ?? new Map<string, number>());
  if (seen === undefined) {
    const before = firstSeen.get(key);
    firstSeen.delete(key);
    if (before !== undefined) yield* tellWhoStays(view, key, before);
    return;
  }
  firstSeen.set(key, seen);
  let nextMs = Infinity;
  for (const pod of view.byIndex(pods, "node", key)) {
    if (pod.metadata.deletionTimestamp !== undefined || isPodFinished(pod)) continue;
    const dueMs = evictionMs(pod, taints, nowMs, seen);
    if (dueMs === undefined) continue;
    if (dueMs <= nowMs) yield* evict(pod, nowMs);
    else nextMs = Math.min(nextMs, dueMs);
  }
  if (nextMs < Infinity) yield* requeueAfter(nextMs - nowMs);
}

/** The taints are gone before their time was up. */
function* tellWhoStays(view: View, node: string, seen: ReadonlyMap<string, number>): Plan {
  const waiting = new Set([...seen.keys()].map((each) => each.split(" ")[0]));
  for (const pod of view.byIndex(pods, "node", node)) {
    const { uid, namespace, name, deletionTimestamp } = pod.metadata;
    if (deletionTimestamp !== undefined || isPodFinished(pod) || !waiting.has(uid)) continue;
    yield* record(pod, "Normal", "TaintManagerEviction", `Cancelling deletion of Pod ${namespace}/${name}`);
  }
}

/** When the pod has to go; undefined when it may stay for ever. */
function evictionMs(
  pod: Pod,
  taints: readonly Taint[],
  nowMs: number,
  seen: Map<string, number>,
): number | undefined {
  let dueMs: number | undefined;
  for (const taint of taints) {
    const tolerations = (pod.spec.tolerations ?? []).filter((each) => tolerates(each, taint));
    if (tolerations.length === 0) return nowMs;
    const seconds = tolerations
      .map((each) => each.tolerationSeconds)
      .filter((each): each is number => each !== undefined && each !== null);
    if (seconds.length === 0) continue;
    const key = `${pod.metadata.uid} ${taint.key}`;
    if (!seen.has(key))
      seen.set(key, taint.timeAdded === undefined ? nowMs : Date.parse(String(taint.timeAdded)));
    const untilMs = seen.get(key)! + Math.max(0, Math.min(...seconds)) * 1000;
    dueMs = Math.min(dueMs ?? Infinity, untilMs);
  }
  return dueMs;
}

function tolerates({ key, operator, value, effect }: Toleration, taint: Taint): boolean {
  if (effect !== undefined && effect !== "" && effect !== taint.effect) return false;
  if (key === undefined || key === "") return operator === "Exists";
  return key === taint.key && (operator === "Exists" || (value ?? "") === (taint.value ?? ""));
}

function* evict(pod: Pod, nowMs: number): Plan {
  const { namespace, name } = pod.metadata;
  yield* record(pod, "Normal", "TaintManagerEviction", `Marking for deletion Pod ${namespace}/${name}`);
  try {
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByTaintManager",
      message: "Taint manager: deleting due to NoExecute taint",
      lastTransitionTime: timestamp(nowMs),
    };
    yield* patch(
      pods,
      pod,
      "strategic",
      { metadata: { uid: pod.metadata.uid }, status: { conditions: [condition] } },
      "status",
    );
    yield* remove(pods, pod);
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
  }
}

function* nodeOfPod(pod: Pod): Iterable<string> {
  if ((pod.spec.nodeName ?? "") !== "") yield pod.spec.nodeName!;
}
