/** A simulated machine that runs the real replica: its clock, its disk, its state, its end of the network. */

import type { Backend, WatchEvent } from "#base/backend.ts";
import type { Clock, Logger } from "#base/ports.ts";
import { parseMemberId } from "#replica/member-id.ts";
import { ReplicaNode } from "#replica/replica-node.ts";
import type { MemberRecord } from "#replica/types.ts";
import { MemoryStateDirectory } from "#store/state-directory.ts";
import type { SeededRandom } from "./seeded-random.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import type { SimulatedTime } from "./simulated-time.ts";
import { SimulatedTransport } from "./simulated-transport.ts";
import type { SimulatedNetwork } from "./simulated-transport.ts";

export interface ReplicaMachineEvents {
  onFatal(machine: ReplicaMachine, error: Error): void;
  onWatch(machine: ReplicaMachine, events: WatchEvent[], revision: number): void;
  /** The highest on any machine. */
  compactRevision(): number;
  trace(line: string): void;
}

export class ReplicaMachine {
  readonly memberId: string;
  readonly id: number;
  readonly state = new MemoryStateDirectory();
  readonly disk: SimulatedDisk;
  node: ReplicaNode | undefined;
  isPaused = false;
  /** Counts starts: who asked an earlier life for something gets no answer that counts. */
  life = 0;
  /** All revisions up to it have been seen by this machine's watch. */
  watchedRevision = 1;
  #clockErrorMs = 0;
  #deferred: (() => void)[] = [];
  readonly #time: SimulatedTime;
  readonly #random: SeededRandom;
  readonly #network: SimulatedNetwork;
  readonly #events: ReplicaMachineEvents;
  readonly #clusterId: string;
  readonly #peers: MemberRecord[];

  constructor(
    memberId: string,
    parts: {
      time: SimulatedTime;
      random: SeededRandom;
      network: SimulatedNetwork;
      events: ReplicaMachineEvents;
      clusterId: string;
      peers: MemberRecord[];
    },
  ) {
    this.memberId = memberId;
    this.id = parseMemberId(memberId);
    this.#time = parts.time;
    this.#random = parts.random;
    this.#network = parts.network;
    this.#events = parts.events;
    this.#clusterId = parts.clusterId;
    this.#peers = parts.peers;
    this.disk = new SimulatedDisk(this.#random, (delayMs, action) => this.#later(delayMs, action));
  }

  get isRunning(): boolean {
    return this.node !== undefined;
  }

  get backend(): Backend | undefined {
    return this.node?.backend;
  }

  start(): void {
    this.life++;
    const later = (delayMs: number, action: () => void): void => this.#later(delayMs, action);
    this.node = new ReplicaNode({
      config: { memberId: this.memberId, keptLogBytes: 20_000, segmentBytes: 1 << 16, timeoutMs: 3000 },
      ports: {
        clock: this.#clock(),
        random: this.#random,
        disk: this.disk,
        state: this.state,
        transport: new SimulatedTransport(this.id, this.#network, later),
        logger: this.#logger(),
      },
      targets: { voters: 3, standbys: 1, unresponsiveMs: 3000 },
      peers: this.#peers,
      clusterId: this.#clusterId,
      onFatal: (error) => this.#events.onFatal(this, error),
    });
    this.node.start();
    this.#watch();
  }

  /** The process dies; with a power cut, all that was not flushed is lost or torn as well. */
  crash(powerCut: boolean): void {
    if (this.node === undefined) return;
    this.#network.detach(this.id);
    const { node } = this;
    this.node = undefined;
    this.life++;
    this.isPaused = false;
    this.#deferred = [];
    node.kill();
    if (!powerCut) return;
    this.disk.powerCut();
    this.state.loseUnflushed();
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const action of deferred) action();
  }

  /** Wall time jumps; monotonic time does not. */
  jumpClock(byMs: number): void {
    this.#clockErrorMs += byMs;
  }

  #clock(): Clock {
    const { life } = this;
    return {
      nowMs: () => 1_800_000_000_000 + Math.floor(this.#time.nowMs + this.#clockErrorMs),
      monotonicMs: () => this.#time.nowMs,
      setTimer: (delayMs, callback) => {
        let isCancelled = false;
        this.#time.after(delayMs, () =>
          this.#run(life, () => {
            if (!isCancelled) callback();
          }),
        );
        return { cancel: () => (isCancelled = true) };
      },
    };
  }

  #later(delayMs: number, action: () => void): void {
    const { life } = this;
    this.#time.after(delayMs, () => this.#run(life, action));
  }

  #run(life: number, action: () => void): void {
    if (life !== this.life) return;
    if (this.isPaused) this.#deferred.push(() => this.#run(life, action));
    else action();
  }

  /** Everything, from where the last life's watch ended: no revision may be missed or seen twice. */
  #watch(): void {
    const { life } = this;
    const rewatch = (): void => this.#later(200, () => this.#watch());
    try {
      this.backend?.watch(
        { key: "\0", end: "\0", fromRevision: this.watchedRevision + 1 },
        {
          onEvents: (events, revision) => {
            if (life === this.life) this.#events.onWatch(this, events, revision);
          },
          onEnd: (error) => {
            if (life !== this.life || error === undefined) return;
            // What is compacted can't be watched any more; the watch has said so, which is its promise.
            const compacted = this.#events.compactRevision();
            this.watchedRevision = Math.max(this.watchedRevision, compacted - 1);
            rewatch();
          },
        },
      );
    } catch {
      rewatch();
    }
  }

  #logger(): Logger {
    const log = (message: string, fields?: Record<string, unknown>): void => {
      this.#events.trace(
        `${this.memberId} ${message}${fields === undefined ? "" : ` ${JSON.stringify(fields)}`}`,
      );
    };
    return { debug: log, info: log, warn: log, error: log };
  }
}
