/** Pod subresources that act on the stored Pod: binding (scheduling) and eviction (deletion within a budget). */
import { StatusError } from "#base/errors.ts";
import { matchesLabelSelector } from "#kinds/label-selector.ts";
import type { LabelSelector } from "#kinds/label-selector.ts";
import type { KubeObject } from "#kinds/object.ts";
import { timestamp } from "../api-core.ts";
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import type { Answer } from "../rest/answer.ts";
import { deleteOne } from "../rest/delete.ts";
import { readDeleteOptions, readWriteOptions } from "../rest/write-options.ts";
import { storedOf, placeOf } from "../rest/stored.ts";
import { badRequest, conflictError, notFoundError, unclassifiedError } from "../status.ts";
import { decodeObject } from "../wire/body.ts";
import type { MethodHandlers } from "./special.ts";

interface PodObject extends KubeObject {
  spec: { nodeName?: string; schedulingGates?: unknown[] };
  status?: { phase?: string; conditions?: Condition[] };
}

interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string | null;
  lastProbeTime?: string | null;
  observedGeneration?: number;
}

const created: Answer = {
  type: "object",
  status: 201,
  resource: undefined,
  object: { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 },
};

export const bindingHandlers: MethodHandlers = {
  async POST(core, request) {
    const options = readWriteOptions("CreateOptions", request.http, request.query);
    const expected = { group: "", version: "v1", kind: "Binding", schemaName: "io.k8s.api.core.v1.Binding" };
    const binding = decodeObject(request.http, expected, options.fieldValidation, request.warnings);
    const name =
      request.resource.kind.plural === "bindings" ? (binding.metadata.name ?? "") : request.info.name;
    if (binding.metadata.name !== undefined && binding.metadata.name !== name) {
      throw badRequest("name in URL does not match name in Binding object");
    }
    if (binding.metadata.name === undefined)
      throw badRequest("name in URL does not match name in Binding object");
    const target = binding["target"] as { kind?: string; name?: string } | undefined;
    if (target?.kind !== undefined && target.kind !== "" && target.kind !== "Node") {
      throw badRequest(`invalid: target.kind: must be Node, not ${target.kind}`);
    }
    const nodeName = target?.name ?? "";
    if (nodeName === "") throw badRequest("invalid: target.name: Required value");
    const pods = core.registry.builtIn("", "pods");
    const place = placeOf(pods, request.namespace, name);
    await core.store.update(place, { dryRun: options.dryRun, fenceTerm: options.fenceTerm }, (current) => {
      if (current === undefined) throw notFoundError(place.groupResource, name);
      const pod = current.object as PodObject;
      checkBindable(pod, binding, nodeName, place.groupResource);
      bind(pod, binding, nodeName, request.now);
      return { type: "put", object: pod };
    });
    return created;
  },
};

