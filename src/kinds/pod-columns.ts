/** The table of pods: readiness, the status word, restarts. */
import type { ContainerStatus, PodSpec, PodStatus } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, nameColumn, orNone, text, wide } from "./columns.ts";
import type { Column } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { formatAge, parseTimeMs } from "./time.ts";

export interface PodObject extends KubeObject {
  spec: PodSpec;
  status?: PodStatus;
}

export const podColumns: readonly Column<PodObject>[] = [
  nameColumn,
  text("Ready", "Ready containers of all containers.", (pod) => {
    const { ready, total } = summary(pod, 0);
    return `${ready}/${total}`;
  }),
  text("Status", "Phase of the pod, or why it is not running.", (pod) => summary(pod, 0).reason),
  text(
    "Restarts",
    "How often containers were restarted, and when last.",
    (pod, nowMs) => summary(pod, nowMs).restarts,
  ),
  ageColumn,
  wide("IP", "Address of the pod.", (pod) => orNone(pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP)),
  wide("Node", "Node that the pod is bound to.", (pod) => orNone(pod.spec.nodeName)),
  wide("Nominated Node", "Node that preemption makes room on.", (pod) =>
    orNone(pod.status?.nominatedNodeName),
  ),
  wide("Readiness Gates", "True conditions of the pod's readiness gates.", (pod) => {
    const gates = pod.spec.readinessGates ?? [];
    if (gates.length === 0) return "<none>";
    const met = gates.filter((gate) =>
      pod.status?.conditions?.some((each) => each.type === gate.conditionType && each.status === "True"),
    );
    return `${met.length}/${gates.length}`;
  }),
];

interface Summary {
  ready: number;
  total: number;
  reason: string;
  restarts: string;
}

function summary(pod: PodObject, nowMs: number): Summary {
  const { spec, status = {} } = pod;
  const sidecars = new Set(
    (spec.initContainers ?? []).filter((each) => each.restartPolicy === "Always").map((each) => each.name),
  );
  const total = (spec.containers ?? []).length + sidecars.size;
  let reason = status.reason || status.phase || "";
  if (status.conditions?.some((each) => each.type === "PodScheduled" && each.reason === "SchedulingGated"))
    reason = "SchedulingGated";
  let ready = 0;
  let restarts = 0;
  let restartedAtMs: number | undefined;
  let sidecarRestarts = 0;
  let sidecarRestartedAtMs: number | undefined;
  const later = (a: number | undefined, b: number | undefined): number | undefined =>
    b !== undefined && (a === undefined || b > a) ? b : a;

  let initializing = false;
  for (const [index, container] of (status.initContainerStatuses ?? []).entries()) {
    restarts += container.restartCount;
    const endedAt = parseTimeMs(container.lastState?.terminated?.finishedAt);
    restartedAtMs = later(restartedAtMs, endedAt);
    if (sidecars.has(container.name)) {
      sidecarRestarts += container.restartCount;
      sidecarRestartedAtMs = later(sidecarRestartedAtMs, endedAt);
    }
    const { terminated, waiting } = container.state ?? {};
    if (terminated !== undefined && terminated.exitCode === 0) continue;
    if (sidecars.has(container.name) && container.started === true) {
      if (container.ready) ready += 1;
      continue;
    }
    if (terminated !== undefined) reason = `Init:${terminated.reason || exitText(terminated)}`;
    else if (waiting?.reason && waiting.reason !== "PodInitializing") reason = `Init:${waiting.reason}`;
    else reason = `Init:${index}/${(spec.initContainers ?? []).length}`;
    initializing = true;
    break;
  }

  const initialized = status.conditions?.some(
    (each) => each.type === "Initialized" && each.status === "True",
  );
  if (!initializing || initialized === true) {
    restarts = sidecarRestarts;
    restartedAtMs = sidecarRestartedAtMs;
    let hasRunning = false;
    for (const container of [...(status.containerStatuses ?? [])].reverse()) {
      restarts += container.restartCount;
      restartedAtMs = later(restartedAtMs, parseTimeMs(container.lastState?.terminated?.finishedAt));
      const { terminated, waiting, running } = container.state ?? {};
      if (waiting?.reason) reason = waiting.reason;
      else if (terminated !== undefined) reason = terminated.reason || exitText(terminated);
      else if (container.ready && running !== undefined) {
        hasRunning = true;
        ready += 1;
      }
    }
    if (reason === "Completed" && hasRunning) reason = isReady(status) ? "Running" : "NotReady";
  }

  if (pod.metadata.deletionTimestamp !== undefined) {
    if (status.reason === "NodeLost") reason = "Unknown";
    else if (status.phase !== "Succeeded" && status.phase !== "Failed") reason = "Terminating";
  }
  const ago = restarts > 0 && restartedAtMs !== undefined ? new Date(restartedAtMs).toISOString() : undefined;
  return {
    ready,
    total,
    reason,
    restarts: ago === undefined ? String(restarts) : `${restarts} (${formatAge(ago, nowMs)} ago)`,
  };
}

function isReady(status: PodStatus): boolean {
  return status.conditions?.some((each) => each.type === "Ready" && each.status === "True") ?? false;
}

function exitText(terminated: NonNullable<NonNullable<ContainerStatus["state"]>["terminated"]>): string {
  return terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`;
}
