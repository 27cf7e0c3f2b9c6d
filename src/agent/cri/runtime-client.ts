/**
 * The container runtime, spoken to over CRI v1 on its unix socket. A thin, typed shell: each method is
 * one call with a deadline. It decides nothing and retries nothing.
 */
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type {
  ContainerConfig,
  ContainerStats,
  ImageAuth,
  RuntimeCondition,
  RuntimeContainer,
  RuntimeContainerStatus,
  RuntimeImage,
  Sandbox,
  SandboxConfig,
  SandboxStatus,
} from "./messages.ts";

const deadlineMs = 120_000;
const pullDeadlineMs = 30 * 60_000;

type Call = (
  request: unknown,
  options: { deadline: number },
  callback: (error: grpc.ServiceError | null, response: never) => void,
) => grpc.ClientUnaryCall;
type Service = grpc.Client & Record<string, Call | undefined>;
type ServiceConstructor = new (
  address: string,
  credentials: grpc.ChannelCredentials,
  options: grpc.ClientOptions,
) => Service;

export class RuntimeClient {
  #runtime: Service;
  #images: Service;
  #events: Service;

  /** @param socketPath containerd's socket. No connection is made before the first call. */
  constructor(socketPath: string) {
    const open = (file: string, path: string[]) => {
      const Constructor = serviceConstructor(file, path);
      return new Constructor(`unix://${socketPath}`, grpc.credentials.createInsecure(), channelOptions);
    };
    this.#runtime = open("cri.proto", ["runtime", "v1", "RuntimeService"]);
    this.#images = open("cri.proto", ["runtime", "v1", "ImageService"]);
    this.#events = open("containerd-events.proto", ["containerd", "services", "events", "v1", "Events"]);
  }

