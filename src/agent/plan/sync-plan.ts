/**
 * The decision of one sync of one pod that is to run: which sandbox, which containers to stop and which
 * to start, and when to look again. Pure: the same pod, view and clock give the same plan. How steps are
 * done, in which order calls are made and what they answer is `../pod-worker.ts`'s.
 */
import type { AnyContainer, Container, Pod } from "../types.ts";
import { backoffLeftMs, goDuration } from "./backoff.ts";
import type { BackoffEntry } from "./backoff.ts";
import { containerHash } from "./container-hash.ts";
import { isSidecar } from "./containers.ts";
import type { ContainerSort } from "./containers.ts";
import { isRunning, latest } from "./runtime-view.ts";
import type { ContainerView, PodView, SandboxView } from "./runtime-view.ts";

export interface SyncInput {
  pod: Pod;
  view: PodView;
  nowMs: number;
  /** Back-off of a container, by name. */
  backoff(name: string): BackoffEntry | undefined;
  /** Containers (by id) whose liveness or startup probe has failed for good. */
  probeFailed(containerId: string): "liveness" | "startup" | undefined;
  /** The container has passed its startup probe, or has none. */
  started(containerId: string): boolean;
}

export interface StopStep {
  container: ContainerView;
  /** Text of the Killing event. */
  message: string;
  /** A failed probe may bring its own grace period. */
  probe: "liveness" | "startup" | undefined;
}

export interface StartStep {
  container: AnyContainer;
  sort: ContainerSort;
  /** Number of earlier instances. */
  restartCount: number;
  /** The earlier instance failed or ended: the next back-off grows. */
  afterExit: boolean;
}

export interface WaitingReason {
  reason: string;
  message: string;
}

export interface SyncPlan {
  /** Stop everything of the pod, sandbox included, before anything else. */
  stopPod: boolean;
  /** Attempt number of a new sandbox; undefined: keep the present one. */
  createSandbox: number | undefined;
  /** The sandbox that the containers run in, when it isn't made anew. */
  sandbox: SandboxView | undefined;
  stop: StopStep[];
  start: StartStep[];
  /** Containers held back, and why. */
  waiting: Map<string, WaitingReason>;
  /** Look again after this time, even when nothing happens. */
  wakeAfterMs: number | undefined;
}

export function planPodSync(input: SyncInput): SyncPlan {
  const { pod, view } = input;
  const sandbox = usableSandbox(pod, view);
  const plan: SyncPlan = {
    stopPod: false,
    createSandbox: undefined,
    sandbox,
    stop: [],
    start: [],
    waiting: new Map(),
    wakeAfterMs: undefined,
  };
  if (!sandbox) {
    planNewSandbox(input, plan);
    return plan;
  }
  planEphemeral(input, plan);
  const init = planInit(input, sandbox, plan);
  if (init === "done") planApps(input, sandbox, plan);
  if (init === "failed" || (init === "done" && isFinished(input, plan))) {
    plan.stopPod = true;
    plan.start = [];
    plan.stop = [];
  }
  return plan;
}

/** The restart policy's word on a container that ended or was never started. */
export function shouldStart(pod: Pod, container: ContainerView | undefined): boolean {
  if (!container) return true;
  if (container.phase === "running") return false;
  if (container.phase === "unknown" || container.phase === "created") return true;
  if (pod.spec.restartPolicy === "Never") return false;
  return pod.spec.restartPolicy !== "OnFailure" || container.exitCode !== 0;
}

/** True once an app container of this sandbox has been made: init containers won't run again. */
export function hasStartedApps(pod: Pod, view: PodView, sandboxId: string): boolean {
  const names = new Set(pod.spec.containers.map((each) => each.name));
  return view.containers.some((each) => each.sandboxId === sandboxId && names.has(each.name));
}

function usableSandbox(pod: Pod, view: PodView): SandboxView | undefined {
  const newest = view.sandboxes[0];
  if (!newest?.ready) return undefined;
  return pod.spec.hostNetwork === true || newest.ips.length > 0 ? newest : undefined;
}

function planNewSandbox(input: SyncInput, plan: SyncPlan): void {
  const { pod, view } = input;
  const newest = view.sandboxes[0];
  plan.stopPod = newest !== undefined;
  if (pod.spec.restartPolicy === "Never" && newest && view.containers.length > 0) return;
  const again = pod.spec.containers.filter((each) => {
    const last = latest(view, each.name);
    return !(pod.spec.restartPolicy === "OnFailure" && last?.phase === "exited" && last.exitCode === 0);
  });
  // A pod whose containers are done needs no sandbox again: it would only be started to be stopped.
  if (again.length === 0) return;
  plan.createSandbox = newest ? newest.attempt + 1 : 0;
  const firstInit = pod.spec.initContainers?.[0];
  if (firstInit) {
    pushStart(input, plan, firstInit, isSidecar(firstInit) ? "sidecar" : "init");
    return;
  }
  for (const container of again) pushStart(input, plan, container, "app");
}

