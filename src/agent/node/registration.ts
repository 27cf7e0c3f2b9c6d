/**
 * The node's own object and its lease: registers the node, keeps its status true and renews the lease,
 * the small, frequent write by which others see that the node lives.
 */
import { crc32 } from "node:zlib";
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger, Timer } from "#base/ports.ts";
import { createInformer } from "#client/informer.ts";
import type { IndexedInformer } from "#client/informer.ts";
import type { Client } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { NodeSpec, NodeStatus, Taint } from "kubernetes-types/core/v1.js";
import { microTimestamp } from "../plan/timestamp.ts";
import { leases, nodes } from "../types.ts";

export interface NodeObject extends KubeObject {
  spec?: NodeSpec;
  status?: NodeStatus;
}

export interface RegistrationOptions {
  client: Client;
  clock: Clock;
  logger: Logger;
  nodeName: string;
  labels: Readonly<Record<string, string>>;
  taints: readonly Taint[];
  leaseDurationSeconds: number;
  leaseRenewMs: number;
  statusIntervalMs: number;
  /** The status as it is now. */
  status(old: NodeStatus | undefined): Promise<NodeStatus>;
  /** The API has a new status. `before`: what it had, undefined for a new node. */
  onStatus(before: NodeStatus | undefined, after: NodeStatus): void;
}

interface Lease extends KubeObject {
  spec?: { holderIdentity?: string; leaseDurationSeconds?: number; renewTime?: string };
}

const leaseNamespace = "kube-node-lease";
/** Even when nothing changes the whole status is written this often. */
const fullStatusMs = 5 * 60_000;

export class Registration {
  #options: RegistrationOptions;
  #node: NodeObject | undefined;
  #informer: IndexedInformer<NodeObject> | undefined;
  #lease: Lease | undefined;
  #lastText = "";
  #lastConditions = "";
  #lastWrittenMs = -Infinity;
  #timers = new Map<string, Timer>();
  #closed = false;
  #statusRun: Promise<void> | undefined;

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  get uid(): string | undefined {
    return this.#node?.metadata.uid;
  }

  get node(): NodeObject | undefined {
    return this.#node;
  }

