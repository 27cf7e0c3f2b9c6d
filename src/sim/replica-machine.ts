/**
 * A simulated machine that runs the real replica: its clock, its disk, its state, its end of the network, and
 * what a node's process does around it (`open-replica.ts`): a damaged copy is laid aside and another is got
 * under a new id.
 */

import type { Backend } from "#base/backend.ts";
import { FatalError } from "#base/errors.ts";
import type { Clock, Logger } from "#base/ports.ts";
import type { ClusterState } from "#replica/cluster-state.ts";
import { isDamage } from "#replica/errors.ts";
import { newMemberId, parseMemberId } from "#replica/member-id.ts";
import { ReplicaNode } from "#replica/replica-node.ts";
import type { MemberRecord, RoleTargets } from "#replica/types.ts";
import type { Applied, Store } from "#store/store.ts";
import { DurableLog } from "./durable-log.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { DiskUser } from "./simulated-disk.ts";
import { CrashSignal, SimulatedDisk } from "./simulated-disk.ts";
import { SimulatedState } from "./simulated-state.ts";
import type { SimulatedTime } from "./simulated-time.ts";
import { SimulatedTransport } from "./simulated-transport.ts";
import type { SimulatedNetwork } from "./simulated-transport.ts";

export interface ReplicaMachineEvents {
  onFatal(machine: ReplicaMachine, error: Error): void;
  onApplied(machine: ReplicaMachine, store: Store, term: number, applied: Applied): void;
  /** An entry has become durable. */
  onDurable(machine: ReplicaMachine, index: number, term: number, content: number): void;
  /** What was on its disk under this id is lost. */
  onCopyLost(id: number, log: DurableLog): void;
  /** Something has happened in it. */
  onStep(machine: ReplicaMachine): void;
  onReceive(machine: ReplicaMachine): void;
  trace(line: string): void;
}

/** What all machines of a run have in common. */
export interface MachineSettings {
  keptLogBytes: number;
  segmentBytes: number;
  snapshotChunkBytes: number;
  targets: RoleTargets;
}

interface MachineParts {
  time: SimulatedTime;
  random: SeededRandom;
  network: SimulatedNetwork;
  events: ReplicaMachineEvents;
  clusterId: string;
  settings: MachineSettings;
}

interface CrashPlan {
  operations: number;
  powerCut: boolean;
  restartAfterMs: number;
}

export class ReplicaMachine {
  /** Changes when its copy is replaced. */
  memberId: string;
  readonly name: string;
  readonly number: number;
  readonly disk: SimulatedDisk;
  readonly state: SimulatedState;
  durableLog: DurableLog;
  node: ReplicaNode | undefined;
  isPaused = false;
  /** Removed from the cluster and switched off. */
  isGone = false;
  /** It has lost its copy and is not yet back in the cluster. */
  isRejoining = false;
  /** Something was done to its disk after which it may find its copy damaged. */
  mayBeDamaged = false;
  /** It has found its copy damaged while it ran: the next start does not trust it. */
  isMarkedDamaged = false;
  /** Counts starts: who asked an earlier life for something gets no answer that counts. */
  life = 0;
  /** Set: it dies within the operation of its disk or state that comes after so many others. */
  crashPlan: CrashPlan | undefined;
  /** A deliberate fault: a machine whose copy is lost starts as if it were its old self. */
  keepsIdWithoutCopy = false;
  /** How fast its clock goes: 1 is right. */
  readonly clockRate: number;
  #clockErrorMs = 0;
  #deferred: (() => void)[] = [];
  #corpse: { node: ReplicaNode | undefined; plan: CrashPlan } | undefined;
  #peers: MemberRecord[];
  #replaces: MemberRecord | undefined;
  #lastCluster: ClusterState | undefined;
  readonly #parts: MachineParts;

  constructor(
    member: { id: string; name: string; number: number; peers: MemberRecord[]; clockRate: number },
    parts: MachineParts,
  ) {
    this.memberId = member.id;
    this.name = member.name;
    this.number = member.number;
    this.clockRate = member.clockRate;
    this.#peers = member.peers;
    this.#parts = parts;
    this.disk = new SimulatedDisk(parts.random);
    this.state = new SimulatedState(parts.random);
    this.durableLog = this.#observeLog();
  }

