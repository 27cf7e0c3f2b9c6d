/** Which instance of a container a request means, and upstream's words when there is none. Pure. */
import { StatusError } from "#base/errors.ts";
import { findContainer } from "../plan/containers.ts";
import type { ContainerView, PodView } from "../plan/runtime-view.ts";
import type { Pod } from "../types.ts";

export function runningInstance(view: PodView, container: string): ContainerView {
  const found = view.containers.find(
    (each) => each.phase === "running" && (container === "" || each.name === container),
  );
  if (!found)
    throw new StatusError(
      "InternalError",
      `unable to upgrade connection: container not found (${JSON.stringify(container)})`,
    );
  return found;
}

/** The instance whose log is shown. Throws BadRequest when there is none yet. */
export function logInstance(view: PodView, pod: Pod, container: string, previous: boolean): ContainerView {
  const name = pod.metadata.name ?? "";
  if (!findContainer(pod.spec, container))
    throw new StatusError(
      "BadRequest",
      `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} is not available`,
    );
  const instances = view.containers.filter((each) => each.name === container && each.phase !== "created");
  if (previous) {
    const last = instances[0]?.phase === "running" ? instances[1] : (instances[1] ?? undefined);
    const waiting = waitingReason(pod, container) !== undefined;
    const chosen = waiting ? instances[0] : last;
    if (chosen) return chosen;
    throw new StatusError(
      "BadRequest",
      `previous terminated container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} not found`,
    );
  }
  if (instances[0]) return instances[0];
  const reason = waitingReason(pod, container) ?? "ContainerCreating";
  const text = reason === "ErrImagePull" || reason === "ImagePullBackOff" ? pullTexts[reason] : reason;
  throw new StatusError(
    "BadRequest",
    `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} is waiting to start: ${text}`,
  );
}

const pullTexts = {
  ErrImagePull: "image can't be pulled",
  ImagePullBackOff: "trying and failing to pull image",
};

function waitingReason(pod: Pod, container: string): string | undefined {
  const { containerStatuses, initContainerStatuses, ephemeralContainerStatuses } = pod.status ?? {};
  const all = [
    ...(containerStatuses ?? []),
    ...(initContainerStatuses ?? []),
    ...(ephemeralContainerStatuses ?? []),
  ];
  return all.find((each) => each.name === container)?.state?.waiting?.reason;
}
