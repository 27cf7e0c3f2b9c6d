/**
 * What the runtime holds, by pod, kept current: a relist at each sign of life from the runtime's event
 * stream and, as a safety net, now and then. Only changed containers are asked for their details.
 * Knows CRI and the labels; decides nothing.
 */
import { readTerminationMessage } from "./termination-message.ts";
import type { Clock, Logger, Timer } from "#base/ports.ts";
import type { AgentPaths } from "../paths.ts";
import type { ContainerPhase, ContainerView, PodView, SandboxView } from "../plan/runtime-view.ts";
import { emptyView } from "../plan/runtime-view.ts";
import {
  containerNameLabel,
  hashAnnotation,
  podNameLabel,
  podNamespaceLabel,
  podUidLabel,
  restartCountAnnotation,
} from "./labels.ts";
import type { RuntimeContainer, RuntimeContainerStatus, Sandbox } from "./messages.ts";
import { isUnavailable } from "./runtime-client.ts";
import type { RuntimeClient } from "./runtime-client.ts";

export interface RuntimePod extends PodView {
  uid: string;
  name: string;
  namespace: string;
}

/** containerd's CRI learns of an exit after its event stream does: one look is not enough. */
const looksAfterEventMs = [20, 80, 300, 1_000];
const relistWithEventsMs = 5_000;
const relistWithoutEventsMs = 1_000;

export class RuntimeCache {
  #runtime: RuntimeClient;
  #paths: AgentPaths;
  #clock: Clock;
  #logger: Logger;
  #pods = new Map<string, RuntimePod>();
  #refreshedAt = new Map<string, number>();
  #sequence = 0;
  #sandboxes = new Map<string, { state: string; ips: string[] }>();
  #containers = new Map<string, { state: string; view: ContainerView }>();
  #listeners = new Set<(uid: string) => void>();
  #timer: Timer | undefined;
  #relisting: Promise<void> | undefined;
  #looks: number[] = [];
  #endEvents: (() => void) | undefined;
  #closed = false;
  #lastRelistMs = -Infinity;

