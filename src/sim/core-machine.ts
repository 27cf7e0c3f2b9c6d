/**
 * A simulated machine that runs one bare consensus core, with a disk whose writes take time and can be
 * lost or torn by a crash, and a state that is nothing but a running hash of what was applied. It is what
 * `replica` is for real, reduced to what consensus needs.
 */

import { assert } from "#base/assert.ts";
import { RawNode } from "#raft/raw-node.ts";
import { MemoryStorage } from "#raft/testing/memory-storage.ts";
import {
  localAppendThread,
  localApplyThread,
  ProposalDroppedError,
  SnapshotTemporarilyUnavailableError,
} from "#raft/types.ts";
import type {
  ConfState,
  Entry,
  Message,
  NodeId,
  RaftConfig,
  RaftStorage,
  Ready,
  Snapshot,
} from "#raft/types.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedTime } from "./simulated-time.ts";

/** The application's state after the entry at `index`. */
export interface CoreState {
  index: number;
  term: number;
  /** Of all entries and configurations up to here. */
  hash: number;
  confState: ConfState;
}

/** Mistakes made on purpose, by which the simulation shows that it would find them. */
export interface DeliberateFault {
  /** Writes are reported as durable, and lost by a crash. */
  acknowledgesBeforeFlush?: boolean;
  /** The vote is not written. */
  forgetsVotes?: boolean;
  /** Snapshots carry the present configuration instead of the one at their index. */
  snapshotsCarryNewestConfiguration?: boolean;
  config?: Partial<RaftConfig>;
  patch?(node: RawNode): void;
  /** At each start, before the disk is read. */
  patchDisk?(machine: CoreMachine): void;
}

export interface CoreMachineEvents {
  send(message: Message, snapshotState: CoreState | undefined): void;
  /** New entries have entered the log (not yet durably). */
  onEntries(machine: CoreMachine, entries: readonly Entry[]): void;
  onApplied(machine: CoreMachine, entry: Entry): void;
  onRead(machine: CoreMachine, context: string, index: number): void;
  /** After every step. */
  onStep(machine: CoreMachine): void;
  trace(line: string): void;
}

const tickMs = 50;

export class CoreMachine {
  readonly id: NodeId;
  disk = new MemoryStorage();
  node: RawNode | undefined;
  state: CoreState;
  /** The state as it is after a crash: like SQLite, it is not flushed with every entry. */
  checkpoint: CoreState;
  isPaused = false;
  /** How long a flush takes now. */
  flushMs = 2;
  /** The state of a snapshot on its way into the disk. */
  #receivedStates = new Map<string, CoreState>();
  #pending: Message[] = [];
  #toApply: Message[] = [];
  #isFlushing = false;
  /** Counts starts: what was asked for by an earlier life is void. */
  #life = 0;
  #deferred: (() => void)[] = [];
  /** What a crash goes back to when writes are only said to be durable. */
  #trulyDurable: MemoryStorage | undefined;
  readonly #time: SimulatedTime;
  readonly #random: SeededRandom;
  readonly #events: CoreMachineEvents;
  readonly #fault: DeliberateFault;