function checkBindable(
  pod: PodObject,
  binding: KubeObject,
  nodeName: string,
  resource: { group: string; resource: string },
): void {
  const name = pod.metadata.name ?? "";
  const refuse = (why: string): StatusError =>
    conflictError({ ...resource, resource: "pods/binding" }, name, why);
  if (binding.metadata.uid !== undefined && binding.metadata.uid !== pod.metadata.uid) {
    throw refuse(
      `Precondition failed: UID in precondition: ${binding.metadata.uid}, UID in object meta: ${pod.metadata.uid ?? ""}`,
    );
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
  }
  if ((pod.spec.nodeName ?? "") !== "")
    throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName ?? nodeName)}`);
  if ((pod.spec.schedulingGates ?? []).length > 0) {
    throw refuse(`pod ${name} has non-empty .spec.schedulingGates`);
  }
}

function bind(pod: PodObject, binding: KubeObject, nodeName: string, now: string): void {
  pod.spec.nodeName = nodeName;
  if (binding.metadata.annotations !== undefined) {
    pod.metadata.annotations = { ...pod.metadata.annotations, ...binding.metadata.annotations };
  }
  pod.status ??= {};
  const conditions = (pod.status.conditions ??= []);
  const scheduled = conditions.find((each) => each.type === "PodScheduled");
  if (scheduled === undefined) {
    conditions.push({ type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: now });
    return;
  }
  if (scheduled.status !== "True") scheduled.lastTransitionTime = now;
  scheduled.status = "True";
  delete scheduled.reason;
  delete scheduled.message;
}

interface BudgetObject extends KubeObject {
  spec: { selector?: LabelSelector; unhealthyPodEvictionPolicy?: string };
  status?: {
    observedGeneration?: number;
    disruptionsAllowed: number;
    currentHealthy: number;
    desiredHealthy: number;
    expectedPods: number;
    disruptedPods?: Record<string, string>;
    conditions?: Condition[];
  };
}

const disruptedPodsMax = 2000;

export const evictionHandlers: MethodHandlers = {
  async POST(core, request) {
    const options = readWriteOptions("CreateOptions", request.http, request.query);
    const expected = {
      group: "policy",
      version: "v1",
      kind: "Eviction",
      schemaName: "io.k8s.api.policy.v1.Eviction",
    };
    const eviction = decodeObject(request.http, expected, options.fieldValidation, request.warnings);
    const name = request.info.name;
    if (eviction.metadata.name !== name)
      throw badRequest("name in URL does not match name in Eviction object");
    const given = (eviction["deleteOptions"] as Record<string, unknown> | undefined) ?? {};
    const read = readDeleteOptions(request.http, new URLSearchParams(), given);
    const deleteOptions = { ...read, dryRun: read.dryRun || options.dryRun };
    const place = placeOf(request.resource, request.namespace, name);
    const entry = await core.store.readNewest(place);
    if (entry === undefined) throw notFoundError(place.groupResource, name);
    const pod = entry.decode() as PodObject;
    if (needsBudget(pod)) await takeFromBudget(core, request, pod, deleteOptions.dryRun);
    if (!deleteOptions.dryRun) await markAsDisrupted(core, request, pod);
    await deleteOne(core, request, name, deleteOptions);
    return created;
  },
};

/** Tells those who count a Job's failures that the pod did not end by itself. */
async function markAsDisrupted(core: ApiCore, request: ResourceRequest, evicted: PodObject): Promise<void> {
  const place = placeOf(request.resource, request.namespace, request.info.name);
  await core.store.update(place, {}, (current) => {
    const pod = (current?.object ?? evicted) as PodObject;
    if (pod.metadata.uid !== evicted.metadata.uid) throw notFoundError(place.groupResource, place.name);
    pod.status ??= {};
    const conditions = (pod.status.conditions ??= []);
    const known = conditions.find((each) => each.type === "DisruptionTarget");
    const condition: Condition = {
      type: "DisruptionTarget",
      status: "True",
      lastProbeTime: null,
      lastTransitionTime: known?.status === "True" ? (known.lastTransitionTime ?? null) : request.now,
      reason: "EvictionByEvictionAPI",
      message: "Eviction API: evicting",
    };
    if (known === undefined) conditions.push(condition);
    else Object.assign(known, condition);
    return { type: "put", object: pod };
  });
}

/** A pod that does not run (yet, or any more) disrupts nothing. */
function needsBudget(pod: PodObject): boolean {
  const phase = pod.status?.phase;
  if (phase === "Succeeded" || phase === "Failed" || phase === "Pending") return false;
  return pod.metadata.deletionTimestamp === undefined;
}

async function takeFromBudget(
  core: ApiCore,
  request: ResourceRequest,
  pod: PodObject,
  dryRun: boolean,
): Promise<void> {
  const budgets = core.registry.builtIn("policy", "poddisruptionbudgets");
  const covering = storedOf(budgets)
    .cache.list(request.namespace)
    .filter((entry) =>
      matchesLabelSelector((entry.decode() as BudgetObject).spec.selector, pod.metadata.labels),
    );
  if (covering.length > 1) {
    throw unclassifiedError(
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  }
  const budget = covering[0];
  if (budget === undefined) return;
  const place = placeOf(budgets, request.namespace, budget.name);
  await core.store.update(place, { dryRun }, (current) => {
    if (current === undefined) throw notFoundError(place.groupResource, budget.name);
    const object = current.object as BudgetObject;
    if (isUnhealthyAndMayGo(object, pod)) return { type: "put", object };
    checkBudget(object, request.info.name);
    countDisruption(object, request.info.name, timestamp(core.clock.nowMs()));
    return { type: "put", object };
  });
}

function isUnhealthyAndMayGo(budget: BudgetObject, pod: PodObject): boolean {
  const isReady = (pod.status?.conditions ?? []).some(
    (each) => each.type === "Ready" && each.status === "True",
  );
  if (isReady) return false;
  if (budget.spec.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  const status = budget.status;
  return status !== undefined && status.currentHealthy >= status.desiredHealthy && status.desiredHealthy > 0;
}

function checkBudget(budget: BudgetObject, podName: string): void {
  const name = budget.metadata.name ?? "";
  const status = budget.status;
  if ((status?.observedGeneration ?? 0) < (budget.metadata.generation ?? 0)) {
    throw tooManyDisruptions(`The disruption budget ${name} is still being processed by the server.`, 10);
  }
  if (status === undefined) return;
  if (status.disruptionsAllowed < 0) {
    throw new StatusError("Forbidden", `pdb disruptions allowed is negative`, {
      details: { name, kind: "pods" },
    });
  }
  if (Object.keys(status.disruptedPods ?? {}).length > disruptedPodsMax) {
    throw new StatusError(
      "Forbidden",
      "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
      {
        details: { name: podName, kind: "pods" },
      },
    );
  }
  if (status.disruptionsAllowed === 0) {
    throw tooManyDisruptions(
      `The disruption budget ${name} needs ${status.desiredHealthy} healthy pods and has ${status.currentHealthy} currently`,
      undefined,
    );
  }
}

function tooManyDisruptions(message: string, retryAfterSeconds: number | undefined): StatusError {
  return new StatusError(
    "TooManyRequests",
    "Cannot evict pod as it would violate the pod's disruption budget.",
    {
      details: {
        causes: [{ reason: "DisruptionBudget", message }],
        ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      },
    },
  );
}

function countDisruption(budget: BudgetObject, podName: string, now: string): void {
  const status = budget.status;
  if (status === undefined) return;
  status.disruptionsAllowed--;
  status.disruptedPods = { ...status.disruptedPods, [podName]: now };
  if (status.disruptionsAllowed > 0) return;
  const conditions = (status.conditions ??= []);
  const known = conditions.find((each) => each.type === "DisruptionAllowed");
  const generation = status.observedGeneration ?? 0;
  const condition: Condition = {
    type: "DisruptionAllowed",
    status: "False",
    observedGeneration: generation,
    lastTransitionTime: known?.status === "False" ? (known.lastTransitionTime ?? now) : now,
    reason: "InsufficientPods",
    message: "",
  };
  if (known === undefined) conditions.push(condition);
  else Object.assign(known, condition);
}
