/** The parts of objects that the invariants look at. */

import type { KubeObject, OwnerReference } from "#kinds/object.ts";

export interface Condition {
  type: string;
  status: string;
}

export interface PodObject extends KubeObject {
  spec: {
    nodeName?: string;
    restartPolicy?: string;
    containers: { resources?: { requests?: { cpu?: string } } }[];
  };
  status?: { phase?: string; conditions?: Condition[] };
}

export interface Scaled extends KubeObject {
  spec: {
    replicas?: number;
    strategy?: { type?: string; rollingUpdate?: { maxSurge?: number; maxUnavailable?: number } };
    podManagementPolicy?: string;
    updateStrategy?: { rollingUpdate?: { maxSurge?: number } };
  };
  status?: {
    replicas?: number;
    readyReplicas?: number;
    availableReplicas?: number;
    updatedReplicas?: number;
    observedGeneration?: number;
    desiredNumberScheduled?: number;
    numberAvailable?: number;
    updatedNumberScheduled?: number;
  };
}

export interface JobObject extends KubeObject {
  spec: { completions?: number; parallelism?: number; completionMode?: string; suspend?: boolean };
  status?: {
    succeeded?: number;
    failed?: number;
    completedIndexes?: string;
    uncountedTerminatedPods?: { succeeded?: string[]; failed?: string[] };
    conditions?: Condition[];
  };
}

export function controllerOf(object: KubeObject | undefined): OwnerReference | undefined {
  return object?.metadata.ownerReferences?.find((each) => each.controller === true);
}

export function holds(object: KubeObject | undefined, type: string): boolean {
  const status = object?.["status"] as { conditions?: Condition[] } | undefined;
  return status?.conditions?.some((each) => each.type === type && each.status === "True") === true;
}

/** Neither ended nor asked to end. */
export function isActive(pod: PodObject): boolean {
  return pod.metadata.deletionTimestamp === undefined && !isFinished(pod);
}

export function isFinished(pod: PodObject): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function isAvailable(pod: PodObject | undefined): boolean {
  return pod !== undefined && isActive(pod) && holds(pod, "Ready");
}

export function labelled(pod: KubeObject, labels: Record<string, string>): boolean {
  return Object.entries(labels).every(([name, value]) => pod.metadata.labels?.[name] === value);
}

export function nameOf(object: KubeObject): string {
  return `${object.kind} ${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

/** "0-2,5" as numbers. */
export function indexesOf(text: string | undefined): number[] {
  return (text ?? "")
    .split(",")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [first = 0, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
    });
}
