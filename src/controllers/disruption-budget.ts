/** PodDisruptionBudgets: how many pods may be taken away voluntarily now. */
import { StatusError } from "#base/errors.ts";
import { keyOf, on, record, requeueAfter, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { setCondition } from "./conditions.ts";
import type { Condition } from "./conditions.ts";
import { equal, omitEmpty } from "./equality.ts";
import { resolveIntOrPercent } from "./int-or-percent.ts";
import {
  deployments,
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  statefulSets,
} from "./kubernetes.ts";
import type { Pod, PodDisruptionBudget, Resource } from "./kubernetes.ts";
import { controllerOf } from "./owner.ts";
import { isPodFinished, isPodReady } from "./pod.ts";
import { selects } from "./selector.ts";

/** An eviction that was granted but never happened is forgotten after this time. */
const evictionLimitMs = 120_000;

export const disruptionController: Controller = {
  name: "disruption-controller",
  triggers: [
    on(podDisruptionBudgets, self),
    on(pods, budgetsOfPod),
    on(deployments, budgetsInNamespace, (a, b) => a?.spec.replicas !== b?.spec.replicas),
    on(replicaSets, budgetsInNamespace, (a, b) => a?.spec.replicas !== b?.spec.replicas),
    on(statefulSets, budgetsInNamespace, (a, b) => a?.spec.replicas !== b?.spec.replicas),
    on(replicationControllers, budgetsInNamespace, (a, b) => a?.spec.replicas !== b?.spec.replicas),
  ],
  writes: [podDisruptionBudgets],
  plan: planBudget,
};

type Status = PodDisruptionBudget["status"];

export function* planBudget(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  const budget = view.get(podDisruptionBudgets, namespace, name);
  if (budget === undefined) return;
  const covered = view
    .list(pods, namespace)
    .filter((pod) => selects(budget.spec.selector, pod.metadata.labels) && !isPodFinished(pod));
  if (covered.length === 0) yield* record(budget, "Normal", "NoPods", "No matching pods found");
  let expectation: { expected: number; desired: number };
  try {
    expectation = yield* expect(view, budget, covered);
  } catch (error) {
    if (error instanceof StatusError) throw error;
    yield* failSafe(budget, (error as Error).message, nowMs);
    return;
  }
  const disrupted = stillDisrupted(budget, covered, nowMs);
  const healthy = covered.filter(
    (pod) =>
      isPodReady(pod) && pod.metadata.deletionTimestamp === undefined && !(pod.metadata.name! in disrupted),
  ).length;
  const { expected, desired } = expectation;
  const allowed = expected > 0 ? Math.max(0, healthy - desired) : 0;
  const conditions = setCondition(
    budget.status.conditions as unknown as Condition[] | undefined,
    {
      type: "DisruptionAllowed",
      status: allowed > 0 ? "True" : "False",
      reason: allowed > 0 ? "SufficientPods" : "InsufficientPods",
      message: "",
    },
    nowMs,
  ).map((each) => ({ ...each, observedGeneration: budget.metadata.generation ?? 0 }));
  const status = {
    currentHealthy: healthy,
    desiredHealthy: desired,
    disruptionsAllowed: allowed,
    expectedPods: expected,
    observedGeneration: budget.metadata.generation ?? 0,
    conditions,
    ...(Object.keys(disrupted).length === 0 ? {} : { disruptedPods: disrupted }),
  };
  if (!equal(status, budget.status)) {
    yield* updateStatus(podDisruptionBudgets, { ...budget, status: status as unknown as Status });
  }
  if (Object.keys(disrupted).length > 0) yield* requeueAfter(evictionLimitMs);
}

/** Percentages and maxUnavailable are of what the pods' controllers want; minAvailable as a number of what is there. */
function* expect(
  view: View,
  budget: PodDisruptionBudget,
  covered: readonly Pod[],
): Plan<{ expected: number; desired: number }> {
  const { minAvailable, maxUnavailable } = budget.spec;
  if (maxUnavailable !== undefined) {
    const expected = yield* expectedScale(view, budget, covered);
    const away = resolveIntOrPercent(maxUnavailable, expected, true);
    return { expected, desired: Math.max(0, expected - away) };
  }
  if (typeof minAvailable === "number") return { expected: covered.length, desired: minAvailable };
  if (minAvailable === undefined) return { expected: covered.length, desired: 0 };
  const expected = yield* expectedScale(view, budget, covered);
  return { expected, desired: resolveIntOrPercent(minAvailable, expected, true) };
}

class NoScaleError extends Error {
  override name = "NoScaleError";
}

function* expectedScale(view: View, budget: PodDisruptionBudget, covered: readonly Pod[]): Plan<number> {
  const scales = new Map<string, number>();
  const unmanaged: string[] = [];
  for (const pod of covered) {
    const owner = controllerOf(pod);
    if (owner === undefined) {
      unmanaged.push(pod.metadata.name ?? "");
      continue;
    }
    if (scales.has(owner.uid)) continue;
    const scale = yield* scaleOf(view, pod.metadata.namespace ?? "", owner);
    if (scale === undefined) {
      throw new NoScaleError(`found no controller ref for pod "${pod.metadata.name}"`);
    }
    scales.set(scale.uid, scale.replicas);
  }
  if (unmanaged.length > 0) {
    const message = `Pods selected by this PodDisruptionBudget (selector: ${describe(budget)}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`;
    yield* record(budget, "Warning", "UnmanagedPods", message);
  }
  return [...scales.values()].reduce((sum, each) => sum + each, 0);
}

function describe(budget: PodDisruptionBudget): string {
  return JSON.stringify(budget.spec.selector ?? {});
}

/** The size that the pod's topmost known controller wants. */
function* scaleOf(
  view: View,
  namespace: string,
  owner: { kind: string; name: string; uid: string; apiVersion: string },
): Plan<{ uid: string; replicas: number } | undefined> {
  const sized = (resource: Resource): { uid: string; replicas: number } | undefined => {
    const found = view.get(resource, namespace, owner.name);
    if (found === undefined || found.metadata.uid !== owner.uid) return undefined;
    return { uid: owner.uid, replicas: (found["spec"] as { replicas?: number }).replicas ?? 1 };
  };
  if (owner.kind === "ReplicaSet" && owner.apiVersion.startsWith("apps/")) {
    const set = view.get(replicaSets, namespace, owner.name);
    const above = set === undefined ? undefined : controllerOf(set);
    if (above?.kind === "Deployment") return yield* scaleOf(view, namespace, above);
    return sized(replicaSets as unknown as Resource);
  }
  if (owner.kind === "Deployment") return sized(deployments as unknown as Resource);
  if (owner.kind === "StatefulSet") return sized(statefulSets as unknown as Resource);
  if (owner.kind === "ReplicationController") return sized(replicationControllers as unknown as Resource);
  return undefined;
}

function* failSafe(budget: PodDisruptionBudget, message: string, nowMs: number): Plan {
  yield* record(
    budget,
    "Warning",
    "CalculateExpectedPodCountFailed",
    `Failed to calculate the number of expected pods: ${message}`,
  );
  const conditions = setCondition(
    budget.status.conditions as unknown as Condition[] | undefined,
    { type: "DisruptionAllowed", status: "False", reason: "SyncFailed", message },
    nowMs,
  ).map((each) => ({ ...each, observedGeneration: budget.metadata.generation ?? 0 }));
  const status = {
    ...budget.status,
    disruptionsAllowed: 0,
    conditions,
    observedGeneration: budget.metadata.generation ?? 0,
  };
  if (equal(status, budget.status)) return;
  yield* updateStatus(podDisruptionBudgets, { ...budget, status: omitEmpty(status) as unknown as Status });
}

function stillDisrupted(
  budget: PodDisruptionBudget,
  covered: readonly Pod[],
  nowMs: number,
): Record<string, string> {
  const still: Record<string, string> = {};
  for (const [name, at] of Object.entries(
    (budget.status.disruptedPods ?? {}) as unknown as Record<string, string>,
  )) {
    const pod = covered.find((each) => each.metadata.name === name);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    if (Date.parse(at) + evictionLimitMs > nowMs) still[name] = at;
  }
  return still;
}

function* budgetsOfPod(pod: Pod, view: View): Iterable<string> {
  for (const budget of view.list(podDisruptionBudgets, pod.metadata.namespace)) {
    if (selects(budget.spec.selector, pod.metadata.labels)) yield keyOf(budget);
  }
}

function* budgetsInNamespace(object: { metadata: { namespace?: string } }, view: View): Iterable<string> {
  for (const budget of view.list(podDisruptionBudgets, object.metadata.namespace)) yield keyOf(budget);
}