  /** Raft's id. */
  get id(): number {
    return parseMemberId(this.memberId);
  }

  get isRunning(): boolean {
    return this.node !== undefined;
  }

  get backend(): Backend | undefined {
    return this.node?.backend;
  }

  get leads(): boolean {
    return this.node?.replica.leadership.leading === true;
  }

  /** True if this entry has reached its disk for good, as itself or within a checkpoint or snapshot. */
  holdsDurably(index: number, term: number): boolean {
    return this.durableLog.holds(index, term);
  }

  /** Starts the process. A damaged copy is laid aside, if that was to be expected. */
  start(): void {
    this.life++;
    this.isPaused = false;
    try {
      if (this.isMarkedDamaged) this.#replaceIfPossible("found while it ran");
      this.#open();
    } catch (error) {
      this.#parts.network.detach(this.id);
      this.node = undefined;
      this.life++;
      if (error instanceof CrashSignal) return;
      if (!isDamage(error) || !this.mayBeDamaged) throw error;
      this.replaceCopy(String(error));
      this.#open();
    }
    this.#rejoin();
  }

  /** The process dies; with a power cut, all that was not flushed is lost or torn as well. */
  crash(powerCut: boolean): void {
    if (this.node === undefined) return;
    const { node } = this;
    this.#end();
    node.kill();
    if (powerCut) this.#cutPower();
  }

  /** Ends the process as `trivet` does when it is told to. */
  async stop(): Promise<void> {
    const { node, life } = this;
    await node?.stop();
    if (life === this.life) this.#end();
  }

  /**
   * A machine that has died within an operation of its disk is now really dead. Returns after how many
   * milliseconds it is to start again, or undefined if there is nothing of the kind.
   */
  buryCorpse(): number | undefined {
    const corpse = this.#corpse;
    if (corpse === undefined) return undefined;
    this.#corpse = undefined;
    corpse.node?.kill();
    if (corpse.plan.powerCut) this.#cutPower();
    return corpse.plan.restartAfterMs;
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

  #replaceIfPossible(reason: string): void {
    this.isMarkedDamaged = false;
    const members = this.#lastCluster?.members ?? this.#peers;
    if (members.some(({ id }) => id !== this.memberId)) this.replaceCopy(reason);
    else this.mayBeDamaged = false;
  }

  #observeLog(): DurableLog {
    return new DurableLog((index, term, content) => this.#parts.events.onDurable(this, index, term, content));
  }

  /** As `beginAnew` of open-replica.ts does: nothing of the old copy is used again, not even its id. */
  replaceCopy(reason: string): void {
    this.trace(`begins anew: ${reason}`);
    // The others' list may be older than this machine's admission; the one that it was given then is not.
    const isListed = this.#lastCluster?.members.some(({ id }) => id === this.memberId) === true;
    const members = isListed ? (this.#lastCluster?.members ?? []) : this.#peers;
    const own = members.find(({ id }) => id === this.memberId) ?? this.#replaces;
    if (own === undefined) throw new FatalError("corrupt", `${this.name} does not know itself: ${reason}`);
    const peers = members.filter(({ id }) => id !== this.memberId && id !== own.id);
    if (peers.length === 0) throw new FatalError("corrupt", `nobody else has a copy: ${reason}`);
    this.disk.wipe();
    this.state.wipe();
    this.#parts.events.onCopyLost(this.id, this.durableLog);
    this.durableLog = this.#observeLog();
    if (this.keepsIdWithoutCopy) return;
    this.#replaces = own;
    this.#peers = peers;
    this.memberId = newMemberId(this.#parts.random);
    this.isRejoining = true;
    this.mayBeDamaged = false;
  }

  trace(line: string): void {
    this.#parts.events.trace(`${this.name} ${line}`);
  }

  #open(): void {
    const { settings, clusterId, network } = this.#parts;
    const { life } = this;
    const user = this.#user();
    const node = new ReplicaNode({
      config: {
        memberId: this.memberId,
        keptLogBytes: settings.keptLogBytes,
        segmentBytes: settings.segmentBytes,
        snapshotChunkBytes: settings.snapshotChunkBytes,
        timeoutMs: 3000,
      },
      ports: {
        clock: this.#clock(),
        random: this.#parts.random,
        disk: this.disk.mount(user),
        state: this.state.mount(user),
        transport: new SimulatedTransport(this.id, network, user),
        logger: this.#logger(),
      },
      targets: settings.targets,
      peers: this.#peers,
      clusterId,
      onFatal: (error) => {
        if (life === this.life) this.#onFatal(error);
      },
    });
    this.node = node;
    node.start();
  }

  #onFatal(error: Error): void {
    this.#parts.events.onFatal(this, error);
  }