  /** Begins; registers as soon as the API answers. */
  start(): void {
    const { client, clock, logger, nodeName } = this.#options;
    this.#informer = createInformer<NodeObject>({
      client,
      resource: nodes,
      fieldSelector: `metadata.name=${nodeName}`,
      clock,
      logger,
    });
    this.#informer.onChange((node) => this.#observe(node));
    this.#repeat(
      "lease",
      () => this.#leasePause(),
      () => this.#renew(),
    );
    this.#repeat(
      "status",
      () => this.#statusPause(),
      () => this.refreshStatus(),
    );
  }

  /** The status is computed and, where it differs, written. */
  async refreshStatus(): Promise<void> {
    this.#statusRun ??= this.#writeStatus().finally(() => {
      this.#statusRun = undefined;
    });
    await this.#statusRun;
  }

  close(): void {
    this.#closed = true;
    this.#informer?.stop();
    for (const timer of this.#timers.values()) timer.cancel();
  }

  /** The API's newest state: who was taken for dead says at once that it lives. */
  #observe(node: NodeObject | undefined): void {
    if (this.#closed || !this.#node) return;
    if (node) this.#node = node;
    else this.#node = undefined;
    if (node && conditionsText(node.status) === this.#lastConditions) return;
    this.#lastText = "";
    // A failure is tried again at the next interval.
    this.refreshStatus().catch(() => undefined);
  }

  /** While not Ready it is looked at every second, so that Ready is not late. */
  #statusPause(): number {
    const ready = this.#node?.status?.conditions?.some(
      (each) => each.type === "Ready" && each.status === "True",
    );
    return ready ? this.#options.statusIntervalMs : 1_000;
  }

  /**
   * All nodes renew within the same half second, as far as their clocks agree: a disk that writes for one of them is not
   * woken again for the next. Each at a moment of its own, or the API would be asked by many at once.
   */
  #leasePause(): number {
    const { clock, leaseRenewMs, nodeName } = this.#options;
    const ownMs = crc32(nodeName) % 500;
    return leaseRenewMs - ((clock.nowMs() - ownMs) % leaseRenewMs);
  }

  #repeat(name: string, pauseMs: () => number, work: () => Promise<void>): void {
    const run = async () => {
      let failed = false;
      try {
        await work();
      } catch (error) {
        failed = true;
        this.#options.logger.debug(`node ${name} could not be written, will be tried again`, {
          error: String(error),
        });
      }
      if (this.#closed) return;
      const delayMs = failed ? Math.min(1_000, pauseMs()) : pauseMs();
      this.#timers.set(
        name,
        this.#options.clock.setTimer(delayMs, () => void run()),
      );
    };
    void run();
  }

  async #writeStatus(): Promise<void> {
    const { client, nodeName, clock } = this.#options;
    if (!this.#node) this.#node = await this.#register();
    const before = this.#node.status;
    const status = await this.#options.status(before);
    const text = JSON.stringify(withoutHeartbeats(status));
    const nowMs = clock.monotonicMs();
    if (text === this.#lastText && nowMs - this.#lastWrittenMs < fullStatusMs) return;
    try {
      this.#lastConditions = conditionsText(status);
      const patch = { status };
      this.#node = await client.patch<NodeObject>(nodes, undefined, nodeName, "strategic", patch, {
        subresource: "status",
      });
      this.#lastText = text;
      this.#lastWrittenMs = nowMs;
      this.#options.onStatus(before, status);
    } catch (error) {
      if (error instanceof StatusError && error.code === 404) this.#node = undefined;
      throw error;
    }
  }

  async #register(): Promise<NodeObject> {
    const { client, nodeName, labels, taints } = this.#options;
    const present = await client.get<NodeObject>(nodes, undefined, nodeName).catch((error: unknown) => {
      if (error instanceof StatusError && error.code === 404) return undefined;
      throw error;
    });
    if (present) {
      const missing = Object.entries(labels).filter(
        ([key, value]) => present.metadata.labels?.[key] !== value,
      );
      if (missing.length === 0) return present;
      const patch = { metadata: { labels: Object.fromEntries(missing) } };
      return client.patch<NodeObject>(nodes, undefined, nodeName, "strategic", patch);
    }
    const notReady = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" };
    const status = await this.#options.status(undefined);
    const made = await client.create<NodeObject>(nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name: nodeName,
        labels: { ...labels },
        annotations: { "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
      },
      // Until the node controller has seen it Ready, nothing is put here.
      spec: { taints: [notReady, ...taints] },
      status,
    });
    this.#options.onStatus(undefined, status);
    return made;
  }

  async #renew(): Promise<void> {
    const { client, clock, nodeName, leaseDurationSeconds } = this.#options;
    const spec = {
      holderIdentity: nodeName,
      leaseDurationSeconds,
      renewTime: microTimestamp(clock.nowMs()),
    };
    try {
      if (this.#lease) {
        this.#lease = await client.update<Lease>(leases, {
          ...this.#lease,
          spec: { ...this.#lease.spec, ...spec },
        });
        return;
      }
      const lease = await client.get<Lease>(leases, leaseNamespace, nodeName);
      this.#lease = await client.update<Lease>(leases, { ...lease, spec: { ...lease.spec, ...spec } });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.#lease = undefined;
      if (error.code !== 404) throw error;
      this.#lease = await client.create<Lease>(leases, this.#newLease(spec));
    }
  }

  #newLease(spec: NonNullable<Lease["spec"]>): Lease {
    const { nodeName } = this.#options;
    const uid = this.#node?.metadata.uid;
    return {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: {
        name: nodeName,
        namespace: leaseNamespace,
        ...(uid === undefined
          ? {}
          : { ownerReferences: [{ apiVersion: "v1", kind: "Node", name: nodeName, uid }] }),
      },
      spec,
    };
  }
}

/** Only what this agent writes: other conditions are others'. */
function conditionsText(status: NodeStatus | undefined): string {
  return (status?.conditions ?? [])
    .filter((each) => ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].includes(each.type))
    .map((each) => `${each.type}=${each.status}`)
    .sort()
    .join();
}

function withoutHeartbeats(status: NodeStatus): unknown {
  return {
    ...status,
    conditions: (status.conditions ?? []).map((each) => ({ ...each, lastHeartbeatTime: undefined })),
  };
}
