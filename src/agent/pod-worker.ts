/**
 * One pod on this node, from its arrival to its end: asks the plan what to do, does it, and tells the API
 * how it stands. One sync at a time; every change pokes the next. States only go forward:
 * running, terminating (asked to stop), ended (nothing runs any more), finished (nothing is left).
 */
import { readFile, rm } from "node:fs/promises";
import { StatusError } from "#base/errors.ts";
import type { Timer } from "#base/ports.ts";
import { StartError, recordPodEvent, startContainer } from "./container-starter.ts";
import { removeLog } from "./container-logs.ts";
import type { AgentContext } from "./context.ts";
import { errorText, isNotFound } from "./cri/runtime-client.ts";
import { sandboxConfig } from "./cri/sandbox-config.ts";
import type { SandboxConfig } from "./cri/messages.ts";
import { nextBackoff } from "./plan/backoff.ts";
import type { BackoffEntry } from "./plan/backoff.ts";
import { containerFieldPath, findContainer } from "./plan/containers.ts";
import { hostsFile, podDns } from "./plan/dns-config.ts";
import { garbage } from "./plan/garbage.ts";
import { computePodStatus } from "./plan/pod-status.ts";
import type { PodView } from "./plan/runtime-view.ts";
import { planPodSync } from "./plan/sync-plan.ts";
import type { StartStep, SyncPlan, WaitingReason } from "./plan/sync-plan.ts";
import { gracePeriodSeconds } from "./plan/termination.ts";
import { stopContainer, stopPod } from "./pod-stopper.ts";
import { StatusPublisher } from "./status-publisher.ts";
import { pods } from "./types.ts";
import type { Pod, PodStatus } from "./types.ts";
import { writeHosts } from "./volumes/container-mounts.ts";
import { VolumeError } from "./volumes/volume-manager.ts";

type Stage = "running" | "terminating" | "ended" | "finished";

const retryMs = 2_000;

export class PodWorker {
  readonly uid: string;
  #context: AgentContext;
  #pod: Pod;
  #stage: Stage = "running";
  /** The API no longer has the pod: nothing is to be reported or deleted there. */
  #removed = false;
  #rejected: { reason: string; message: string } | undefined;
  #status: PodStatus | undefined;
  #publisher: StatusPublisher;
  #backoff = new Map<string, BackoffEntry>();
  #waiting = new Map<string, WaitingReason>();
  #retryAt = new Map<string, number>();
  #dirty = false;
  #loop: Promise<void> | undefined;
  #timer: Timer | undefined;
  #failures = 0;
  #abort = new AbortController();
  #stopGraceSeconds = Infinity;
  #closed = false;
  #onFinished: () => void;

