/** Stops containers and sandboxes of a pod: preStop, SIGTERM, SIGKILL, in the order that the plan gives. */
import type { AgentContext } from "./context.ts";
import { recordPodEvent } from "./container-starter.ts";
import { errorText } from "./cri/runtime-client.ts";
import { runHook } from "./hooks.ts";
import { containerFieldPath, findContainer } from "./plan/containers.ts";
import type { ContainerView, PodView } from "./plan/runtime-view.ts";
import { stopOrder } from "./plan/termination.ts";
import type { Pod } from "./types.ts";

/** Even when a hook has used up the grace period, a container gets this long. */
const minimumStopSeconds = 2;

/** Stops every container of the pod and its sandboxes. `graceSeconds` is for all of it together. */
export async function stopPod(
  context: AgentContext,
  pod: Pod,
  view: PodView,
  graceSeconds: number,
): Promise<void> {
  const endMs = context.clock.monotonicMs() + graceSeconds * 1000;
  for (const group of stopOrder(pod, view)) {
    const leftSeconds = Math.max(1, Math.ceil((endMs - context.clock.monotonicMs()) / 1000));
    await Promise.all(
      group.map((each) => stopContainer(context, pod, each, leftSeconds, `Stopping container ${each.name}`)),
    );
  }
  for (const sandbox of view.sandboxes) if (sandbox.ready) await context.runtime.stopSandbox(sandbox.id);
}

/** Runs the preStop hook within the grace period, then stops the container with what is left of it. */
export async function stopContainer(
  context: AgentContext,
  pod: Pod,
  instance: ContainerView,
  graceSeconds: number,
  message: string,
): Promise<void> {
  const sorted = findContainer(pod.spec, instance.name);
  const fieldPath = sorted ? containerFieldPath(sorted) : undefined;
  recordPodEvent(context, pod, "Normal", "Killing", message, fieldPath);
  context.probes.stop(instance.id);
  const begunMs = context.clock.monotonicMs();
  const handler = sorted?.container.lifecycle?.preStop;
  if (sorted && handler && graceSeconds > 0) {
    const { container } = sorted;
    const podIp = podAddress(context, pod);
    const { runtime, clock } = context;
    const hook = runHook({ handler, container, containerId: instance.id, podIp, runtime, clock });
    await within(context, hook, graceSeconds * 1000).catch((error: unknown) => {
      context.logger.debug("preStop hook failed", { pod: pod.metadata.name, error: errorText(error) });
      recordPodEvent(context, pod, "Warning", "FailedPreStopHook", "PreStopHook failed", fieldPath);
    });
  }
  const usedSeconds = Math.floor((context.clock.monotonicMs() - begunMs) / 1000);
  const leftSeconds =
    usedSeconds > 0 ? Math.max(graceSeconds - usedSeconds, minimumStopSeconds) : graceSeconds;
  await context.runtime.stopContainer(instance.id, leftSeconds);
}

function podAddress(context: AgentContext, pod: Pod): string {
  if (pod.spec.hostNetwork) return context.node().hostIps[0] ?? "";
  return context.cache.view(pod.metadata.uid ?? "").sandboxes[0]?.ips[0] ?? "";
}

async function within(context: AgentContext, work: Promise<void>, limitMs: number): Promise<void> {
  let timer: { cancel(): void } | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = context.clock.setTimer(limitMs, resolve);
  });
  try {
    await Promise.race([work, limit]);
  } finally {
    timer?.cancel();
  }
}
