/**
 * Starts one container of a pod: image, environment, mounts, create, start, postStart; with the events
 * and the reasons that users know. What goes wrong is thrown as StartError and shown as waiting reason.
 */
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { AgentContext } from "./context.ts";
import { containerConfig } from "./cri/container-config.ts";
import type { ContainerConfig, SandboxConfig } from "./cri/messages.ts";
import { errorText } from "./cri/runtime-client.ts";
import { runHook } from "./hooks.ts";
import { ImageError } from "./image-puller.ts";
import { containerLogPath } from "./paths.ts";
import { containerFieldPath } from "./plan/containers.ts";
import { ContainerConfigError, containerEnvironment } from "./plan/environment.ts";
import { qosClass } from "./plan/qos.ts";
import { containerLimits, oomScoreAdjustment } from "./plan/resources.ts";
import { latest } from "./plan/runtime-view.ts";
import type { PodView } from "./plan/runtime-view.ts";
import { containerSecurity } from "./plan/security.ts";
import type { StartStep } from "./plan/sync-plan.ts";
import type { Pod } from "./types.ts";
import { containerMounts } from "./volumes/container-mounts.ts";

/** The container can't be started now. `reason` and message are shown in the pod's status. */
export class StartError extends Error {
  override name = "StartError";
  readonly reason: string;
  readonly retryAfterMs: number;

  constructor(reason: string, message: string, retryAfterMs: number) {
    super(message);
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface StartInput {
  pod: Pod;
  step: StartStep;
  sandboxId: string;
  sandboxConfig: SandboxConfig;
  podIps: readonly string[];
  volumes: ReadonlyMap<string, string>;
  view: PodView;
  signal: AbortSignal;
}

const retryMs = 5_000;

/** The started container's id. Rejects with StartError. */
export async function startContainer(context: AgentContext, input: StartInput): Promise<string> {
  const { pod, step } = input;
  const event = (type: "Normal" | "Warning", reason: string, message: string) =>
    recordPodEvent(context, pod, type, reason, message, containerFieldPath(step));
  const image = await ensureImage(context, input, event);
  const config = await describe(context, input, image).catch((error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    event("Warning", "Failed", `Error: ${text}`);
    throw new StartError(
      error instanceof ContainerConfigError ? "CreateContainerConfigError" : "CreateContainerError",
      text,
      retryMs,
    );
  });
  const id = await context.startLimit.use(async () => {
    const created = await create(context, input, config, event);
    try {
      await context.runtime.startContainer(created);
    } catch (error) {
      event("Warning", "Failed", `Error: ${errorText(error)}`);
      throw new StartError("RunContainerError", errorText(error), 0);
    }
    return created;
  });
  event("Normal", "Started", `Started container ${step.container.name}`);
  await postStart(context, input, id, event);
  return id;
}

export function recordPodEvent(
  context: AgentContext,
  pod: Pod,
  type: "Normal" | "Warning",
  reason: string,
  message: string,
  fieldPath?: string,
): void {
  const { name, namespace, uid, resourceVersion } = pod.metadata;
  context.recorder.event(
    {
      apiVersion: "v1",
      kind: "Pod",
      name: name ?? "",
      namespace: namespace ?? "",
      uid: uid ?? "",
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(fieldPath === undefined ? {} : { fieldPath }),
    },
    type,
    reason,
    message,
  );
}

type Recorder = (type: "Normal" | "Warning", reason: string, message: string) => void;

async function ensureImage(context: AgentContext, input: StartInput, event: Recorder) {
  const { pod, step } = input;
  try {
    return await context.images.ensure({
      pod,
      container: step.container,
      sandbox: input.sandboxConfig,
      secret: (name) => context.references.secret(pod.metadata.namespace ?? "", name),
      event,
      signal: input.signal,
    });
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    event("Warning", "Failed", `Error: ${error.reason}`);
    throw new StartError(error.reason, error.message, error.retryAfterMs);
  }
}

async function describe(
  context: AgentContext,
  input: StartInput,
  image: { id: string; uid: { value: string } | null; username: string },
): Promise<ContainerConfig> {
  const { pod, step } = input;
  const { container } = step;
  const namespace = pod.metadata.namespace ?? "";
  if (!context.servicesSynced())
    throw new ContainerConfigError("services have not yet been read at least once, cannot construct envvars");
  const environment = containerEnvironment({
    pod,
    container,
    podIps: input.podIps,
    node: context.node(),
    services: context.services(),
    configMap: (name) => context.references.configMap(namespace, name),
    secret: (name) => context.references.secret(namespace, name),
  });
  const target = "targetContainerName" in container ? container.targetContainerName : undefined;
  const targetId = target ? (latest(input.view, target)?.id ?? "") : "";
  const uid = image.uid === null ? undefined : Number(image.uid.value);
  const security = containerSecurity(pod, container, { uid, username: image.username }, targetId);
  const { volumes, podIps: _, ...rest } = input;
  const mounts = await containerMounts({
    pod,
    container,
    restartCount: rest.step.restartCount,
    volumes,
    environment,
    paths: context.paths,
  });
  const qos = qosClass(pod.spec);
  return containerConfig({
    pod,
    container,
    restartCount: step.restartCount,
    imageRef: image.id,
    environment,
    mounts,
    devices: [],
    security,
    limits: containerLimits(container),
    oomScoreAdj: oomScoreAdjustment(qos, container, context.memoryCapacityBytes),
    cgroupVersion: context.cgroups.version,
  });
}

async function create(
  context: AgentContext,
  input: StartInput,
  config: ContainerConfig,
  event: Recorder,
): Promise<string> {
  const { pod, step } = input;
  const log = join(context.paths.podLogsOf(pod), containerLogPath(step.container.name, step.restartCount));
  await mkdir(dirname(log), { recursive: true, mode: 0o755 });
  // A log of an instance that never ran would mix with the new one's.
  await rm(log, { force: true });
  try {
    const id = await context.runtime.createContainer(input.sandboxId, config, input.sandboxConfig);
    event("Normal", "Created", `Created container: ${step.container.name}`);
    return id;
  } catch (error) {
    event("Warning", "Failed", `Error: ${errorText(error)}`);
    throw new StartError("CreateContainerError", errorText(error), retryMs);
  }
}

async function postStart(
  context: AgentContext,
  input: StartInput,
  containerId: string,
  event: Recorder,
): Promise<void> {
  const { container } = input.step;
  const handler = container.lifecycle?.postStart;
  if (!handler) return;
  try {
    const podIp = input.podIps[0] ?? "";
    await runHook({ handler, container, containerId, podIp, runtime: context.runtime, clock: context.clock });
  } catch (error) {
    event("Warning", "FailedPostStartHook", `PostStartHook failed`);
    event("Normal", "Killing", "FailedPostStartHook");
    await context.runtime.stopContainer(containerId, input.pod.spec.terminationGracePeriodSeconds ?? 30);
    throw new StartError("PostStartHookError", error instanceof Error ? error.message : String(error), 0);
  }
}