  constructor(
    id: NodeId,
    initial: CoreState,
    parts: { time: SimulatedTime; random: SeededRandom; events: CoreMachineEvents; fault: DeliberateFault },
  ) {
    this.id = id;
    this.state = initial;
    this.checkpoint = initial;
    this.#time = parts.time;
    this.#random = parts.random;
    this.#events = parts.events;
    this.#fault = parts.fault;
    if (initial.index > 0) this.disk.restore(this.#toSnapshot(initial));
  }

  get isRunning(): boolean {
    return this.node !== undefined;
  }

  start(): void {
    assert(this.node === undefined, "a running machine is not started");
    this.#fault.patchDisk?.(this);
    this.state = this.checkpoint;
    this.disk.confState = this.checkpoint.confState;
    const { hardState } = this.disk;
    // The end of a torn write is gone, and with it what its commit index may have spoken of.
    this.disk.hardState = { ...hardState, commit: Math.min(hardState.commit, this.disk.lastIndex()) };
    this.node = new RawNode(this.#config());
    this.#fault.patch?.(this.node);
    this.#scheduleTick();
  }

  /** Power is cut. Of what was not flushed, any first part may have reached the disk. */
  crash(): void {
    if (this.node === undefined) return;
    this.node = undefined;
    this.#life++;
    this.#deferred = [];
    this.isPaused = false;
    this.#isFlushing = false;
    const survivors = this.#pending.slice(0, this.#random.integer(this.#pending.length + 1));
    this.#pending = [];
    this.#toApply = [];
    for (const [position, work] of survivors.entries()) {
      const isTorn = position === survivors.length - 1 && this.#random.chance(0.5);
      const entries = work.entries ?? [];
      this.#write(
        isTorn ? { ...work, entries: entries.slice(0, this.#random.integer(entries.length + 1)) } : work,
      );
    }
    if (this.#trulyDurable !== undefined) this.disk = this.#trulyDurable;
    this.#trulyDurable = undefined;
    this.#receivedStates.clear();
  }

  /** Stands still: what happens to it meanwhile, happens when it resumes. */
  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const action of deferred) this.#now(action);
  }

  receive(message: Message, snapshotState: CoreState | undefined): void {
    this.#now(() => {
      if (message.snapshot !== undefined && snapshotState !== undefined) {
        this.#receivedStates.set(message.snapshot.token, snapshotState);
      }
      this.node?.step(message);
    });
  }

