/**
 * The status of a pod: phase, conditions and the state of each container, computed from what the runtime
 * shows and what the agent knows beside it. Pure; order of conditions and all words are upstream's.
 */
import type { ContainerStatus, Pod, PodCondition, PodStatus } from "../types.ts";
import { containerStatus } from "./container-status.ts";
import type { ContainerKnowledge } from "./container-status.ts";
import { isSidecar } from "./containers.ts";
import { qosClass } from "./qos.ts";
import { hasStartedApps } from "./sync-plan.ts";
import { latest } from "./runtime-view.ts";
import type { PodView } from "./runtime-view.ts";
import { timestamp } from "./timestamp.ts";

export interface StatusInput extends ContainerKnowledge {
  pod: Pod;
  view: PodView;
  nowMs: number;
  hostIps: readonly string[];
  /** Nothing of the pod runs any more and nothing will be started: set once everything has stopped. */
  ended: boolean;
  /** Why the agent ended or refused the pod itself (Evicted, NodeAffinity …): makes it Failed. */
  rejected: { reason: string; message: string } | undefined;
}

const ownConditions = new Set([
  "PodReadyToStartContainers",
  "Initialized",
  "Ready",
  "ContainersReady",
  "PodScheduled",
]);

export function computePodStatus(input: StatusInput): PodStatus {
  const { pod, view } = input;
  const old = pod.status ?? {};
  const sandbox = view.sandboxes[0];
  const initialized = isInitialized(input);
  const statuses = (list: readonly { name: string }[] | undefined, init: boolean) =>
    (list ?? []).map((each) => containerStatus(each, init, initialized, input));
  const init = statuses(pod.spec.initContainers, true);
  const apps = statuses(pod.spec.containers, false);
  const ephemeral = statuses(pod.spec.ephemeralContainers, false);
  const phase = input.rejected ? "Failed" : settledPhase(input, podPhase(pod, init, apps, input.ended));
  const ips = pod.spec.hostNetwork
    ? input.hostIps
    : sandbox?.ready
      ? sandbox.ips
      : (old.podIPs ?? []).map((each) => each.ip ?? "");
  const status: PodStatus = {
    phase,
    conditions: conditions(input, phase, init, apps),
    qosClass: old.qosClass ?? qosClass(pod.spec),
    startTime: old.startTime ?? timestamp(input.nowMs),
    containerStatuses: apps,
    ...(init.length > 0 ? { initContainerStatuses: init } : {}),
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
  };
  const reason = input.rejected?.reason ?? old.reason;
  const message = input.rejected?.message ?? old.message;
  if (reason) status.reason = reason;
  if (message) status.message = message;
  const hostIp = input.hostIps[0];
  if (hostIp !== undefined) {
    status.hostIP = hostIp;
    status.hostIPs = input.hostIps.map((ip) => ({ ip }));
  }
  const podIp = ips[0];
  if (podIp !== undefined && podIp !== "") {
    status.podIP = podIp;
    status.podIPs = ips.map((ip) => ({ ip }));
  }
  return status;
}

function isInitialized({ pod, view, started }: StatusInput): boolean {
  const sandbox = view.sandboxes[0];
  if (sandbox && hasStartedApps(pod, view, sandbox.id)) return true;
  return (pod.spec.initContainers ?? []).every((each) => {
    const instance = latest(view, each.name);
    if (isSidecar(each)) return instance?.phase === "running" && started(instance.id);
    return instance?.phase === "exited" && instance.exitCode === 0;
  });
}

/** While anything of a pod may still run it isn't over: others would give away what it uses. */
function settledPhase(input: StatusInput, phase: string): string {
  const before = input.pod.status?.phase ?? "Pending";
  const over = (each: string) => each === "Failed" || each === "Succeeded";
  if (over(before)) return before;
  return input.ended || !over(phase) ? phase : before;
}

/** Upstream's getPhase. */
export function podPhase(
  pod: Pod,
  init: readonly ContainerStatus[],
  apps: readonly ContainerStatus[],
  ended: boolean,
): string {
  const policy = pod.spec.restartPolicy ?? "Always";
  let pendingInit = 0;
  let failedInit = 0;
  (pod.spec.initContainers ?? []).forEach((container, index) => {
    const status = init[index];
    if (isSidecar(container)) {
      if (status?.started !== true && !apps.some(hasBeenStarted)) pendingInit++;
      return;
    }
    const exit = status?.state?.terminated ?? status?.lastState?.terminated;
    if (status?.state?.running) pendingInit++;
    else if (!exit) pendingInit++;
    else if (exit.exitCode !== 0) {
      if (policy === "Never") failedInit++;
      else pendingInit++;
    }
  });
  if (failedInit > 0) return "Failed";
  let running = 0;
  let waiting = 0;
  let stopped = 0;
  let succeeded = 0;
  let unknown = 0;
  for (const status of apps) {
    if (status.state?.running) running++;
    else if (status.state?.terminated) {
      stopped++;
      if (status.state.terminated.exitCode === 0) succeeded++;
    } else if (status.state?.waiting) {
      if (status.lastState?.terminated) stopped++;
      else waiting++;
    } else unknown++;
  }
  if (pendingInit > 0 && running === 0 && stopped === 0) return ended ? "Failed" : "Pending";
  if (ended)
    return stopped > 0 && stopped === succeeded && waiting + unknown + running === 0 ? "Succeeded" : "Failed";
  if (waiting > 0) return "Pending";
  if (running > 0 && unknown === 0) return "Running";
  if (running === 0 && stopped > 0 && unknown === 0) {
    if (policy === "Always") return "Running";
    if (stopped === succeeded) return "Succeeded";
    return policy === "Never" ? "Failed" : "Running";
  }
  return "Pending";
}