  version(): Promise<{ runtimeName: string; runtimeVersion: string; runtimeApiVersion: string }> {
    return call(this.#runtime, "Version", { version: "v1" }, 5_000);
  }

  /** The runtime's conditions: RuntimeReady and NetworkReady. */
  async conditions(): Promise<RuntimeCondition[]> {
    const response = await call<{ status: { conditions: RuntimeCondition[] } | null }>(
      this.#runtime,
      "Status",
      { verbose: false },
      5_000,
    );
    return response.status?.conditions ?? [];
  }

  async runSandbox(config: SandboxConfig): Promise<string> {
    const response = await call<{ podSandboxId: string }>(this.#runtime, "RunPodSandbox", { config });
    return response.podSandboxId;
  }

  async stopSandbox(podSandboxId: string): Promise<void> {
    await call(this.#runtime, "StopPodSandbox", { podSandboxId });
  }

  async removeSandbox(podSandboxId: string): Promise<void> {
    await call(this.#runtime, "RemovePodSandbox", { podSandboxId });
  }

  /** Undefined when the sandbox is gone. */
  async sandboxStatus(podSandboxId: string): Promise<SandboxStatus | undefined> {
    const response = await orMissing(
      call<{ status: SandboxStatus }>(this.#runtime, "PodSandboxStatus", { podSandboxId }),
    );
    return response?.status;
  }

  async listSandboxes(labels: Record<string, string> = {}): Promise<Sandbox[]> {
    const response = await call<{ items: Sandbox[] }>(this.#runtime, "ListPodSandbox", {
      filter: { labelSelector: labels },
    });
    return response.items;
  }

  async createContainer(
    podSandboxId: string,
    config: ContainerConfig,
    sandboxConfig: SandboxConfig,
  ): Promise<string> {
    const response = await call<{ containerId: string }>(this.#runtime, "CreateContainer", {
      podSandboxId,
      config,
      sandboxConfig,
    });
    return response.containerId;
  }

  async startContainer(containerId: string): Promise<void> {
    await call(this.#runtime, "StartContainer", { containerId });
  }

  /** SIGTERM, then SIGKILL after the timeout. Returns when the container has stopped. */
  async stopContainer(containerId: string, timeoutSeconds: number): Promise<void> {
    await orMissing(
      call(
        this.#runtime,
        "StopContainer",
        { containerId, timeout: timeoutSeconds },
        deadlineMs + timeoutSeconds * 1000,
      ),
    );
  }

  async removeContainer(containerId: string): Promise<void> {
    await call(this.#runtime, "RemoveContainer", { containerId });
  }

  async listContainers(labels: Record<string, string> = {}): Promise<RuntimeContainer[]> {
    const response = await call<{ containers: RuntimeContainer[] }>(this.#runtime, "ListContainers", {
      filter: { labelSelector: labels },
    });
    return response.containers;
  }

  /** Undefined when the container is gone. */
  async containerStatus(containerId: string): Promise<RuntimeContainerStatus | undefined> {
    const response = await orMissing(
      call<{ status: RuntimeContainerStatus }>(this.#runtime, "ContainerStatus", { containerId }),
    );
    return response?.status;
  }

  async reopenLog(containerId: string): Promise<void> {
    await call(this.#runtime, "ReopenContainerLog", { containerId });
  }

  /** Rejects with a grpc error of code DEADLINE_EXCEEDED when the command outlives the timeout. */
  execSync(
    containerId: string,
    command: readonly string[],
    timeoutSeconds: number,
  ): Promise<{ stdout: Buffer; stderr: Buffer; exitCode: number }> {
    const limitMs = timeoutSeconds > 0 ? timeoutSeconds * 1000 + 2_000 : deadlineMs;
    return call(this.#runtime, "ExecSync", { containerId, cmd: command, timeout: timeoutSeconds }, limitMs);
  }

  /** The URL of a one-time streaming session. */
  async exec(request: {
    containerId: string;
    cmd: string[];
    tty: boolean;
    stdin: boolean;
    stdout: boolean;
    stderr: boolean;
  }): Promise<string> {
    return (await call<{ url: string }>(this.#runtime, "Exec", request)).url;
  }

  async attach(request: {
    containerId: string;
    tty: boolean;
    stdin: boolean;
    stdout: boolean;
    stderr: boolean;
  }): Promise<string> {
    return (await call<{ url: string }>(this.#runtime, "Attach", request)).url;
  }

  async portForward(podSandboxId: string, ports: number[]): Promise<string> {
    return (await call<{ url: string }>(this.#runtime, "PortForward", { podSandboxId, port: ports })).url;
  }

  async containerStats(): Promise<ContainerStats[]> {
    const response = await call<{ stats: ContainerStats[] }>(this.#runtime, "ListContainerStats", {
      filter: {},
    });
    return response.stats;
  }

  async listImages(): Promise<RuntimeImage[]> {
    return (await call<{ images: RuntimeImage[] }>(this.#images, "ListImages", {})).images;
  }

  /** Undefined when the image isn't on this node. */
  async imageStatus(image: string): Promise<RuntimeImage | undefined> {
    const response = await orMissing(
      call<{ image: RuntimeImage | null }>(this.#images, "ImageStatus", { image: { image } }),
    );
    return response?.image ?? undefined;
  }

  /** Pulls, and returns the image's reference. */
  async pullImage(
    image: string,
    auth: ImageAuth | undefined,
    sandboxConfig: SandboxConfig | undefined,
  ): Promise<string> {
    const request = {
      image: { image },
      ...(auth ? { auth } : {}),
      ...(sandboxConfig ? { sandboxConfig } : {}),
    };
    const response = await call<{ imageRef: string }>(this.#images, "PullImage", request, pullDeadlineMs);
    return response.imageRef;
  }

  async removeImage(image: string): Promise<void> {
    await call(this.#images, "RemoveImage", { image: { image } });
  }

  /** Where images are stored, and how much they take. */
  async imageFilesystem(): Promise<{ mountpoint: string; usedBytes: number }> {
    const response = await call<{
      imageFilesystems: { fsId: { mountpoint: string } | null; usedBytes: { value: string } | null }[];
    }>(this.#images, "ImageFsInfo", {});
    const first = response.imageFilesystems[0];
    return { mountpoint: first?.fsId?.mountpoint ?? "", usedBytes: Number(first?.usedBytes?.value ?? 0) };
  }

  /**
   * Calls back at each start, exit or out-of-memory of a task. `onEnd` once, when the stream breaks;
   * it isn't reopened. Returns the function that ends it.
   */
  watchTasks(onEvent: () => void, onEnd: () => void): () => void {
    const metadata = new grpc.Metadata();
    metadata.set("containerd-namespace", "k8s.io");
    const subscribe = this.#events["Subscribe"] as unknown as (
      request: unknown,
      metadata: grpc.Metadata,
    ) => grpc.ClientReadableStream<{ topic: string }>;
    const stream = subscribe.call(this.#events, { filters: ['topic~="^/tasks/(exit|oom|start)"'] }, metadata);
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      onEnd();
    };
    stream.on("data", onEvent);
    stream.on("error", end);
    stream.on("end", end);
    return () => {
      ended = true;
      stream.cancel();
    };
  }

  close(): void {
    this.#runtime.close();
    this.#images.close();
    this.#events.close();
  }
}

/** True when the runtime says that the thing asked for does not exist. */
export function isNotFound(error: unknown): boolean {
  return (error as { code?: number } | undefined)?.code === grpc.status.NOT_FOUND;
}

/** True when the runtime can't be reached: it is down or restarting. */
export function isUnavailable(error: unknown): boolean {
  return (error as { code?: number } | undefined)?.code === grpc.status.UNAVAILABLE;
}

export function isDeadlineExceeded(error: unknown): boolean {
  return (error as { code?: number } | undefined)?.code === grpc.status.DEADLINE_EXCEEDED;
}

/** The error in the words that upstream's events use. */
export function errorText(error: unknown): string {
  const { code, details } = error as { code?: number; details?: string };
  if (code !== undefined && details !== undefined)
    return `rpc error: code = ${codeNames[code] ?? "Unknown"} desc = ${details}`;
  return error instanceof Error ? error.message : String(error);
}

const codeNames: Record<number, string> = {
  1: "Canceled",
  2: "Unknown",
  3: "InvalidArgument",
  4: "DeadlineExceeded",
  5: "NotFound",
  6: "AlreadyExists",
  7: "PermissionDenied",
  8: "ResourceExhausted",
  9: "FailedPrecondition",
  10: "Aborted",
  11: "OutOfRange",
  12: "Unimplemented",
  13: "Internal",
  14: "Unavailable",
  15: "DataLoss",
  16: "Unauthenticated",
};

const channelOptions: grpc.ClientOptions = {
  "grpc.default_authority": "localhost",
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1000,
};

const constructors = new Map<string, grpc.GrpcObject>();

function serviceConstructor(file: string, path: string[]): ServiceConstructor {
  let root = constructors.get(file);
  if (!root) {
    const definition = loadSync(join(import.meta.dirname, file), {
      longs: String,
      enums: String,
      defaults: true,
      arrays: true,
      objects: true,
    });
    root = grpc.loadPackageDefinition(definition);
    constructors.set(file, root);
  }
  let node: unknown = root;
  for (const step of path) node = (node as Record<string, unknown>)[step];
  return node as ServiceConstructor;
}

function call<T>(
  service: Service,
  method: string,
  request: unknown,
  limitMs: number = deadlineMs,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const invoke = service[method] as Call;
    invoke.call(service, request, { deadline: Date.now() + limitMs }, (error, response) => {
      if (error) reject(error);
      else resolve(response as T);
    });
  });
}

async function orMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