  /**
   * Does nothing until `update` or `remove` is called.
   * @param onFinished called once nothing of the pod is left on this node and in the API.
   */
  constructor(context: AgentContext, pod: Pod, onFinished: () => void) {
    this.#context = context;
    this.#pod = pod;
    this.uid = pod.metadata.uid ?? "";
    this.#status = pod.status;
    this.#publisher = new StatusPublisher(context.client, context.clock, context.logger, pod);
    this.#onFinished = onFinished;
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** The status as the agent knows it, newer than the API's. */
  get status(): PodStatus | undefined {
    return this.#status;
  }

  /** The pod as the API has it now. */
  update(pod: Pod): void {
    this.#pod = pod;
    this.#publisher.observe(pod);
    if (pod.metadata.deletionTimestamp !== undefined) this.#terminate();
    this.poke();
  }

  /** The API has removed the pod (or never had it): stop it and leave nothing behind. */
  remove(): void {
    this.#removed = true;
    this.#publisher.close();
    this.#terminate();
    this.poke();
  }

  /** Refuses or evicts the pod: it ends as Failed with this reason. */
  reject(reason: string, message: string): void {
    this.#rejected = { reason, message };
    this.#terminate();
    this.poke();
  }

  /** Something about the pod may have changed. */
  poke(): void {
    this.#dirty = true;
    if (this.#closed || this.#loop || this.#stage === "finished") return;
    this.#loop = this.#run().finally(() => {
      this.#loop = undefined;
      if (this.#dirty) this.poke();
    });
  }

  /** Leaves the pod's containers as they are. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#abort.abort();
    this.#timer?.cancel();
    this.#publisher.close();
    await this.#loop;
  }

  #terminate(): void {
    if (this.#stage === "running") {
      this.#stage = "terminating";
      // Gives up a pull: the pod isn't wanted any more.
      this.#abort.abort();
      return;
    }
    if (this.#stage === "terminating") void this.#hurry();
  }

  /** A shorter grace period has come while containers are being stopped. */
  async #hurry(): Promise<void> {
    const seconds = gracePeriodSeconds(this.#pod);
    if (seconds >= this.#stopGraceSeconds) return;
    this.#stopGraceSeconds = seconds;
    const live = this.#context.cache.view(this.uid).containers.filter((each) => each.phase === "running");
    await Promise.allSettled(live.map((each) => this.#context.runtime.stopContainer(each.id, seconds)));
  }

  async #run(): Promise<void> {
    while (this.#dirty && !this.#closed && this.#stage !== "finished") {
      this.#dirty = false;
      this.#timer?.cancel();
      try {
        await this.#sync();
        this.#failures = 0;
      } catch (error) {
        if (this.#closed) return;
        this.#failures++;
        this.#context.logger.warn("sync of a pod failed, will be tried again", {
          pod: `${this.#pod.metadata.namespace}/${this.#pod.metadata.name}`,
          error: errorText(error),
        });
        this.#wake(Math.min(retryMs * 2 ** (this.#failures - 1), 60_000));
      }
    }
  }

  #wake(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#context.clock.setTimer(delayMs, () => this.poke());
  }

  async #sync(): Promise<void> {
    if (this.#stage === "terminating") await this.#end();
    if (this.#stage === "ended") await this.#finish();
    if (this.#stage !== "running") return;
    if (isTerminal(this.#pod)) {
      this.#stage = "terminating";
      this.#dirty = true;
      return;
    }
    const view = this.#context.cache.view(this.uid);
    this.#watchProbes(view);
    const plan = this.#plan(view);
    for (const [name, reason] of this.#waiting)
      if (!plan.waiting.has(name) && !this.#isHeld(name) && reason.reason === "CrashLoopBackOff")
        this.#waiting.delete(name);
    for (const [name, reason] of plan.waiting) this.#holdBack(name, reason);
    this.#report(view);
    await this.#carryOut(plan, view);
  }

  #plan(view: PodView): SyncPlan {
    const { clock, probes } = this.#context;
    return planPodSync({
      pod: this.#pod,
      view,
      nowMs: clock.nowMs(),
      backoff: (name) => this.#backoff.get(name),
      probeFailed: (id) => probes.failed(id),
      started: (id) => probes.started(id),
    });
  }

  #holdBack(name: string, reason: WaitingReason): void {
    if (this.#waiting.get(name)?.message !== reason.message) {
      const { namespace } = this.#pod.metadata;
      const message = `Back-off restarting failed container ${name} in pod ${this.#pod.metadata.name}_${namespace}(${this.uid})`;
      this.#event("Warning", "BackOff", message, name);
    }
    this.#waiting.set(name, reason);
  }

  async #carryOut(plan: SyncPlan, view: PodView): Promise<void> {
    const { cache } = this.#context;
    let wakeMs = plan.wakeAfterMs ?? Infinity;
    if (plan.stopPod) {
      await stopPod(this.#context, this.#pod, view, gracePeriodSeconds(this.#pod));
      view = await cache.refresh(this.uid);
    }
    if (plan.stopPod && plan.createSandbox === undefined) {
      this.#stage = "terminating";
      this.#dirty = true;
      return;
    }
    for (const { container, message, probe } of plan.stop)
      await stopContainer(
        this.#context,
        this.#pod,
        container,
        this.#probeGrace(container.name, probe),
        message,
      );
    const due = plan.start.filter((step) => {
      const leftMs = (this.#retryAt.get(step.container.name) ?? 0) - this.#context.clock.monotonicMs();
      if (leftMs > 0) wakeMs = Math.min(wakeMs, leftMs);
      return leftMs <= 0;
    });
    if (due.length > 0 || plan.createSandbox !== undefined) await this.#start(plan, due);
    else await this.#refreshVolumes(view);
    const after =
      due.length > 0 || plan.stop.length > 0 ? await cache.refresh(this.uid) : cache.view(this.uid);
    if (this.#stage !== "running") return;
    this.#watchProbes(after);
    await this.#collectGarbage(after);
    this.#report(after);
    // What was just started may allow the next: an init container that is done, a container that failed at once.
    if (due.some((step) => !this.#isHeld(step.container.name))) this.#dirty = true;
    for (const at of this.#retryAt.values())
      wakeMs = Math.min(wakeMs, Math.max(at - this.#context.clock.monotonicMs(), 10));
    const hasFiles = (this.#pod.spec.volumes ?? []).some((each) => each.projected);
    if (hasFiles) wakeMs = Math.min(wakeMs, 60_000);
    if (wakeMs !== Infinity) this.#wake(wakeMs);
  }

  async #start(plan: SyncPlan, due: readonly StartStep[]): Promise<void> {
    const context = this.#context;
    const pod = this.#pod;
    const known = context.cache.view(this.uid).sandboxes[0]?.ips ?? [];
    let volumes: Map<string, string>;
    try {
      await context.references.use(pod);
      volumes = await context.volumes.prepare(pod, this.#ips(known));
    } catch (error) {
      const message =
        error instanceof VolumeError ? error.message : `MountVolume.SetUp failed : ${errorText(error)}`;
      this.#event("Warning", "FailedMount", message);
      throw error;
    }
    const attempt = plan.createSandbox ?? plan.sandbox?.attempt ?? 0;
    const config = await this.#sandboxConfig(attempt);
    let sandboxId = plan.sandbox?.id;
    if (plan.createSandbox !== undefined) sandboxId = await this.#createSandbox(config);
    if (sandboxId === undefined) return;
    const view = await context.cache.refresh(this.uid);
    const ips = this.#ips(view.sandboxes[0]?.ips ?? []);
    if (plan.createSandbox !== undefined) {
      await this.#writeHosts(ips);
      // Now that the address is known, files that show it can be right.
      volumes = await context.volumes.prepare(pod, ips);
      this.#report(view);
    }
    for (const step of due) {
      if (this.#abort.signal.aborted) return;
      await this.#startOne(step, { sandboxId, config, ips, volumes, view });
    }
  }

  async #startOne(
    step: StartStep,
    at: {
      sandboxId: string;
      config: SandboxConfig;
      ips: readonly string[];
      volumes: ReadonlyMap<string, string>;
      view: PodView;
    },
  ): Promise<void> {
    const { clock, logger } = this.#context;
    const { name } = step.container;
    if (step.afterExit) this.#backoff.set(name, nextBackoff(this.#backoff.get(name), clock.nowMs()));
    const input = {
      pod: this.#pod,
      step,
      sandboxId: at.sandboxId,
      sandboxConfig: at.config,
      podIps: at.ips,
      volumes: at.volumes,
      view: at.view,
      signal: this.#abort.signal,
    };
    try {
      await startContainer(this.#context, input);
      this.#waiting.delete(name);
      this.#retryAt.delete(name);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (!(error instanceof StartError)) throw error;
      logger.debug("a container could not be started", { name, reason: error.reason, error: error.message });
      this.#waiting.set(name, { reason: error.reason, message: error.message });
      this.#retryAt.set(name, clock.monotonicMs() + Math.max(error.retryAfterMs, 1_000));
    }
  }

  async #sandboxConfig(attempt: number): Promise<SandboxConfig> {
    const { clusterDns, cgroups, paths, hostDns } = this.#context;
    return sandboxConfig({
      pod: this.#pod,
      attempt,
      logDirectory: paths.podLogsOf(this.#pod),
      dns: podDns(this.#pod, clusterDns, await hostDns()),
      clusterDomain: clusterDns.domain,
      cgroupParent: cgroups.podPath(this.#pod),
    });
  }

  async #createSandbox(config: SandboxConfig): Promise<string> {
    const { cgroups, runtime, startLimit } = this.#context;
    try {
      await cgroups.create(this.#pod);
      return await startLimit.use(() => runtime.runSandbox(config));
    } catch (error) {
      this.#event("Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${errorText(error)}`);
      throw error;
    }
  }

  /** Carries changed ConfigMaps, Secrets and tokens into the running pod. */
  async #refreshVolumes(view: PodView): Promise<void> {
    const { references, volumes } = this.#context;
    if (view.sandboxes[0] === undefined || (this.#pod.spec.volumes ?? []).length === 0) return;
    try {
      await references.use(this.#pod);
      await volumes.prepare(this.#pod, this.#ips(view.sandboxes[0].ips));
    } catch (error) {
      this.#event("Warning", "FailedMount", errorText(error));
      throw error;
    }
  }

  async #writeHosts(ips: readonly string[]): Promise<void> {
    const { paths, clusterDns } = this.#context;
    const own = this.#pod.spec.hostNetwork ? await readFile("/etc/hosts", "utf8") : "";
    await writeHosts(paths.hosts(this.uid), hostsFile(this.#pod, ips, clusterDns.domain, own));
  }

  #ips(sandboxIps: readonly string[]): readonly string[] {
    return this.#pod.spec.hostNetwork ? this.#context.node().hostIps : sandboxIps;
  }

  #isHeld(name: string): boolean {
    return (this.#retryAt.get(name) ?? 0) > this.#context.clock.monotonicMs();
  }

  #probeGrace(name: string, probe: "liveness" | "startup" | undefined): number {
    const container = findContainer(this.#pod.spec, name)?.container;
    const own =
      probe === "liveness"
        ? container?.livenessProbe
        : probe === "startup"
          ? container?.startupProbe
          : undefined;
    return gracePeriodSeconds(this.#pod, own?.terminationGracePeriodSeconds);
  }

  #watchProbes(view: PodView): void {
    const { probes } = this.#context;
    const live = view.containers.filter((each) => each.phase === "running");
    probes.retain(this.uid, new Set(live.map((each) => each.id)));
    if (this.#stage !== "running") return;
    const statuses = [
      ...(this.#pod.status?.containerStatuses ?? []),
      ...(this.#pod.status?.initContainerStatuses ?? []),
    ];
    for (const each of live) {
      const container = findContainer(this.#pod.spec, each.name)?.container;
      if (!container) continue;
      const wasReady = statuses.some((old) => old.ready && old.containerID === `containerd://${each.id}`);
      const podIp = this.#ips(view.sandboxes[0]?.ips ?? [])[0] ?? "";
      probes.watch({
        pod: this.#pod,
        container,
        containerId: each.id,
        podIp,
        startedAtMs: each.startedAtMs,
        wasReady,
      });
    }
  }

  async #collectGarbage(view: PodView): Promise<void> {
    const { runtime, paths } = this.#context;
    const old = garbage(view);
    for (const container of old.containers) {
      await ignoreMissing(runtime.removeContainer(container.id));
      const log = `${paths.podLogsOf(this.#pod)}/${container.name}/${container.restartCount}.log`;
      await removeLog(log);
    }
    for (const id of old.sandboxes) await ignoreMissing(runtime.removeSandbox(id));
  }

  #report(view: PodView): void {
    if (this.#removed) return;
    const { clock, node, probes } = this.#context;
    const others = this.#pod.status?.conditions ?? [];
    const own = this.#status?.conditions ?? [];
    const conditions = [...others.filter((each) => !own.some((mine) => mine.type === each.type)), ...own];
    // Readiness gates are others' words: the API's are the newest.
    const fresh = conditions.map((each) =>
      isOwn(each.type) ? each : (others.find((other) => other.type === each.type) ?? each),
    );
    const status = computePodStatus({
      pod: { ...this.#pod, status: { ...this.#pod.status, ...this.#status, conditions: fresh } },
      view,
      nowMs: clock.nowMs(),
      hostIps: node().hostIps,
      ended: this.#stage === "ended",
      rejected: this.#rejected,
      waiting: this.#waiting,
      ready: (id) => probes.ready(id),
      started: (id) => probes.started(id),
    });
    this.#status = status;
    this.#publisher.publish(status);
  }

  /** Stops everything. Afterwards nothing of the pod runs. */
  async #end(): Promise<void> {
    const { cache } = this.#context;
    const view = await cache.refresh(this.uid);
    this.#report(view);
    const removedGrace = this.#pod.metadata.deletionGracePeriodSeconds ?? 1;
    this.#stopGraceSeconds = this.#removed ? Math.max(removedGrace, 1) : gracePeriodSeconds(this.#pod);
    await stopPod(this.#context, this.#pod, view, this.#stopGraceSeconds);
    const after = await cache.refresh(this.uid);
    this.#stage = "ended";
    this.#waiting.clear();
    this.#report(after);
  }

  /** Cleans up, and once the pod is deleted takes it out of the API. */
  async #finish(): Promise<void> {
    const { volumes, cgroups, references, tokens, images, probes, cache } = this.#context;
    probes.retain(this.uid, new Set());
    references.release(this.uid);
    tokens.release(this.uid);
    images.release(this.uid);
    const deleting = this.#removed || this.#pod.metadata.deletionTimestamp !== undefined;
    if (deleting) await this.#removeContainers(cache.view(this.uid));
    await volumes.remove(this.uid);
    await cgroups.remove(this.uid);
    if (!deleting) return;
    await this.#publisher.flush();
    if (!this.#removed) await this.#deleteFromApi();
    this.#stage = "finished";
    this.#onFinished();
  }

  async #removeContainers(view: PodView): Promise<void> {
    const { runtime, paths, cache } = this.#context;
    for (const container of view.containers) await ignoreMissing(runtime.removeContainer(container.id));
    for (const sandbox of view.sandboxes) await ignoreMissing(runtime.removeSandbox(sandbox.id));
    await rm(paths.podLogsOf(this.#pod), { recursive: true, force: true });
    await cache.refresh(this.uid);
  }

  async #deleteFromApi(): Promise<void> {
    const { namespace, name } = this.#pod.metadata;
    try {
      await this.#context.client.delete(pods, namespace, name ?? "", {
        gracePeriodSeconds: 0,
        preconditions: { uid: this.uid },
      });
    } catch (error) {
      // Gone already, or another pod has the name by now.
      if (error instanceof StatusError && (error.code === 404 || error.code === 409)) return;
      throw error;
    }
  }

  #event(type: "Normal" | "Warning", reason: string, message: string, container?: string): void {
    const sorted = container === undefined ? undefined : findContainer(this.#pod.spec, container);
    recordPodEvent(
      this.#context,
      this.#pod,
      type,
      reason,
      message,
      sorted ? containerFieldPath(sorted) : undefined,
    );
  }
}

function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded";
}

function isOwn(type: string): boolean {
  return ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].includes(
    type,
  );
}

async function ignoreMissing(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
