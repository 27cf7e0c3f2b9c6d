/**
 * What a hollow node says and does, computed without IO: its Node object, and the next step of each pod
 * that was bound to it. A hollow node has no containers; its pods start, serve and end on paper only.
 */
import type { Random } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";

export interface HollowPod extends KubeObject {
  spec?: {
    nodeName?: string;
    restartPolicy?: string;
    terminationGracePeriodSeconds?: number;
    containers?: { name: string; image?: string }[];
    initContainers?: { name: string; image?: string }[];
  };
  status?: { phase?: string; startTime?: string; podIP?: string };
}

/** How long the steps of real containers take, in milliseconds. */
export interface HollowDelays {
  /** From the binding until all containers run and are ready. */
  startMs: number;
  /** From the request to end until everything has ended; never more than the pod's grace period. */
  stopMs: number;
}

/**
 * The pod's containers end by themselves after this many seconds. Without it those of a pod whose restart
 * policy isn't Always end after a second: jobs on hollow nodes get done.
 */
export const runSecondsAnnotation = "hollow.trivet.dev/run-seconds";
/** With this exit code. Default 0. */
export const exitCodeAnnotation = "hollow.trivet.dev/exit-code";

export type HollowStep =
  | { type: "start" | "remove"; afterMs: number }
  | { type: "finish"; afterMs: number; exitCode: number };

/** The step that the pod waits for, or undefined when nothing is to happen. `afterMs` counts from the last change. */
export function nextStep(pod: HollowPod, delays: HollowDelays): HollowStep | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds = 30, annotations = {} } = pod.metadata;
  const phase = pod.status?.phase ?? "Pending";
  const ended = phase === "Succeeded" || phase === "Failed";
  if (deletionTimestamp !== undefined) {
    const afterMs = ended ? 0 : Math.min(delays.stopMs, deletionGracePeriodSeconds * 1000);
    return { type: "remove", afterMs };
  }
  if (phase === "Pending") return { type: "start", afterMs: delays.startMs };
  if (ended || pod.spec?.restartPolicy === "Always" || pod.spec?.restartPolicy === undefined)
    return undefined;
  const seconds = Number(annotations[runSecondsAnnotation] ?? 1);
  return {
    type: "finish",
    afterMs: Number.isFinite(seconds) ? seconds * 1000 : 1000,
    exitCode: Number(annotations[exitCodeAnnotation] ?? 0) || 0,
  };
}

/** Every container of a running pod runs and is ready. */
export function runningStatus(pod: HollowPod, podIp: string, hostIp: string, nowMs: number): object {
  const now = timestamp(nowMs);
  const started = (each: { name: string; image?: string }): object => ({
    ...identity(pod, each),
    ready: true,
    started: true,
    restartCount: 0,
    state: { running: { startedAt: now } },
    lastState: {},
  });
  return {
    phase: "Running",
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    podIP: podIp,
    podIPs: [{ ip: podIp }],
    startTime: now,
    conditions: ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"].map((type) => ({
      type,
      status: "True",
      lastProbeTime: null,
      lastTransitionTime: now,
    })),
    containerStatuses: (pod.spec?.containers ?? []).map(started),
    ...(pod.spec?.initContainers === undefined
      ? {}
      : { initContainerStatuses: pod.spec.initContainers.map((each) => endedStatus(pod, each, 0, now)) }),
  };
}

export function finishedStatus(pod: HollowPod, exitCode: number, nowMs: number): object {
  const now = timestamp(nowMs);
  const reason = exitCode === 0 ? "PodCompleted" : "PodFailed";
  return {
    phase: exitCode === 0 ? "Succeeded" : "Failed",
    conditions: ["Ready", "ContainersReady"].map((type) => ({
      type,
      status: "False",
      reason,
      lastProbeTime: null,
      lastTransitionTime: now,
    })),
    containerStatuses: (pod.spec?.containers ?? []).map((each) => endedStatus(pod, each, exitCode, now)),
  };
}

export interface HollowNode {
  name: string;
  /** Counts from 0; addresses follow from it. */
  index: number;
}

/** Host addresses are of 172.16.0.0/12, which no pod or Service has by default. */
export function hostIp(index: number): string {
  return `172.${16 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}

export function nodeObject(node: HollowNode, nowMs: number): KubeObject {
  const { name, index } = node;
  const zone = `zone-${index % 3}`;
  const size = { cpu: "32", memory: "256Gi", "ephemeral-storage": "512Gi", pods: "110" };
  const now = timestamp(nowMs);
  const condition = (type: string, status: string, reason: string, message: string): object => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  });
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      labels: {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": zone,
        "hollow.trivet.dev/node": "true",
      },
    },
    spec: {},
    status: {
      addresses: [
        { type: "InternalIP", address: hostIp(index) },
        { type: "Hostname", address: name },
      ],
      capacity: size,
      allocatable: size,
      conditions: [
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
      ],
      nodeInfo: {
        architecture: "amd64",
        bootID: "",
        containerRuntimeVersion: "hollow://0",
        kernelVersion: "hollow",
        kubeProxyVersion: "hollow",
        kubeletVersion: "hollow",
        machineID: "",
        operatingSystem: "linux",
        osImage: "hollow",
        systemUUID: "",
      },
    },
  };
}

export function timestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
}

/** A duration with the long tail that real start-ups have: from half of `medianMs` to twice as much. */
export function around(medianMs: number, random: Random): number {
  return medianMs * 2 ** (random.integer(2001) / 1000 - 1);
}

function identity(pod: HollowPod, container: { name: string; image?: string }): object {
  return {
    name: container.name,
    image: container.image ?? "",
    imageID: `hollow://${container.image ?? ""}`,
    containerID: `hollow://${pod.metadata.uid ?? ""}/${container.name}`,
  };
}

function endedStatus(
  pod: HollowPod,
  container: { name: string; image?: string },
  exitCode: number,
  now: string,
): object {
  return {
    ...identity(pod, container),
    ready: exitCode === 0,
    started: false,
    restartCount: 0,
    state: {
      terminated: {
        exitCode,
        reason: exitCode === 0 ? "Completed" : "Error",
        startedAt: now,
        finishedAt: now,
        containerID: `hollow://${pod.metadata.uid ?? ""}/${container.name}`,
      },
    },
    lastState: {},
  };
}