  /** Something is asked of the core. Refused proposals are what clients live with. */
  ask(action: (node: RawNode) => void): void {
    this.#now(() => {
      try {
        if (this.node !== undefined) action(this.node);
      } catch (error) {
        if (!(error instanceof ProposalDroppedError)) throw error;
      }
    });
  }

  /** Makes the present state durable, and forgets the log before it, but for the last `keepEntries`. */
  compact(keepEntries: number): void {
    if (this.node === undefined || this.state.index <= this.checkpoint.index) return;
    this.checkpoint = this.state;
    const upTo = Math.min(this.checkpoint.index - keepEntries, this.disk.lastIndex());
    if (upTo >= this.disk.firstIndex()) this.disk.compact(upTo);
  }

  /** True if the entry has reached this disk for good, as itself or within a snapshot. */
  holdsDurably(index: number, term: number): boolean {
    const disk = this.#trulyDurable ?? this.disk;
    if (index < disk.firstIndex()) return true;
    return index <= disk.lastIndex() && disk.term(index) === term;
  }

  /** The disk, which makes snapshots when asked for them: of the present state, and not always at once. */
  #storage(): RaftStorage {
    return {
      initialState: () => this.disk.initialState(),
      entries: (low, high, maxBytes) => this.disk.entries(low, high, maxBytes),
      term: (index) => this.disk.term(index),
      firstIndex: () => this.disk.firstIndex(),
      lastIndex: () => this.disk.lastIndex(),
      snapshot: () => {
        if (this.#random.chance(0.3)) throw new SnapshotTemporarilyUnavailableError("being made");
        if (this.state.index > this.checkpoint.index) this.checkpoint = this.state;
        return this.#toSnapshot(this.checkpoint);
      },
    };
  }

  #config(): RaftConfig {
    return {
      id: this.id,
      electionTicks: 10,
      heartbeatTicks: 1,
      storage: this.#storage(),
      applied: this.checkpoint.index,
      asyncStorageWrites: true,
      maxSizePerMessageBytes: 400,
      maxCommittedSizePerReadyBytes: 800,
      maxUncommittedBytes: 20_000,
      maxInflightMessages: 8,
      maxInflightBytes: 4_000,
      checkQuorum: true,
      preVote: true,
      readOnlyOption: "safe",
      disableProposalForwarding: false,
      disableConfChangeValidation: false,
      stepDownOnRemoval: true,
      randomInteger: (bound) => this.#random.integer(bound),
      trace: (line) => this.#events.trace(line),
      ...this.#fault.config,
    };
  }

  /** Does something in the life of this machine, now or when it resumes, and then all that follows from it. */
  #now(action: () => void): void {
    if (this.node === undefined) return;
    if (this.isPaused) {
      this.#deferred.push(action);
      return;
    }
    action();
    this.#drain();
  }

  #later(delayMs: number, action: () => void): void {
    const life = this.#life;
    this.#time.after(delayMs, () => {
      if (life === this.#life) this.#now(action);
    });
  }

  #scheduleTick(): void {
    // Clocks run at slightly different rates.
    this.#later(tickMs * this.#random.between(0.9, 1.1), () => {
      this.node?.tick();
      this.#scheduleTick();
    });
  }

  #drain(): void {
    for (let { node } = this; node?.hasReady() === true; { node } = this) this.#handle(node.ready());
    this.#events.onStep(this);
  }

  #handle(ready: Ready): void {
    this.#events.onEntries(this, ready.entries);
    for (const { context, index } of ready.readStates) this.#events.onRead(this, context, index);
    for (const message of ready.messages) {
      if (message.to === localAppendThread) this.#append(message);
      else if (message.to === localApplyThread) this.#applyLater(message);
      else this.#send(message);
    }
  }

  #send(message: Message): void {
    this.#events.send(message, message.snapshot === undefined ? undefined : this.checkpoint);
  }

  #append(work: Message): void {
    if (this.#fault.acknowledgesBeforeFlush === true) {
      this.#trulyDurable ??= this.disk.copy();
      this.#write(work);
      for (const response of work.responses ?? []) this.#respond(response);
      this.#later(this.flushMs, () => (this.#trulyDurable = undefined));
      return;
    }
    this.#pending.push(work);
    if (!this.#isFlushing) this.#flush();
  }

  /** One flush at a time; what comes meanwhile goes into the next one. */
  #flush(): void {
    this.#isFlushing = true;
    const { length } = this.#pending;
    this.#later(this.flushMs * this.#random.between(0.5, 2), () => {
      this.#isFlushing = false;
      for (const work of this.#pending.splice(0, length)) {
        this.#write(work);
        for (const response of work.responses ?? []) this.#respond(response);
      }
      if (this.#pending.length > 0) this.#flush();
    });
  }

  #respond(response: Message): void {
    if (response.to === this.id) this.node?.step(response);
    else this.#send(response);
  }

  #write(work: Message): void {
    const { term, vote = 0, commit = 0, snapshot, entries = [] } = work;
    if (snapshot !== undefined) {
      const received = this.#receivedStates.get(snapshot.token);
      assert(received !== undefined, "the state of a snapshot arrives with it");
      this.disk.restore(snapshot);
      this.state = received;
      this.checkpoint = received;
    }
    if (term !== undefined) {
      this.disk.hardState = { term, vote: this.#fault.forgetsVotes === true ? 0 : vote, commit };
    }
    this.disk.append(entries);
  }

  #applyLater(work: Message): void {
    this.#toApply.push(work);
    this.#later(this.#random.between(0, 3), () => this.#applyNext());
  }

  #applyNext(): void {
    const work = this.#toApply.shift();
    assert(this.node !== undefined && work !== undefined, "a running machine applies what it has queued");
    for (const entry of work.entries ?? []) {
      // A snapshot may have overtaken.
      if (entry.index <= this.state.index) continue;
      assert(entry.index === this.state.index + 1, "entries are applied without gaps");
      let { confState } = this.state;
      if (entry.confChange !== undefined) confState = this.node.applyConfChange(entry.confChange);
      const hash = hashEntry(this.state.hash, entry, confState);
      this.state = { index: entry.index, term: entry.term, hash, confState };
      this.#events.onApplied(this, entry);
    }
    for (const response of work.responses ?? []) this.node.step(response);
  }

  #toSnapshot({ index, term, hash, confState }: CoreState): Snapshot {
    const isWrong = this.#fault.snapshotsCarryNewestConfiguration === true && this.node !== undefined;
    const newest = isWrong ? this.node?.status().confState : undefined;
    return { metadata: { index, term, confState: newest ?? confState }, token: `${index}/${hash}` };
  }
}

function hashEntry(previous: number, entry: Entry, confState: ConfState): number {
  const text = `${entry.index} ${entry.term} ${entry.data.join()} ${JSON.stringify(confState)}`;
  let hash = previous;
  for (let position = 0; position < text.length; position++) {
    hash = Math.imul(hash ^ text.charCodeAt(position), 0x01000193);
  }
  return hash >>> 0;
}