function planEphemeral({ pod, view }: SyncInput, plan: SyncPlan): void {
  for (const container of pod.spec.ephemeralContainers ?? []) {
    if (latest(view, container.name)) continue;
    plan.start.push({ container, sort: "ephemeral", restartCount: 0, afterExit: false });
  }
}

/** Plans init containers and sidecars. The app containers may run when they are done. */
function planInit(input: SyncInput, sandbox: SandboxView, plan: SyncPlan): "done" | "pending" | "failed" {
  const { pod, view } = input;
  const initialized = hasStartedApps(pod, view, sandbox.id);
  for (const container of pod.spec.initContainers ?? []) {
    const sidecar = isSidecar(container);
    if (initialized && !sidecar) continue;
    const instance = view.containers.find(
      (each) => each.name === container.name && each.sandboxId === sandbox.id,
    );
    if (sidecar) {
      const running = planSidecar(input, container, instance, plan);
      if (!running && !initialized) return "pending";
      continue;
    }
    if (instance?.phase === "exited" && instance.exitCode === 0) continue;
    if (isRunning(instance)) return "pending";
    if (instance?.phase === "exited" && pod.spec.restartPolicy === "Never") return "failed";
    pushStart(input, plan, container, "init");
    return "pending";
  }
  return "done";
}

/** True when the sidecar runs and has started, so that the next container may follow. */
function planSidecar(
  input: SyncInput,
  container: Container,
  instance: ContainerView | undefined,
  plan: SyncPlan,
): boolean {
  if (!isRunning(instance)) {
    pushStart(input, plan, container, "sidecar");
    return false;
  }
  if (stopIfNeeded(input, container, instance, plan)) {
    plan.start.push({
      container,
      sort: "sidecar",
      restartCount: instance.restartCount + 1,
      afterExit: false,
    });
    return false;
  }
  return input.started(instance.id);
}

function planApps(input: SyncInput, sandbox: SandboxView, plan: SyncPlan): void {
  for (const container of input.pod.spec.containers) {
    const instance = latest(input.view, container.name);
    if (!isRunning(instance) || instance.sandboxId !== sandbox.id) {
      if (shouldStart(input.pod, instance)) pushStart(input, plan, container, "app");
      continue;
    }
    if (!stopIfNeeded(input, container, instance, plan)) continue;
    const changed = instance.hash !== containerHash(container);
    if (!changed && input.pod.spec.restartPolicy === "Never") continue;
    plan.start.push({ container, sort: "app", restartCount: instance.restartCount + 1, afterExit: false });
  }
}

function stopIfNeeded(
  input: SyncInput,
  container: Container,
  instance: ContainerView,
  plan: SyncPlan,
): boolean {
  const name = container.name;
  if (instance.hash !== containerHash(container)) {
    const message = `Container ${name} definition changed, will be restarted`;
    plan.stop.push({ container: instance, message, probe: undefined });
    return true;
  }
  const probe = input.probeFailed(instance.id);
  if (!probe) return false;
  const restarts = input.pod.spec.restartPolicy !== "Never" || isSidecar(container);
  const message = `Container ${name} failed ${probe} probe${restarts ? ", will be restarted" : ""}`;
  plan.stop.push({ container: instance, message, probe });
  return true;
}

/** Starts the container now, or says that it is held back. */
function pushStart(input: SyncInput, plan: SyncPlan, container: Container, sort: ContainerSort): void {
  const { pod, view, nowMs } = input;
  const previous = latest(view, container.name);
  const exited = previous?.phase === "exited";
  if (exited) {
    const entry = input.backoff(container.name);
    const leftMs = backoffLeftMs(entry, previous.finishedAtMs, nowMs);
    if (leftMs > 0) {
      const where = `${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`;
      plan.waiting.set(container.name, {
        reason: "CrashLoopBackOff",
        message: `back-off ${goDuration(entry?.waitMs ?? 0)} restarting failed container=${container.name} pod=${where}`,
      });
      plan.wakeAfterMs = Math.min(plan.wakeAfterMs ?? Infinity, leftMs);
      return;
    }
  }
  const restartCount = previous ? previous.restartCount + 1 : 0;
  plan.start.push({ container, sort, restartCount, afterExit: exited });
}

/** All app containers have ended and none will be started again. */
function isFinished({ pod, view }: SyncInput, plan: SyncPlan): boolean {
  if (plan.start.some((each) => each.sort === "app")) return false;
  return pod.spec.containers.every((container) => {
    const instance = latest(view, container.name);
    return instance?.phase === "exited" && !plan.waiting.has(container.name);
  });
}
