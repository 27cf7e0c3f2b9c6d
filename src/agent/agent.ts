/**
 * The node agent: wires its parts together and keeps one worker per pod of this node. The pods come from
 * the API, what runs comes from the runtime; a pod that only the runtime knows is stopped and removed,
 * one that both know is adopted as it is.
 */
import { kubernetesVersion } from "#base/version.ts";
import { mkdir, readFile } from "node:fs/promises";
import type { Clock, Logger, Random, Timer } from "#base/ports.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import type { EventTarget } from "#client/event-recorder.ts";
import { createInformer } from "#client/informer.ts";
import type { IndexedInformer } from "#client/informer.ts";
import { systemClock, systemRandom } from "#client/system-clock.ts";
import type { Client } from "#client/types.ts";
import type { Taint } from "kubernetes-types/core/v1.js";
import { Cgroups } from "./cgroups.ts";
import { rotateLogs } from "./container-logs.ts";
import { recordPodEvent } from "./container-starter.ts";
import { Semaphore } from "./context.ts";
import type { AgentContext } from "./context.ts";
import { awaitRuntime } from "./cri/await-runtime.ts";
import { RuntimeCache } from "./cri/runtime-cache.ts";
import { RuntimeClient } from "./cri/runtime-client.ts";
import { ImagePuller } from "./image-puller.ts";
import { readLoad, readMachine } from "./node/machine.ts";
import type { Machine } from "./node/machine.ts";
import { Registration } from "./node/registration.ts";
import { AgentPaths } from "./paths.ts";
import { containerFieldPath, findContainer } from "./plan/containers.ts";
import { parseResolvConf } from "./plan/dns-config.ts";
import { nodeStatus } from "./plan/node-status.ts";
import { PodWorker } from "./pod-worker.ts";
import { ProbeManager } from "./probes/probe-manager.ts";
import { References } from "./references.ts";
import { nodeEvents } from "./plan/node-events.ts";
import { startAgentServer } from "./stream/server.ts";
import type { AgentServer, ServingOptions } from "./stream/server.ts";
import { Tokens } from "./tokens.ts";
import { pods, services } from "./types.ts";
import type { Pod, Service } from "./types.ts";
import { VolumeManager } from "./volumes/volume-manager.ts";

export interface AgentOptions {
  client: Client;
  nodeName: string;
  /** The node's addresses, the main one first. */
  nodeIPs: readonly string[];
  /** containerd's socket, which serves CRI. */
  containerdSocket: string;
  /** The agent's own directory; pods' files are below it. */
  dataDir: string;
  logger: Logger;
  clock?: Clock;
  random?: Random;
  /** Where pods' logs go. Default /var/log/pods. */
  logDir?: string;
  /** The cgroup above all pods. Default "/kubepods". */
  cgroupParent?: string;
  /** The listener for logs, exec and the like. Undefined: none (then the API can't reach pods' logs). */
  serving?: ServingOptions;
  /** Addresses of the cluster's DNS servers. */
  clusterDns: readonly string[];
  clusterDomain: string;
  /** Read for pods that use the node's resolver. Default /etc/resolv.conf. */
  resolvConf?: string;
  staticLabels?: Readonly<Record<string, string>>;
  taints?: readonly Taint[];
  maxPods?: number;
  /** Memory that pods can't request. Default 100 MiB. */
  reservedMemoryBytes?: number;
  version?: string;
  leaseDurationSeconds: number;
  leaseRenewMs: number;
  statusIntervalMs?: number;
}

export interface Agent {
  /** The node is registered and was Ready at its last look. */
  readonly ready: boolean;
  /** Port of the listener, 0 without one. */
  readonly port: number;
  /** Pods with their newest status, as this node knows them. */
  pods(): Pod[];
  /** What the listener shows from now on. */
  setCertificate(cert: string, key: string): void;
  /** Stops the agent. Containers go on; the next agent adopts them. */
  close(): Promise<void>;
}

