/**
 * Brings the image of a container to the node as its pull policy says, with back-off for failures and
 * with the events that users know. Pulls of the same image share one transfer.
 */
import type { Clock } from "#base/ports.ts";
import { errorText } from "./cri/runtime-client.ts";
import type { RuntimeClient } from "./cri/runtime-client.ts";
import type { ImageAuth, RuntimeImage, SandboxConfig } from "./cri/messages.ts";
import { backoffLeftMs, goDuration, nextBackoff } from "./plan/backoff.ts";
import type { BackoffEntry } from "./plan/backoff.ts";
import { isValidImageName, pullPolicy, registryOf } from "./plan/image-policy.ts";
import type { AnyContainer, Pod, Secret } from "./types.ts";

/** The image can't be had now. `reason` is what the container waits with. */
export class ImageError extends Error {
  override name = "ImageError";
  readonly reason:
    | "ErrImagePull"
    | "ImagePullBackOff"
    | "ErrImageNeverPull"
    | "InvalidImageName"
    | "ImageInspectError";
  /** Milliseconds until another try makes sense. */
  readonly retryAfterMs: number;

  constructor(reason: ImageError["reason"], message: string, retryAfterMs: number) {
    super(message);
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

export type ContainerEvent = (type: "Normal" | "Warning", reason: string, message: string) => void;

export interface ImageRequest {
  pod: Pod;
  container: AnyContainer;
  sandbox: SandboxConfig | undefined;
  secret(name: string): Secret | undefined;
  event: ContainerEvent;
  signal: AbortSignal;
}

interface Failure extends BackoffEntry {
  failedAtMs: number;
  message: string;
}

export class ImagePuller {
  #runtime: Pick<RuntimeClient, "imageStatus" | "pullImage">;
  #clock: Pick<Clock, "nowMs" | "monotonicMs">;
  #failures = new Map<string, Failure>();
  #pulling = new Map<string, Promise<string>>();

  constructor(
    runtime: Pick<RuntimeClient, "imageStatus" | "pullImage">,
    clock: Pick<Clock, "nowMs" | "monotonicMs">,
  ) {
    this.#runtime = runtime;
    this.#clock = clock;
  }

  /** The image on this node, pulled if the policy asks for it. Rejects with ImageError. */
  async ensure(request: ImageRequest): Promise<RuntimeImage> {
    const { container, event } = request;
    const image = container.image ?? "";
    if (!isValidImageName(image)) {
      const message = `Failed to apply default image tag ${JSON.stringify(image)}: couldn't parse image name ${JSON.stringify(image)}: invalid reference format`;
      event("Warning", "InspectFailed", message);
      throw new ImageError("InvalidImageName", message, 60_000);
    }
    const policy = pullPolicy(image, container.imagePullPolicy);
    const present = await this.#runtime.imageStatus(image);
    if (present && policy !== "Always") {
      event("Normal", "Pulled", `Container image ${JSON.stringify(image)} already present on machine`);
      return present;
    }
    if (policy === "Never") {
      const message = `Container image ${JSON.stringify(image)} is not present with pull policy of Never`;
      event("Warning", "ErrImageNeverPull", message);
      throw new ImageError("ErrImageNeverPull", message, 60_000);
    }
    await this.#pull(request, image);
    const pulled = await this.#runtime.imageStatus(image);
    if (!pulled)
      throw new ImageError(
        "ImageInspectError",
        `image ${JSON.stringify(image)} is gone after its pull`,
        10_000,
      );
    return pulled;
  }

  /** Forgets the failures of a pod. */
  release(uid: string): void {
    for (const key of this.#failures.keys()) if (key.startsWith(`${uid}/`)) this.#failures.delete(key);
  }

  async #pull(request: ImageRequest, image: string): Promise<void> {
    const { pod, event } = request;
    const key = `${pod.metadata.uid}/${image}`;
    const failure = this.#failures.get(key);
    const leftMs = failure ? backoffLeftMs(failure, failure.failedAtMs, this.#clock.nowMs()) : 0;
    if (failure && leftMs > 0) {
      event("Normal", "BackOff", `Back-off pulling image ${JSON.stringify(image)}`);
      const message = `Back-off pulling image ${JSON.stringify(image)}: ErrImagePull: ${failure.message}`;
      throw new ImageError("ImagePullBackOff", message, leftMs);
    }
    event("Normal", "Pulling", `Pulling image ${JSON.stringify(image)}`);
    const startedMs = this.#clock.monotonicMs();
    try {
      await this.#transfer(request, image);
    } catch (error) {
      // The pod is going away: that is no failure of the image.
      if (request.signal.aborted) throw error;
      const text = errorText(error);
      const nowMs = this.#clock.nowMs();
      this.#failures.set(key, { ...nextBackoff(failure, nowMs), failedAtMs: nowMs, message: text });
      event("Warning", "Failed", `Failed to pull image ${JSON.stringify(image)}: ${text}`);
      throw new ImageError("ErrImagePull", text, 0);
    }
    this.#failures.delete(key);
    const took = goDuration(Math.round(this.#clock.monotonicMs() - startedMs));
    const size = (await this.#runtime.imageStatus(image))?.size ?? "0";
    event(
      "Normal",
      "Pulled",
      `Successfully pulled image ${JSON.stringify(image)} in ${took} (${took} including waiting). Image size: ${size} bytes.`,
    );
  }

  async #transfer(request: ImageRequest, image: string): Promise<void> {
    const credentials = pullCredentials(request, image);
    const key = `${image} ${JSON.stringify(credentials)}`;
    let transfer = this.#pulling.get(key);
    if (!transfer) {
      transfer = this.#tryAll(request, image, credentials).finally(() => this.#pulling.delete(key));
      this.#pulling.set(key, transfer);
    }
    await unlessAborted(transfer, request.signal);
  }

  async #tryAll(request: ImageRequest, image: string, credentials: ImageAuth[]): Promise<string> {
    if (credentials.length === 0) return this.#runtime.pullImage(image, undefined, request.sandbox);
    let last: unknown;
    for (const auth of credentials) {
      try {
        return await this.#runtime.pullImage(image, auth, request.sandbox);
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }
}

/** Gives up waiting, not the transfer: another pod may wait for it too. */
async function unlessAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let onAbort = () => undefined as void;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(new Error("the pull is no longer wanted"));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Credentials for the image's registry from the pod's imagePullSecrets, best match first. */
export function pullCredentials(request: Pick<ImageRequest, "pod" | "secret">, image: string): ImageAuth[] {
  const registry = registryOf(image);
  const found: { auth: ImageAuth; length: number }[] = [];
  for (const { name } of request.pod.spec.imagePullSecrets ?? []) {
    const data = request.secret(name ?? "")?.data;
    const modern = data?.[".dockerconfigjson"];
    const legacy = data?.[".dockercfg"];
    const entries = modern
      ? (parse(modern) as { auths?: Entries }).auths
      : legacy
        ? (parse(legacy) as Entries)
        : {};
    for (const [key, entry] of Object.entries(entries ?? {})) {
      const server = key.replace(/^https?:\/\//, "").replace(/\/(?:v1|v2)?\/?$/, "");
      const host = server.split("/")[0]!;
      const same = host === registry || (registry === "docker.io" && host === "index.docker.io");
      if (!same || (server.includes("/") && host !== "index.docker.io" && !image.startsWith(`${server}/`)))
        continue;
      found.push({ auth: { ...entry, serverAddress: key }, length: server.length });
    }
  }
  return found.sort((a, b) => b.length - a.length).map((each) => each.auth);
}

type Entries = Record<string, { username?: string; password?: string; auth?: string }>;

function parse(base64: string): unknown {
  try {
    return JSON.parse(Buffer.from(base64, "base64").toString("utf8"));
  } catch {
    // A secret that isn't JSON gives no credentials; the pull then says what the registry says.
    return {};
  }
}
