/** What the parts of one agent share. Everything is injected; nothing is a global. */
import type { Clock, Logger } from "#base/ports.ts";
import type { Client } from "#client/types.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Cgroups } from "./cgroups.ts";
import type { RuntimeCache } from "./cri/runtime-cache.ts";
import type { RuntimeClient } from "./cri/runtime-client.ts";
import type { ImagePuller } from "./image-puller.ts";
import type { AgentPaths } from "./paths.ts";
import type { ClusterDns, DnsConfig } from "./plan/dns-config.ts";
import type { NodeFacts } from "./plan/field-ref.ts";
import type { ProbeManager } from "./probes/probe-manager.ts";
import type { References } from "./references.ts";
import type { Tokens } from "./tokens.ts";
import type { Service } from "./types.ts";
import type { VolumeManager } from "./volumes/volume-manager.ts";

export interface AgentContext {
  client: Client;
  clock: Clock;
  logger: Logger;
  recorder: EventRecorder;
  runtime: RuntimeClient;
  cache: RuntimeCache;
  images: ImagePuller;
  probes: ProbeManager;
  volumes: VolumeManager;
  references: References;
  tokens: Tokens;
  cgroups: Cgroups;
  paths: AgentPaths;
  clusterDns: ClusterDns;
  /** The node's own resolver, read anew at each use. */
  hostDns: () => Promise<DnsConfig>;
  node: () => NodeFacts;
  memoryCapacityBytes: number;
  services(): Service[];
  /** The services informer has its first list: environments made now are complete. */
  servicesSynced(): boolean;
  /** At most this many sandboxes and containers are being started at once. */
  startLimit: Semaphore;
}

/** Lets a bounded number of tasks run at once, first come first served. */
export class Semaphore {
  #free: number;
  #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async use<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