/** Starts once containerd answers; rejects if it doesn't. The API may come later. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const paths = new AgentPaths(options.dataDir, options.logDir ?? "/var/log/pods");
  await mkdir(paths.logDir, { recursive: true, mode: 0o755 });
  await mkdir(paths.dataDir, { recursive: true });
  const agent = new NodeAgent(options, paths, await readMachine(options.dataDir));
  try {
    await agent.start();
  } catch (error) {
    await agent.close();
    throw error;
  }
  return agent;
}

const mebibyte = 1024 * 1024;
const logCheckMs = 10_000;

class NodeAgent implements Agent {
  #options: AgentOptions;
  #machine: Machine;
  #context: AgentContext;
  #workers = new Map<string, PodWorker>();
  #pods: IndexedInformer<Pod>;
  #services: IndexedInformer<Service>;
  #registration: Registration;
  #server: AgentServer | undefined;
  #logTimer: Timer | undefined;
  #runtimeVersion = "";
  #problem: string | undefined = "the agent is starting";
  #closed = false;

  constructor(options: AgentOptions, paths: AgentPaths, machine: Machine) {
    this.#options = options;
    this.#machine = machine;
    const { client, logger } = options;
    const clock = options.clock ?? systemClock;
    const runtime = new RuntimeClient(options.containerdSocket);
    const references = new References(client, clock, logger);
    const tokens = new Tokens(client, clock);
    const node = () => this.#nodeFacts();
    this.#pods = createInformer<Pod>({
      client,
      resource: pods,
      fieldSelector: `spec.nodeName=${options.nodeName}`,
      clock,
      logger,
    });
    this.#services = createInformer<Service>({ client, resource: services, clock, logger });
    const recorder = createEventRecorder({
      client,
      clock,
      logger,
      component: "kubelet",
      host: options.nodeName,
    });
    this.#context = {
      client,
      clock,
      logger,
      recorder,
      runtime,
      cache: new RuntimeCache(runtime, paths, clock, logger),
      images: new ImagePuller(runtime, clock),
      probes: new ProbeManager({
        runtime,
        clock,
        random: options.random ?? systemRandom,
        onVerdict: (uid) => this.#workers.get(uid)?.poke(),
        onFailure: (pod, name, kind, message) => {
          const sorted = findContainer(pod.spec, name);
          const text = `${kind[0]!.toUpperCase()}${kind.slice(1)} probe failed: ${message}`;
          const fieldPath = sorted ? containerFieldPath(sorted) : undefined;
          recordPodEvent(this.#context, pod, "Warning", "Unhealthy", text, fieldPath);
        },
      }),
      volumes: new VolumeManager({ client, paths, references, tokens, node }),
      references,
      tokens,
      cgroups: new Cgroups(options.cgroupParent ?? "/kubepods"),
      paths,
      clusterDns: { servers: options.clusterDns, domain: options.clusterDomain },
      hostDns: async () =>
        parseResolvConf(await readFile(options.resolvConf ?? "/etc/resolv.conf", "utf8").catch(() => "")),
      node,
      memoryCapacityBytes: machine.memoryBytes,
      services: () => this.#services.list(),
      servicesSynced: () => this.#services.synced,
      startLimit: new Semaphore(4),
    };
    this.#registration = new Registration({
      client,
      clock,
      logger,
      nodeName: options.nodeName,
      labels: this.#labels(),
      taints: options.taints ?? [],
      leaseDurationSeconds: options.leaseDurationSeconds,
      leaseRenewMs: options.leaseRenewMs,
      statusIntervalMs: options.statusIntervalMs ?? 10_000,
      status: (old) => this.#status(old?.conditions ?? []),
      onStatus: (before, after) => {
        for (const { type, reason, message } of nodeEvents(options.nodeName, before, after))
          recorder.event(nodeTarget(options.nodeName), type, reason, message);
      },
    });
  }

  get ready(): boolean {
    return this.#problem === undefined && this.#registration.node !== undefined;
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  setCertificate(cert: string, key: string): void {
    this.#server?.setCertificate(cert, key);
  }

  pods(): Pod[] {
    return [...this.#workers.values()].map(({ pod, status }) => (status ? { ...pod, status } : pod));
  }

  async start(): Promise<void> {
    const { runtime, cache, volumes, references, clock, logger } = this.#context;
    await awaitRuntime(runtime, clock, logger);
    const version = await runtime.version();
    this.#runtimeVersion = `${version.runtimeName}://${version.runtimeVersion.replace(/^v/, "")}`;
    await volumes.start();
    await cache.start();
    cache.onChange((uid) => {
      const worker = this.#workers.get(uid);
      if (worker) worker.poke();
      else this.#adoptOrphans();
    });
    references.onChange((uids) => {
      for (const uid of uids) this.#workers.get(uid)?.poke();
    });
    if (this.#options.serving)
      this.#server = await startAgentServer(this.#context, this.#options.serving, {
        pods: () => this.pods(),
        nodeName: this.#options.nodeName,
      });
    this.#context.recorder.event(
      nodeTarget(this.#options.nodeName),
      "Normal",
      "Starting",
      "Starting kubelet.",
    );
    this.#registration.start();
    this.#keepLogsSmall();
    this.#pods.onChange((pod, old) => this.#onPod(pod, old));
    for (const pod of this.#pods.list()) this.#onPod(pod, undefined);
    void this.#pods.whenSynced().then(async () => {
      this.#adoptOrphans();
      await this.#removeLeftovers().catch((error: unknown) => {
        this.#context.logger.warn("leftovers of pods could not be removed", { error: String(error) });
      });
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#logTimer?.cancel();
    this.#pods.stop();
    this.#services.stop();
    this.#registration.close();
    const { cache, probes, references, runtime, recorder } = this.#context;
    cache.close();
    probes.close();
    references.close();
    await this.#server?.close();
    await Promise.all([...this.#workers.values()].map((worker) => worker.close()));
    await recorder.flush();
    runtime.close();
  }

  #onPod(pod: Pod | undefined, old: Pod | undefined): void {
    if (this.#closed) return;
    const uid = (pod ?? old)?.metadata.uid ?? "";
    const worker = this.#workers.get(uid);
    if (pod) {
      // The name was deleted and made again between two looks.
      if (old && old.metadata.uid !== uid) this.#workers.get(old.metadata.uid ?? "")?.remove();
      (worker ?? this.#addWorker(pod)).update(pod);
    } else worker?.remove();
  }

  #addWorker(pod: Pod): PodWorker {
    const uid = pod.metadata.uid ?? "";
    const worker = new PodWorker(this.#context, pod, () => this.#workers.delete(uid));
    this.#workers.set(uid, worker);
    return worker;
  }

  /** Pods that run here but are not in the API any more: stopped and removed. */
  #adoptOrphans(): void {
    if (!this.#pods.synced || this.#closed) return;
    for (const { uid, name, namespace } of this.#context.cache.all()) {
      if (this.#workers.has(uid)) continue;
      const orphan: Pod = { metadata: { uid, name, namespace }, spec: { containers: [] } };
      this.#addWorker(orphan).remove();
    }
  }

  /** Files and cgroups of pods that neither the API nor the runtime knows: an agent died while cleaning up. */
  async #removeLeftovers(): Promise<void> {
    const { volumes, cgroups } = this.#context;
    for (const uid of await volumes.leftovers()) {
      if (this.#closed || this.#workers.has(uid)) continue;
      await volumes.remove(uid);
      await cgroups.remove(uid);
    }
  }

  #keepLogsSmall(): void {
    const { clock, logger } = this.#context;
    this.#logTimer = clock.setTimer(logCheckMs, () => {
      void rotateLogs(this.#context, clock.nowMs())
        .catch((error: unknown) => logger.warn("a log could not be turned over", { error: String(error) }))
        .then(() => {
          if (!this.#closed) this.#keepLogsSmall();
        });
    });
  }

  #nodeFacts() {
    const { nodeName, nodeIPs } = this.#options;
    const reserved = this.#options.reservedMemoryBytes ?? 100 * mebibyte;
    return {
      nodeName,
      hostIps: nodeIPs,
      allocatable: {
        cpu: this.#machine.cpuCount,
        memory: this.#machine.memoryBytes - reserved,
        "ephemeral-storage": Math.floor(this.#machine.ephemeralBytes * 0.9),
      },
    };
  }

  #labels(): Record<string, string> {
    const { nodeName, staticLabels } = this.#options;
    const architecture = this.#machine.architecture;
    return {
      "beta.kubernetes.io/arch": architecture,
      "beta.kubernetes.io/os": "linux",
      "kubernetes.io/arch": architecture,
      "kubernetes.io/hostname": nodeName,
      "kubernetes.io/os": "linux",
      ...staticLabels,
    };
  }

  async #status(old: Parameters<typeof nodeStatus>[3]) {
    const { nodeName, nodeIPs, dataDir, maxPods, reservedMemoryBytes, version } = this.#options;
    const { clock } = this.#context;
    this.#problem = await this.#findProblem();
    const load = await readLoad(dataDir);
    const images = this.#problem?.includes("runtime") ? [] : await this.#images();
    const facts = {
      nodeName,
      nodeIps: nodeIPs,
      agentPort: this.port,
      maxPods: maxPods ?? 110,
      reservedMemoryBytes: reservedMemoryBytes ?? 100 * mebibyte,
      runtimeVersion: this.#runtimeVersion,
      version: version ?? kubernetesVersion,
      ...this.#machine,
    };
    return nodeStatus(facts, { problem: this.#problem, ...load }, images, old, clock.nowMs());
  }

  /** Why the node can't run pods now, in upstream's words. */
  async #findProblem(): Promise<string | undefined> {
    const { runtime, cache } = this.#context;
    try {
      const bad = (await runtime.conditions()).filter((each) => !each.status);
      if (!cache.healthy) return "PLEG is not healthy: pleg was last seen active too long ago";
      const texts = bad.map(({ type, reason, message }) => {
        const what =
          type === "NetworkReady" ? "container runtime network not ready" : "container runtime not ready";
        return `${what}: ${type}=false reason:${reason} message:${message}`;
      });
      return texts.length > 0 ? texts.join(", ") : undefined;
    } catch {
      return "container runtime is down";
    }
  }

  async #images() {
    const list = await this.#context.runtime.listImages().catch(() => []);
    return list
      .map((image) => ({ names: [...image.repoDigests, ...image.repoTags], sizeBytes: Number(image.size) }))
      .filter((image) => image.names.length > 0)
      .sort((a, b) => b.sizeBytes - a.sizeBytes)
      .slice(0, 50);
  }
}

/** As upstream's agent names its node: by its name in the place of the uid, where "kubectl describe node" looks, too. */
function nodeTarget(name: string): EventTarget {
  return { apiVersion: "v1", kind: "Node", name, uid: name };
}