  constructor(runtime: RuntimeClient, paths: AgentPaths, clock: Clock, logger: Logger) {
    this.#runtime = runtime;
    this.#paths = paths;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Lists everything once, then keeps listing. Rejects when the runtime can't be reached. */
  async start(): Promise<void> {
    await this.#relist();
    this.#subscribe();
    this.#schedule(relistWithoutEventsMs);
  }

  /** Called with the uid of each pod whose sandboxes or containers changed. */
  onChange(listener: (uid: string) => void): void {
    this.#listeners.add(listener);
  }

  view(uid: string): PodView {
    return this.#pods.get(uid) ?? emptyView;
  }

  all(): RuntimePod[] {
    return [...this.#pods.values()];
  }

  /** True while the last relist succeeded not long ago: the runtime answers. */
  get healthy(): boolean {
    return this.#clock.monotonicMs() - this.#lastRelistMs < 30_000;
  }

  /** Asks for one pod now. Listeners are not called. */
  async refresh(uid: string): Promise<PodView> {
    const labels = { [podUidLabel]: uid };
    const [sandboxes, containers] = await Promise.all([
      this.#runtime.listSandboxes(labels),
      this.#runtime.listContainers(labels),
    ]);
    this.#refreshedAt.set(uid, ++this.#sequence);
    const pods = await this.#assemble(sandboxes, containers);
    const pod = pods.get(uid);
    if (pod) this.#pods.set(uid, pod);
    else this.#pods.delete(uid);
    return pod ?? emptyView;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#endEvents?.();
  }

  #subscribe(): void {
    if (this.#closed) return;
    this.#endEvents = this.#runtime.watchTasks(
      () => {
        this.#looks = [...looksAfterEventMs];
        this.#schedule(this.#looks.shift()!);
      },
      () => {
        this.#endEvents = undefined;
        this.#schedule(relistWithoutEventsMs);
      },
    );
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(delayMs, () => void this.#tick());
  }

  async #tick(): Promise<void> {
    if (this.#relisting) return;
    this.#relisting = this.#relist().catch((error: unknown) => {
      const fields = { error: String(error) };
      if (isUnavailable(error)) this.#logger.warn("the container runtime does not answer", fields);
      else this.#logger.error("listing the runtime's containers failed", fields);
    });
    await this.#relisting;
    this.#relisting = undefined;
    if (this.#closed) return;
    if (!this.#endEvents && this.healthy) this.#subscribe();
    this.#schedule(this.#looks.shift() ?? (this.#endEvents ? relistWithEventsMs : relistWithoutEventsMs));
  }

  async #relist(): Promise<void> {
    const begun = ++this.#sequence;
    const [sandboxes, containers] = await Promise.all([
      this.#runtime.listSandboxes(),
      this.#runtime.listContainers(),
    ]);
    const pods = await this.#assemble(sandboxes, containers);
    this.#lastRelistMs = this.#clock.monotonicMs();
    this.#forget(sandboxes, containers);
    const changed: string[] = [];
    for (const uid of new Set([...this.#pods.keys(), ...pods.keys()])) {
      // A refresh that began later has seen more.
      if ((this.#refreshedAt.get(uid) ?? 0) > begun) continue;
      const before = this.#pods.get(uid);
      const now = pods.get(uid);
      if (JSON.stringify(before) === JSON.stringify(now)) continue;
      if (now) this.#pods.set(uid, now);
      else this.#pods.delete(uid);
      changed.push(uid);
    }
    for (const uid of this.#refreshedAt.keys()) if (!this.#pods.has(uid)) this.#refreshedAt.delete(uid);
    for (const uid of changed) for (const listener of this.#listeners) listener(uid);
  }

  async #assemble(
    sandboxes: readonly Sandbox[],
    containers: readonly RuntimeContainer[],
  ): Promise<Map<string, RuntimePod>> {
    const pods = new Map<string, RuntimePod & { sandboxes: SandboxView[]; containers: ContainerView[] }>();
    const podOf = (labels: Record<string, string>) => {
      const uid = labels[podUidLabel] ?? "";
      let pod = pods.get(uid);
      if (!pod) {
        const name = labels[podNameLabel] ?? "";
        pod = { uid, name, namespace: labels[podNamespaceLabel] ?? "", sandboxes: [], containers: [] };
        pods.set(uid, pod);
      }
      return pod;
    };
    for (const sandbox of sandboxes) {
      if (sandbox.labels[podUidLabel] === undefined) continue;
      podOf(sandbox.labels).sandboxes.push(await this.#sandboxView(sandbox));
    }
    for (const container of containers) {
      if (container.labels[podUidLabel] === undefined) continue;
      const view = await this.#containerView(container);
      if (view) podOf(container.labels).containers.push(view);
    }
    for (const pod of pods.values()) {
      pod.sandboxes.sort((a, b) => b.createdAtMs - a.createdAtMs || b.attempt - a.attempt);
      pod.containers.sort((a, b) => b.createdAtMs - a.createdAtMs || b.restartCount - a.restartCount);
    }
    return pods;
  }

  async #sandboxView(sandbox: Sandbox): Promise<SandboxView> {
    let known = this.#sandboxes.get(sandbox.id);
    if (known?.state !== sandbox.state) {
      const status = await this.#runtime.sandboxStatus(sandbox.id);
      const network = status?.network;
      const ips = [network?.ip ?? "", ...(network?.additionalIps ?? []).map((each) => each.ip)];
      known = { state: sandbox.state, ips: ips.filter((ip) => ip !== "") };
      this.#sandboxes.set(sandbox.id, known);
    }
    return {
      id: sandbox.id,
      attempt: sandbox.metadata.attempt,
      ready: sandbox.state === "SANDBOX_READY",
      createdAtMs: nanosecondsToMs(sandbox.createdAt),
      ips: known.ips,
    };
  }

  async #containerView(container: RuntimeContainer): Promise<ContainerView | undefined> {
    const known = this.#containers.get(container.id);
    if (known?.state === container.state) return known.view;
    const status = await this.#runtime.containerStatus(container.id);
    if (!status) return undefined;
    const view = viewOf(container, status);
    if (view.phase === "exited" && view.message === "")
      view.message = await readTerminationMessage(this.#paths, container, view);
    this.#containers.set(container.id, { state: status.state, view });
    return view;
  }

  #forget(sandboxes: readonly Sandbox[], containers: readonly RuntimeContainer[]): void {
    const ids = new Set([...sandboxes.map((each) => each.id), ...containers.map((each) => each.id)]);
    for (const id of this.#sandboxes.keys()) if (!ids.has(id)) this.#sandboxes.delete(id);
    for (const id of this.#containers.keys()) if (!ids.has(id)) this.#containers.delete(id);
  }
}

const phases: Readonly<Record<RuntimeContainerStatus["state"], ContainerPhase>> = {
  CONTAINER_CREATED: "created",
  CONTAINER_RUNNING: "running",
  CONTAINER_EXITED: "exited",
  CONTAINER_UNKNOWN: "unknown",
};

function viewOf(container: RuntimeContainer, status: RuntimeContainerStatus): ContainerView {
  return {
    id: container.id,
    name: container.labels[containerNameLabel] ?? container.metadata.name,
    sandboxId: container.podSandboxId,
    restartCount: Number(container.annotations[restartCountAnnotation] ?? container.metadata.attempt),
    phase: phases[status.state],
    createdAtMs: nanosecondsToMs(status.createdAt),
    startedAtMs: nanosecondsToMs(status.startedAt),
    finishedAtMs: nanosecondsToMs(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    image: status.image?.image ?? "",
    imageId: status.imageRef,
    hash: container.annotations[hashAnnotation] ?? "",
  };
}

function nanosecondsToMs(nanoseconds: string): number {
  return Math.max(0, Number(BigInt(nanoseconds) / 1_000_000n));
}
