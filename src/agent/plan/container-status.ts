/**
 * The status of one container, from its newest instances in the runtime. A container that waits says why
 * (an image that can't be pulled, a back-off); one that was restarted keeps how it ended the last time.
 */
import type { ContainerStatus, Pod } from "../types.ts";
import { allContainers } from "./containers.ts";
import type { ContainerView, PodView } from "./runtime-view.ts";
import type { WaitingReason } from "./sync-plan.ts";
import { timestamp } from "./timestamp.ts";

/** What the agent knows of containers beside the runtime. */
export interface ContainerKnowledge {
  /** Why a container isn't started, by name: from the last sync. */
  waiting: ReadonlyMap<string, WaitingReason>;
  ready: (containerId: string) => boolean;
  started: (containerId: string) => boolean;
}

export function containerStatus(
  container: {
    name: string;
    image?: string;
    volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
  },
  init: boolean,
  initialized: boolean,
  input: ContainerKnowledge & { pod: Pod; view: PodView; ended: boolean },
): ContainerStatus {
  const instances = input.view.containers.filter((each) => each.name === container.name);
  const newest = instances[0];
  const old = oldStatus(input.pod, container.name);
  const status: ContainerStatus = {
    name: container.name,
    state: {},
    lastState: {},
    ready: false,
    restartCount: newest?.restartCount ?? old?.restartCount ?? 0,
    image: newest?.image || container.image || "",
    imageID: newest?.imageId ?? "",
    started: false,
  };
  const mounts = (container.volumeMounts ?? []).map(({ name, mountPath, readOnly }) => ({
    name,
    mountPath,
    ...(readOnly ? { readOnly, recursiveReadOnly: "Disabled" } : {}),
  }));
  if (mounts.length > 0) status.volumeMounts = mounts;
  if (!newest) {
    describeMissing(status, input, old, init, initialized);
    return status;
  }
  status.containerID = `containerd://${newest.id}`;
  describeInstance(status, newest, input);
  const previous = instances.slice(1).find((each) => each.phase === "exited");
  const waiting = input.waiting.get(container.name);
  if (waiting && newest.phase !== "running" && !input.ended) {
    if (status.state?.terminated) status.lastState = { terminated: status.state.terminated };
    status.state = { waiting: describeWaiting(waiting) };
  } else if (previous) status.lastState = { terminated: terminated(previous) };
  else if (old?.containerID === status.containerID && old?.lastState) status.lastState = old.lastState;
  status.ready = isReady(init, newest, input, container.name);
  return status;
}

function describeMissing(
  status: ContainerStatus,
  input: ContainerKnowledge & { pod: Pod; ended: boolean },
  old: ContainerStatus | undefined,
  init: boolean,
  initialized: boolean,
): void {
  const waiting = input.waiting.get(status.name);
  if (old?.containerID && (old.state?.terminated || old.state?.running)) {
    // The runtime has forgotten it (a reboot, a pruned container): what was last known stays true.
    status.containerID = old.containerID;
    status.imageID = old.imageID;
    const ending = old.state.terminated ?? {
      exitCode: 137,
      reason: "ContainerStatusUnknown",
      message: "The container could not be located when the pod was terminated",
    };
    if (input.ended || (init && initialized) || old.state.terminated) {
      status.state = { terminated: ending };
      status.ready = init && ending.exitCode === 0;
      return;
    }
    status.lastState = { terminated: ending };
  }
  if (input.ended) {
    const unknown = "The container could not be located when the pod was terminated";
    status.state = { terminated: { exitCode: 137, reason: "ContainerStatusUnknown", message: unknown } };
    if (!old?.containerID && waiting) status.state = { waiting: describeWaiting(waiting) };
    return;
  }
  const hasInit = (input.pod.spec.initContainers ?? []).length > 0;
  const reason = hasInit && !initialized ? "PodInitializing" : "ContainerCreating";
  status.state = { waiting: waiting ? describeWaiting(waiting) : { reason } };
}

function describeInstance(status: ContainerStatus, newest: ContainerView, input: ContainerKnowledge): void {
  if (newest.phase === "running") {
    status.state = { running: { startedAt: timestamp(newest.startedAtMs) } };
    status.started = input.started(newest.id);
  } else if (newest.phase === "exited") status.state = { terminated: terminated(newest) };
  else status.state = { waiting: {} };
}

function isReady(
  init: boolean,
  newest: ContainerView,
  input: ContainerKnowledge & { pod: Pod },
  name: string,
): boolean {
  const sort = allContainers(input.pod.spec).find((each) => each.container.name === name)?.sort;
  if (init && sort === "init") return newest.phase === "exited" && newest.exitCode === 0;
  if (sort === "ephemeral") return false;
  return newest.phase === "running" && input.ready(newest.id);
}

function terminated(container: ContainerView) {
  return {
    exitCode: container.exitCode,
    reason: container.reason || (container.exitCode === 0 ? "Completed" : "Error"),
    ...(container.message ? { message: container.message } : {}),
    // A container that could not be started has no start time: the epoch, as upstream shows it.
    startedAt: timestamp(container.startedAtMs),
    finishedAt: timestamp(container.finishedAtMs),
    containerID: `containerd://${container.id}`,
  };
}

function describeWaiting({ reason, message }: WaitingReason) {
  return message === "" ? { reason } : { reason, message };
}

function oldStatus(pod: Pod, name: string): ContainerStatus | undefined {
  const { containerStatuses, initContainerStatuses, ephemeralContainerStatuses } = pod.status ?? {};
  return [
    ...(containerStatuses ?? []),
    ...(initContainerStatuses ?? []),
    ...(ephemeralContainerStatuses ?? []),
  ].find((each) => each.name === name);
}