  /** Until the others have taken this machine back, under its new id. */
  #rejoin(): void {
    const old = this.#replaces;
    const { node, life } = this;
    if (old === undefined || node === undefined) return;
    // A spare has no copy of its own, and knows from the leader's report that it is one of them.
    const isMember = (): boolean => node.view.cluster().members.some(({ id }) => id === this.memberId);
    if (isMember()) {
      if (this.isRejoining) this.trace("is back in the cluster");
      this.isRejoining = false;
      return;
    }
    const again = (): void => this.#later(1000, () => life === this.life && this.#rejoin());
    node.admin("replaceMember", old.id, { ...old, id: this.memberId }).then(again, (error: unknown) => {
      if (life === this.life) this.trace(`is not taken back yet: ${String(error)}`);
      again();
    });
  }

  #user(): DiskUser & Parameters<SimulatedState["mount"]>[0] & { now(action: () => void): void } {
    const { life } = this;
    const { events } = this.#parts;
    const isAlive = (): boolean => life === this.life;
    return {
      isAlive,
      later: (delayMs, action) => this.#later(delayMs, action),
      now: (action) => this.#run(life, action),
      onOperation: (name) => {
        if (!isAlive()) throw new CrashSignal(name);
        this.#countOperation(name);
      },
      onDurable: (name, position, bytes) => this.durableLog.onDurable(name, position, bytes),
      onApplied: (store, term, applied) => events.onApplied(this, store, term, applied),
      onReceive: () => events.onReceive(this),
    };
  }

  #countOperation(name: string): void {
    const plan = this.crashPlan;
    if (plan === undefined || plan.operations-- > 0) return;
    this.crashPlan = undefined;
    this.trace(`dies ${name}${plan.powerCut ? ", with a power cut" : ""}`);
    this.#corpse = { node: this.node, plan };
    this.#parts.events.onStep(this);
    this.#end();
    throw new CrashSignal(name);
  }

  #end(): void {
    this.#lastCluster = this.node?.view.cluster() ?? this.#lastCluster;
    this.#parts.network.detach(this.id);
    this.node = undefined;
    this.life++;
    this.isPaused = false;
    this.#deferred = [];
    this.crashPlan = undefined;
  }

  #cutPower(): void {
    this.disk.powerCut();
    this.state.powerCut();
    this.durableLog.reread(this.disk.durableFiles());
  }

  #clock(): Clock {
    const { life } = this;
    const { time } = this.#parts;
    return {
      nowMs: () => 1_800_000_000_000 + Math.floor(time.nowMs * this.clockRate + this.#clockErrorMs),
      monotonicMs: () => time.nowMs * this.clockRate,
      setTimer: (delayMs, callback) => {
        const timer = time.after(delayMs / this.clockRate, () =>
          this.#run(life, callback, () => isCancelled),
        );
        let isCancelled = false;
        return {
          cancel: () => {
            isCancelled = true;
            timer.cancel();
          },
        };
      },
    };
  }

  #later(delayMs: number, action: () => void): void {
    const { life } = this;
    this.#parts.time.after(delayMs, () => this.#run(life, action));
  }

  #run(life: number, action: () => void, isCancelled?: () => boolean): void {
    if (life !== this.life || isCancelled?.() === true) return;
    if (this.isPaused) {
      this.#deferred.push(() => this.#run(life, action, isCancelled));
      return;
    }
    this.#parts.time.steps++;
    this.#parts.events.onStep(this);
    try {
      action();
    } catch (error) {
      if (!(error instanceof CrashSignal)) throw error;
    }
  }

  #logger(): Logger {
    const log = (message: string, fields?: Record<string, unknown>): void => {
      this.trace(`${message}${fields === undefined ? "" : ` ${JSON.stringify(fields)}`}`);
    };
    return { debug: log, info: log, warn: log, error: log };
  }
}
