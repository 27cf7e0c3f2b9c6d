/** The node's status: capacity, conditions, addresses, and what it says about itself. Pure. */
import type { NodeCondition, NodeStatus } from "kubernetes-types/core/v1.js";
import { timestamp } from "./timestamp.ts";

export interface NodeFactsInput {
  nodeName: string;
  nodeIps: readonly string[];
  agentPort: number;
  cpuCount: number;
  memoryBytes: number;
  maxPods: number;
  ephemeralBytes: number;
  /** Kept free for the system. */
  reservedMemoryBytes: number;
  machineId: string;
  systemUuid: string;
  bootId: string;
  kernelVersion: string;
  osImage: string;
  architecture: string;
  runtimeVersion: string;
  version: string;
}

export interface NodeHealth {
  /** Undefined: all is well. Else what is wrong, for the Ready condition. */
  problem: string | undefined;
  availableMemoryBytes: number;
  availableDiskFraction: number;
  availableInodesFraction: number;
  availablePids: number;
}

export interface NodeImage {
  names: string[];
  sizeBytes: number;
}

const memoryPressureBytes = 100 * 1024 * 1024;
const diskPressureFraction = 0.1;
const inodePressureFraction = 0.05;
const pidPressure = 1000;

export function nodeStatus(
  facts: NodeFactsInput,
  health: NodeHealth,
  images: readonly NodeImage[],
  old: readonly NodeCondition[],
  nowMs: number,
): NodeStatus {
  const capacity = {
    cpu: String(facts.cpuCount),
    "ephemeral-storage": `${Math.floor(facts.ephemeralBytes / 1024)}Ki`,
    "hugepages-1Gi": "0",
    "hugepages-2Mi": "0",
    memory: `${Math.floor(facts.memoryBytes / 1024)}Ki`,
    pods: String(facts.maxPods),
  };
  const allocatable = {
    ...capacity,
    // A tenth of the disk stays free: below it the node is under pressure.
    "ephemeral-storage": String(Math.floor(facts.ephemeralBytes * (1 - diskPressureFraction))),
    memory: `${Math.floor((facts.memoryBytes - facts.reservedMemoryBytes) / 1024)}Ki`,
  };
  return {
    addresses: [
      ...facts.nodeIps.map((address) => ({ type: "InternalIP", address })),
      { type: "Hostname", address: facts.nodeName },
    ],
    capacity,
    allocatable,
    conditions: nodeConditions(health, old, nowMs),
    daemonEndpoints: { kubeletEndpoint: { Port: facts.agentPort } },
    images: images.map(({ names, sizeBytes }) => ({ names, sizeBytes })),
    nodeInfo: {
      machineID: facts.machineId,
      systemUUID: facts.systemUuid,
      bootID: facts.bootId,
      kernelVersion: facts.kernelVersion,
      osImage: facts.osImage,
      containerRuntimeVersion: facts.runtimeVersion,
      kubeletVersion: facts.version,
      kubeProxyVersion: facts.version,
      operatingSystem: "linux",
      architecture: facts.architecture,
    },
  };
}

export function nodeConditions(
  health: NodeHealth,
  old: readonly NodeCondition[],
  nowMs: number,
): NodeCondition[] {
  const memory = health.availableMemoryBytes < memoryPressureBytes;
  const disk =
    health.availableDiskFraction < diskPressureFraction ||
    health.availableInodesFraction < inodePressureFraction;
  const pids = health.availablePids < pidPressure;
  const own: [string, boolean, string, string][] = [
    ["MemoryPressure", memory, ...pressure(memory, "Memory", "memory available")],
    ["DiskPressure", disk, ...pressure(disk, "Disk", "disk pressure")],
    ["PIDPressure", pids, ...pressure(pids, "PID", "PID available")],
    health.problem === undefined
      ? ["Ready", true, "KubeletReady", "kubelet is posting ready status"]
      : ["Ready", false, "KubeletNotReady", health.problem],
  ];
  const now = timestamp(nowMs);
  return own.map(([type, on, reason, message]) => {
    const status = on ? "True" : "False";
    const before = old.find((each) => each.type === type);
    const since = before?.status === status ? before.lastTransitionTime : undefined;
    return { type, status, lastHeartbeatTime: now, lastTransitionTime: since ?? now, reason, message };
  });
}

function pressure(on: boolean, what: string, words: string): [string, string] {
  const name = what === "Memory" || what === "PID" ? `Sufficient${what}` : `NoDiskPressure`;
  const positive = what === "Disk" ? "kubelet has no disk pressure" : `kubelet has sufficient ${words}`;
  const negative = what === "Disk" ? "kubelet has disk pressure" : `kubelet has insufficient ${words}`;
  return on
    ? [
        `KubeletHasInsufficient${what === "Disk" ? "Disk" : what}`.replace(
          "InsufficientDisk",
          "DiskPressure",
        ),
        negative,
      ]
    : [`KubeletHas${name}`, positive];
}
