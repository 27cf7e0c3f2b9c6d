/**
 * What the runtime shows of one pod, as data for the decisions: its sandboxes and its containers, each
 * list newest first. Filled by `cri/pod-view.ts`, which knows CRI; nothing here does.
 */

export interface SandboxView {
  id: string;
  attempt: number;
  ready: boolean;
  createdAtMs: number;
  /** Empty for a host-network pod, and before the network is set up. */
  ips: readonly string[];
}

export type ContainerPhase = "created" | "running" | "exited" | "unknown";

export interface ContainerView {
  id: string;
  name: string;
  sandboxId: string;
  restartCount: number;
  phase: ContainerPhase;
  createdAtMs: number;
  startedAtMs: number;
  finishedAtMs: number;
  exitCode: number;
  reason: string;
  message: string;
  image: string;
  imageId: string;
  /** Hash of the part of the container's description whose change asks for a restart. */
  hash: string;
}

export interface PodView {
  sandboxes: readonly SandboxView[];
  containers: readonly ContainerView[];
}

export const emptyView: PodView = { sandboxes: [], containers: [] };

/** The newest instance of a container, in any sandbox. */
export function latest(view: PodView, name: string): ContainerView | undefined {
  return view.containers.find((each) => each.name === name);
}

export function isRunning(
  container: ContainerView | undefined,
): container is ContainerView & { phase: "running" } {
  return container?.phase === "running";
}