function hasBeenStarted(status: ContainerStatus): boolean {
  return (
    status.state?.running !== undefined ||
    status.state?.terminated !== undefined ||
    status.lastState?.terminated !== undefined
  );
}

function conditions(
  input: StatusInput,
  phase: string,
  init: readonly ContainerStatus[],
  apps: readonly ContainerStatus[],
): PodCondition[] {
  const { pod, view, nowMs } = input;
  const old = pod.status?.conditions ?? [];
  const sandbox = view.sandboxes[0];
  const sandboxReady = sandbox?.ready === true && (pod.spec.hostNetwork === true || sandbox.ips.length > 0);
  const containersReady = containersReadyCondition(pod, phase, init, apps);
  const own = [
    { type: "PodReadyToStartContainers", status: sandboxReady && !input.ended ? "True" : "False" },
    initializedCondition(pod, phase, init, apps),
    readyCondition(pod, containersReady),
    containersReady,
    { type: "PodScheduled", status: "True" },
  ];
  const others = old.filter((each) => !ownConditions.has(each.type));
  return [
    ...others,
    ...own.map((condition) => {
      const before = old.find((each) => each.type === condition.type);
      const same = before?.status === condition.status;
      return {
        type: condition.type,
        status: condition.status,
        lastProbeTime: null as unknown as string,
        lastTransitionTime: same && before?.lastTransitionTime ? before.lastTransitionTime : timestamp(nowMs),
        ...("reason" in condition && condition.reason ? { reason: condition.reason } : {}),
        ...("message" in condition && condition.message ? { message: condition.message } : {}),
      };
    }),
  ];
}

interface BareCondition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
}

function initializedCondition(
  pod: Pod,
  phase: string,
  init: readonly ContainerStatus[],
  apps: readonly ContainerStatus[],
): BareCondition {
  const type = "Initialized";
  const list = pod.spec.initContainers ?? [];
  if (list.length === 0) return { type, status: "True" };
  if (phase === "Succeeded") return { type, status: "True", reason: "PodCompleted" };
  if (apps.some(hasBeenStarted)) return { type, status: "True" };
  const incomplete = list.filter((each, index) =>
    isSidecar(each) ? init[index]?.started !== true : init[index]?.state?.terminated?.exitCode !== 0,
  );
  if (incomplete.length === 0) return { type, status: "True" };
  const names = incomplete.map((each) => each.name).join(" ");
  return {
    type,
    status: "False",
    reason: "ContainersNotInitialized",
    message: `containers with incomplete status: [${names}]`,
  };
}

function containersReadyCondition(
  pod: Pod,
  phase: string,
  init: readonly ContainerStatus[],
  apps: readonly ContainerStatus[],
): BareCondition {
  const type = "ContainersReady";
  if (phase === "Succeeded") return { type, status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { type, status: "False", reason: "PodFailed" };
  const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar).map((each) => each.name);
  const counted = [...init.filter((each) => sidecars.includes(each.name)), ...apps];
  const unready = counted.filter((each) => !each.ready).map((each) => each.name);
  if (unready.length === 0) return { type, status: "True" };
  return {
    type,
    status: "False",
    reason: "ContainersNotReady",
    message: `containers with unready status: [${unready.join(" ")}]`,
  };
}

function readyCondition(pod: Pod, containersReady: BareCondition): BareCondition {
  if (containersReady.status !== "True") return { ...containersReady, type: "Ready" };
  const missing: string[] = [];
  for (const { conditionType } of pod.spec.readinessGates ?? []) {
    const gate = pod.status?.conditions?.find((each) => each.type === conditionType);
    if (!gate)
      missing.push(`corresponding condition of pod readiness gate "${conditionType}" does not exist.`);
    else if (gate.status !== "True")
      missing.push(`the status of pod readiness gate "${conditionType}" is not "True", but ${gate.status}`);
  }
  if (missing.length === 0) return { type: "Ready", status: "True" };
  return { type: "Ready", status: "False", reason: "ReadinessGatesNotReady", message: missing.join(", ") };
}
