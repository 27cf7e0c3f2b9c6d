/**
 * One replica: raft's core, the log, the state and the peers, driven by one loop. It runs over ports
 * only, so the simulation runs the same code. Everything that happens (a tick, a frame, a finished flush,
 * a proposal) changes raft and then calls for a turn; a turn carries out all that raft wants.
 *
 * It owns the order of things: durable before acknowledged, applied before answered, one state change
 * at a time. It does not know threads, processes or sockets.
 */

import { assert } from "#base/assert.ts";
import type { Leadership, RangeRequest, RangeResult, Transaction, TransactionResult } from "#base/backend.ts";
import type { Watch, WatchRequest, WatchSink } from "#base/backend.ts";
import { FatalError, StatusError } from "#base/errors.ts";
import type { Timer } from "#base/ports.ts";
import { validateTransaction } from "#base/transaction.ts";
import { WatchHub } from "#base/watch-hub.ts";
import { RawNode } from "#raft/raw-node.ts";
import type { ConfChange, ConfState, Entry, Message, NodeId, RaftStatus, RaftStorage } from "#raft/types.ts";
import { localAppendThread, localApplyThread, ProposalDroppedError } from "#raft/types.ts";
import type { Command } from "#store/command.ts";
import type { Applied, Store } from "#store/store.ts";
import { Calls } from "./calls.ts";
import type { ClusterState } from "./cluster-state.ts";
import { diskFullError, stoppedError } from "./errors.ts";
import type { Frame } from "./frames.ts";
import { decodeFrame, encodeFrame } from "./frames.ts";
import { ReplicaLog } from "./log.ts";
import { parseMemberId } from "./member-id.ts";
import type { ReplicaPorts } from "./ports.ts";
import type { ProposalRecord } from "./proposals.ts";
import { decodeProposal, ForwardedOnce, Proposals } from "./proposals.ts";
import { ReadRounds } from "./read-rounds.ts";
import { SnapshotReceiver, SnapshotSender } from "./snapshot-transfer.ts";
import type { ReplicaTiming } from "./types.ts";

export interface ReplicaConfig {
  /** This member's id, 16 hex digits. */
  memberId: string;
  timing: ReplicaTiming;
  /** How much log is kept for members that lag; older ones get a snapshot. */
  keptLogBytes: number;
  segmentBytes: number;
  /** Deadline of calls, milliseconds. */
  timeoutMs: number;
}

export const defaultTiming: ReplicaTiming = { tickMs: 50, heartbeatTicks: 2, electionTicks: 10 };

export const defaultConfig = {
  timing: defaultTiming,
  keptLogBytes: 8 << 20,
  segmentBytes: 8 << 20,
  timeoutMs: 10_000,
};

/** What the parts around the core (governor, sessions) add to it. */
export interface ReplicaHooks {
  /** Frames that the core does not know. */
  onFrame(from: NodeId, frame: Frame, reply: (frame: Uint8Array) => void): void;
  onPeerLost(peer: NodeId): void;
  onTick(): void;
  /** The cluster's membership, or this replica's view of who leads, has changed. */
  onChange(): void;
  handlers: Record<string, (from: NodeId, body: Uint8Array) => Promise<Uint8Array> | Uint8Array>;
  onFatal(error: Error): void;
}

/** A checkpoint flushes each changed page once: seldom enough that pages change many times in between. */
const flushAfterBytes = 8 << 20;

export class Replica {
  readonly id: NodeId;
  readonly config: ReplicaConfig;
  readonly ports: ReplicaPorts;
  readonly calls: Calls;
  readonly proposals: Proposals;
  readonly reads: ReadRounds;
  readonly hub: WatchHub;
  readonly log: ReplicaLog;
  readonly #hooks: ReplicaHooks;
  #store: Store;
  readonly #node: RawNode;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  readonly #forwarded = new ForwardedOnce();
  readonly #leadershipWatchers = new Set<(leadership: Leadership) => void>();
  #leadership: Leadership = { leading: false, term: 0 };
  /** When something was last heard from a member, monotonic. */
  readonly heardMs = new Map<NodeId, number>();
  readonly #toApply: Message[] = [];
  /** What is not urgent, per peer, until the end of the turn. */
  readonly #held = new Map<NodeId, Message[]>();
  /** A membership change that raft has taken up while its entry is not yet in the state (a full disk came between). */
  #takenUp: { index: number; confState: ConfState } | undefined;
  #unflushedBytes = 0;
  #durableIndex: number;
  #confState: ConfState = noMembers;
  #cluster: ClusterState | undefined;
  /** Those that were removed have nothing to say. */
  #strangers = new Set<NodeId>();
  #turnAsked = false;
  #advanceAsked = false;
  #ticks = 0;
  #timer: Timer | undefined;
  #stopped = false;
  #diskFull = false;
  #stateFull = false;

  /** Opens log and state. Throws FatalError when they are damaged or don't belong together. */
  constructor(config: ReplicaConfig, ports: ReplicaPorts, hooks: ReplicaHooks) {
    this.config = config;
    this.ports = ports;
    this.#hooks = hooks;
    this.id = parseMemberId(config.memberId);
    const { clock, random, disk, transport, logger } = ports;
    this.#store = ports.state.open();
    this.log = new ReplicaLog({
      disk,
      logger,
      segmentBytes: config.segmentBytes,
      onFatal: (error) => this.#die(error),
      onFull: (full) => this.#onDiskFull(full),
      retryLater: (retry) => void clock.setTimer(1000, retry),
    });
    this.#durableIndex = this.#store.flush();
    this.#reconcile();
    this.#readMembership();
    const life = Buffer.from(random.bytes(6)).readUIntBE(0, 6);
    this.#node = new RawNode(this.#raftConfig());
    this.calls = new Calls(clock, transport, {
      ...hooks.handlers,
      chunk: (from, body) => this.#sender.chunk(from, body),
      snapshotFailed: (from) => {
        if (this.#node.raft.role === "leader") this.#node.reportSnapshot(from, false);
        return new Uint8Array(0);
      },
    });
    this.proposals = new Proposals(clock, this.#route(), life);
    this.reads = new ReadRounds(
      clock,
      `${config.memberId}-${life.toString(16)}`,
      () => this.#node.raft.leader !== 0,
      (context) => {
        this.#node.readIndex(context);
        this.#askTurn();
      },
    );
    this.#sender = new SnapshotSender(clock, random);
    this.#receiver = new SnapshotReceiver(this.calls, ports.state, logger);
    const history = () => this.#store;
    this.hub = new WatchHub(
      {
        get revision() {
          return history().revision;
        },
        get compactRevision() {
          return history().compactRevision;
        },
        events: (...request) => history().events(...request),
      },
      () => this.#advanceSoon(),
    );
  }

  start(): void {
    this.ports.transport.start({
      onFrame: (from, frame, reply) => this.#onFrame(from, frame, reply),
      onUnreachable: (peer) => this.#onUnreachable(peer),
    });
    this.#updatePeers();
    this.#armTick();
    // A lone voter need not wait for an election timeout: there is nobody to hear from.
    const { voters, votersOutgoing } = this.confState;
    if (voters.length === 1 && voters[0] === this.id && votersOutgoing.length === 0) this.#node.campaign();
    this.#askTurn();
  }

  get store(): Store {
    return this.#store;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** The configuration as of the applied index. */
  get confState(): ConfState {
    return this.#confState;
  }

  /** Undefined until a first snapshot has come. */
  get cluster(): ClusterState | undefined {
    return this.#cluster;
  }

  get raftStatus(): RaftStatus {
    return this.#node.status();
  }

  get leadership(): Leadership {
    return this.#leadership;
  }

  /** Why this replica takes no writes, if so. */
  get trouble(): string | undefined {
    return this.#diskFull || this.#stateFull ? diskFullError().message : undefined;
  }

  /** Resolves when the transaction is durable on a majority and applied here. */
  async transact(transaction: Transaction): Promise<TransactionResult> {
    validateTransaction(transaction);
    const applied = await this.propose({ type: "transact", timeMs: this.ports.clock.nowMs(), transaction });
    assert(applied.result !== undefined, "a transaction has a result");
    return applied.result;
  }

  async compact(revision: number): Promise<void> {
    await this.propose({ type: "compact", timeMs: this.ports.clock.nowMs(), revision });
  }

  async propose(command: Command): Promise<Applied> {
    if (this.#stopped) throw stoppedError();
    if (this.trouble !== undefined && this.#node.raft.role === "leader") throw diskFullError();
    const promise = this.proposals.propose(command, this.config.timeoutMs);
    this.#askTurn();
    const applied = await promise;
    if (applied.error !== undefined) throw applied.error;
    return applied;
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    validateTransaction({ compare: [], success: [{ type: "range", request }], failure: [] });
    if (request.serializable !== true) await this.readBarrier();
    if (this.#stopped) throw stoppedError();
    return this.#store.read(request);
  }

  async readRevision(): Promise<number> {
    await this.readBarrier();
    return this.#store.revision;
  }

  /** Resolves when everything that was acknowledged before the call is applied here. */
  async readBarrier(): Promise<void> {
    if (this.#stopped) throw stoppedError();
    const promise = this.reads.read(this.config.timeoutMs);
    this.#askTurn();
    await promise;
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    if (this.#stopped) throw stoppedError();
    return this.hub.watch(request, sink);
  }

  onLeadership(callback: (leadership: Leadership) => void): () => void {
    this.#leadershipWatchers.add(callback);
    callback(this.#leadership);
    return () => this.#leadershipWatchers.delete(callback);
  }

  /** Leader only. Throws ProposalDroppedError when raft does not take it; watch the configuration for its end. */
  proposeConfChange(change: ConfChange): void {
    this.#node.proposeConfChange(change);
    this.#askTurn();
  }

  transferLeadership(to: NodeId): void {
    this.#node.transferLeadership(to);
    this.#askTurn();
  }

  /** At once and without ceremony; `governor` hands leadership over before. Nothing is called back afterwards. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#timer?.cancel();
    this.proposals.close();
    this.reads.close();
    this.calls.close();
    this.hub.fail(stoppedError());
    this.#sender.close();
    this.#receiver.close();
    this.log.close();
    this.#setLeadership({ leading: false, term: this.#leadership.term });
    this.#store.close();
  }

  /** Sends to one member, as what it is for: raft's traffic or the rest. */
  send(to: NodeId, channel: "raft" | "bulk", frame: Frame): boolean {
    return this.ports.transport.send(to, channel, encodeFrame(frame));
  }

  #raftConfig() {
    const { timing } = this.config;
    const { random, logger } = this.ports;
    return {
      id: this.id,
      electionTicks: timing.electionTicks,
      heartbeatTicks: timing.heartbeatTicks,
      storage: this.#raftStorage(),
      applied: this.#store.position.index,
      asyncStorageWrites: true,
      maxSizePerMessageBytes: 1 << 20,
      maxCommittedSizePerReadyBytes: 1 << 20,
      maxUncommittedBytes: 64 << 20,
      maxInflightMessages: 256,
      maxInflightBytes: 8 << 20,
      checkQuorum: true,
      preVote: true,
      readOnlyOption: "safe" as const,
      disableProposalForwarding: true,
      disableConfChangeValidation: false,
      stepDownOnRemoval: true,
      randomInteger: (bound: number) => random.integer(bound),
      trace: (line: string) => logger.debug(line),
    };
  }

  #raftStorage(): RaftStorage {
    const { log } = this;
    return {
      initialState: () => {
        const hardState = log.hardState;
        // The commit index is flushed along with other things only; what was applied was committed.
        const { index, term } = this.#store.position;
        hardState.commit = Math.max(hardState.commit, index);
        if (hardState.term < term) Object.assign(hardState, { term, vote: 0 });
        return { hardState, confState: this.confState };
      },
      entries: (low, high, maxBytes) => log.entries(low, high, maxBytes),
      term: (index) => log.term(index),
      lastIndex: () => log.lastIndex,
      firstIndex: () => log.firstIndex,
      snapshot: () => this.#sender.take(this.#store),
    };
  }

  #route() {
    return {
      leadership: () => {
        const { leader, term } = this.#node.raft;
        return { leader, term, self: leader === this.id };
      },
      proposeHere: (data: Uint8Array) => this.#proposeHere(data),
      forward: (leader: NodeId, term: number, floor: number, data: Uint8Array) =>
        this.send(leader, "raft", { type: "forward", term, floor, data }),
    };
  }

  #proposeHere(data: Uint8Array): boolean {
    try {
      this.#node.propose(data);
      return true;
    } catch (error) {
      if (!(error instanceof ProposalDroppedError)) throw error;
      return false;
    }
  }

  /**
   * Log and state are written apart; a crash may fall between. A state that a snapshot has brought is
   * ahead of the log: the log begins behind it. A state ahead of the log otherwise means that the log
   * has lost what it had flushed.
   */
  #reconcile(): void {
    const { index, term } = this.#store.position;
    const { log } = this;
    if (index < log.firstIndex - 1) {
      throw new FatalError("corrupt", "the datastore's state is older than the beginning of its log");
    }
    if (index <= log.lastIndex && (index === 0 || log.term(index) === term)) return;
    if (this.#store.note("received") !== String(index)) {
      throw new FatalError("corrupt", `the log ends at ${log.lastIndex}, but ${index} had been applied`);
    }
    log.beginAfter(index, term);
  }

  #armTick(): void {
    this.#timer = this.ports.clock.setTimer(this.config.timing.tickMs, () => {
      if (this.#stopped) return;
      this.#armTick();
      this.#ticks++;
      this.#node.tick();
      this.reads.tick();
      this.proposals.tick();
      if (this.#ticks % 20 === 0) this.#keepHouse();
      if (this.#store.compactionPending && !this.#stateFull) this.#store.compactStep(500);
      this.#hooks.onTick();
      this.#askTurn();
    });
  }

  /** Once a second: old log, unused snapshots. */
  #keepHouse(): void {
    this.#sender.tick();
    this.#giveUpSnapshots();
    const { log } = this;
    const { kept } = this.#compactionLimits();
    if (log.entriesBytes < this.config.keptLogBytes && log.lastIndex - log.firstIndex < 40_000) return;
    this.#flushState();
    const upTo = Math.min(this.#durableIndex, kept);
    if (upTo < log.firstIndex) return;
    log.write({ entries: [], compact: { index: upTo, term: log.term(upTo) }, done: () => undefined });
  }

  /** A receiver that has not asked for a chunk for long gets a new snapshot, when it answers again. */
  #giveUpSnapshots(): void {
    if (this.#node.raft.role !== "leader") return;
    for (const [id, { state }] of this.#node.status().progress) {
      if (state === "snapshot" && this.#sender.isIdle(id)) this.#node.reportSnapshot(id, false);
    }
  }

  /** Half of the kept bytes stay for members that lag, more while a live member needs it. */
  #compactionLimits(): { kept: number } {
    const { log } = this;
    const share =
      log.entriesBytes === 0 ? 0.5 : Math.min(0.5, this.config.keptLogBytes / 2 / log.entriesBytes);
    let kept = log.lastIndex - Math.ceil((log.lastIndex - log.firstIndex + 1) * share);
    if (log.entriesBytes > this.config.keptLogBytes * 4) return { kept };
    for (const progress of this.#node.status().progress.values()) {
      if (progress.recentActive && progress.state === "replicate") kept = Math.min(kept, progress.match);
    }
    return { kept };
  }

  #flushState(): void {
    this.#durableIndex = this.#store.flush();
    this.#unflushedBytes = 0;
  }

  #askTurn(): void {
    if (this.#turnAsked || this.#stopped) return;
    this.#turnAsked = true;
    queueMicrotask(() => {
      this.#turnAsked = false;
      if (this.#stopped) return;
      try {
        this.#turn();
      } catch (error) {
        this.#die(error as Error);
      }
    });
  }

  #turn(): void {
    this.reads.begin();
    while (this.#node.hasReady() && !this.#stopped) {
      const ready = this.#node.ready();
      for (const { context, index } of ready.readStates) {
        this.reads.answered(context, index, this.#store.position.index);
      }
      this.#dispatch(ready.messages);
      if (ready.softState !== undefined) {
        this.#updateLeadership();
        this.proposals.leaderChanged();
        this.#hooks.onChange();
      }
    }
  }

  /** To peers, one frame each; to the two storage tasks, in order. */
  #dispatch(messages: Message[]): void {
    const outgoing = new Map<NodeId, Message[]>();
    for (const message of messages) {
      if (message.to === localAppendThread) this.#append(message);
      else if (message.to === localApplyThread) this.#toApply.push(message);
      else if (message.to === this.id) this.#node.step(message);
      else {
        const batch = outgoing.get(message.to);
        if (batch === undefined) outgoing.set(message.to, [message]);
        else batch.push(message);
      }
    }
    for (const [to, batch] of outgoing) {
      if (batch.every(isCommitNews)) this.#hold(to, batch);
      else this.#sendRaft(to, batch);
    }
    this.#applyAll();
  }

  /** News of commits leave after the turn, or with what is sent before: whoever waits for the answer comes first. */
  #hold(to: NodeId, messages: Message[]): void {
    const held = this.#held.get(to);
    if (held !== undefined) {
      held.push(...messages);
      return;
    }
    this.#held.set(to, messages);
    if (this.#held.size > 1) return;
    this.ports.clock.setTimer(0, () => {
      if (this.#stopped) return;
      for (const peer of this.#held.keys()) this.#sendRaft(peer, []);
      this.#askTurn();
    });
  }

  #sendRaft(to: NodeId, batch: Message[]): void {
    const messages = [...(this.#held.get(to) ?? []), ...batch];
    this.#held.delete(to);
    if (messages.length === 0) return;
    if (!this.send(to, "raft", { type: "raft", messages })) this.#notSent(to, messages);
  }

  #notSent(to: NodeId, messages: Message[]): void {
    this.#node.reportUnreachable(to);
    if (messages.some((message) => message.type === "snapshot")) this.#node.reportSnapshot(to, false);
  }

  #append(message: Message): void {
    const { entries = [], snapshot, responses = [] } = message;
    const write: Parameters<ReplicaLog["write"]>[0] = {
      entries,
      done: () => {
        this.#dispatch(responses);
        this.#askTurn();
      },
    };
    if (message.term !== undefined) {
      write.hardState = { term: message.term, vote: message.vote ?? 0, commit: message.commit ?? 0 };
    }
    if (snapshot !== undefined) {
      this.#adopt(snapshot.token);
      write.reset = { index: snapshot.metadata.index, term: snapshot.metadata.term };
    }
    this.log.write(write);
  }

  /** The received state takes the place of the old one. Watches can't go on over the jump: they end and say so. */
  #adopt(token: string): void {
    const writer = this.#receiver.claim(token);
    assert(writer !== undefined, "raft takes up only snapshots that are here");
    this.#toApply.length = 0;
    this.hub.fail(
      new StatusError("ServiceUnavailable", "the replica was restored from a snapshot: watch again"),
    );
    this.#store.close();
    this.#store = this.ports.state.adopt(writer);
    this.#store.batch(() => this.#store.setNote("received", String(this.#store.position.index)));
    this.#flushState();
    this.proposals.overtaken();
    this.reads.applied(this.#store.position.index);
    this.#updatePeers();
    this.#hooks.onChange();
  }

  #applyAll(): void {
    while (!this.#stateFull && !this.#stopped) {
      const message = this.#toApply[0];
      if (message === undefined) return;
      if (!this.#applyEntries(message.entries ?? [])) return;
      this.#toApply.shift();
      this.#dispatchLater(message.responses ?? []);
    }
  }

  #dispatchLater(responses: Message[]): void {
    for (const response of responses) this.#node.step(response);
    this.#askTurn();
  }

  /** Applies in batches that end with a membership change. Returns false when the disk is full: to be tried again. */
  #applyEntries(entries: Entry[]): boolean {
    let start = 0;
    for (let at = 0; at < entries.length; at++) {
      const isLast = at === entries.length - 1;
      if (!isLast && entries[at]?.type !== "confChange" && entries[at + 1]?.type !== "confChange") continue;
      const batch = entries.slice(start, at + 1);
      start = at + 1;
      // Those of a batch that was applied before the disk was full are not applied again.
      const rest = batch.filter((entry) => entry.index > this.#store.position.index);
      if (rest.length > 0 && !this.#applyBatch(rest)) return false;
    }
    return true;
  }

  #applyBatch(entries: Entry[]): boolean {
    const outcomes: { entry: Entry; record: ProposalRecord | undefined; applied: Applied }[] = [];
    let clusterChanged = false;
    try {
      this.#store.batch(() => {
        for (const entry of entries) {
          const record = entry.data.length > 0 ? decodeProposal(entry.data) : undefined;
          const applied = this.#store.apply(entry.index, entry.term, record?.command);
          if (entry.type === "confChange") this.#takeUp(entry);
          clusterChanged ||= entry.type === "confChange" || record?.command.type === "note";
          outcomes.push({ entry, record, applied });
          this.#unflushedBytes += entry.data.length;
        }
      });
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#onStateFull();
      return false;
    }
    this.#publish(outcomes);
    if (clusterChanged) {
      this.#updatePeers();
      this.#hooks.onChange();
    }
    if (this.#unflushedBytes >= flushAfterBytes) this.#flushState();
    return true;
  }

  #takeUp(entry: Entry): void {
    assert(entry.confChange !== undefined, "a membership entry has its change");
    if (this.#takenUp?.index !== entry.index) {
      this.#takenUp = { index: entry.index, confState: this.#node.applyConfChange(entry.confChange) };
    }
    this.#store.setNote("confState", JSON.stringify(this.#takenUp.confState));
  }

  /** Everyone who waits hears of it: watches first, so that whoever reads his own write has seen it in his watch's feed. */
  #publish(outcomes: { entry: Entry; record: ProposalRecord | undefined; applied: Applied }[]): void {
    const events = outcomes.flatMap(({ applied }) => applied.events);
    if (events.length > 0) this.hub.publish(events, this.#store.revision);
    for (const { entry, record, applied } of outcomes) this.proposals.applied(entry.term, record, applied);
    this.reads.applied(this.#store.position.index);
    this.#updateLeadership();
  }

  #onStateFull(): void {
    this.#stateFull = true;
    this.#stepAside();
    this.ports.clock.setTimer(1000, () => {
      this.#stateFull = false;
      if (!this.#stopped) this.#applyAll();
    });
  }

  #onDiskFull(full: boolean): void {
    this.#diskFull = full;
    if (full) this.ports.logger.error("the datastore's disk is full: waiting for room");
    else this.ports.logger.info("the datastore's disk has room again");
    if (full) this.#stepAside();
  }

  /** A leader that can't write lets another lead. */
  #stepAside(): void {
    const best = this.bestSuccessor();
    if (best !== undefined) this.transferLeadership(best);
  }

  /** The live voter that has most of the log, or undefined when this replica doesn't lead or is alone. */
  bestSuccessor(): NodeId | undefined {
    const { progress } = this.#node.status();
    const witnesses = new Set(
      this.#cluster?.members.filter((each) => each.witness).map((each) => parseMemberId(each.id)),
    );
    return [...progress]
      .filter(([id, member]) => id !== this.id && !member.isLearner && member.recentActive)
      .toSorted(
        ([a, x], [b, y]) => Number(witnesses.has(a)) - Number(witnesses.has(b)) || y.match - x.match,
      )[0]?.[0];
  }

  #updateLeadership(): void {
    const { role, term } = this.#node.raft;
    this.#setLeadership({ leading: role === "leader" && this.#store.position.term === term, term });
  }

  #setLeadership(leadership: Leadership): void {
    const { leading, term } = this.#leadership;
    if (leading === leadership.leading && term === leadership.term) return;
    this.#leadership = leadership;
    for (const callback of this.#leadershipWatchers) callback(leadership);
  }

  #readMembership(): void {
    const confState = this.#store.note("confState");
    const cluster = this.#store.note("cluster");
    if (confState !== undefined) this.#confState = JSON.parse(confState) as ConfState;
    if (cluster !== undefined) this.#cluster = JSON.parse(cluster) as ClusterState;
    this.#strangers = new Set(this.#cluster?.removed.map(parseMemberId));
  }

  #updatePeers(): void {
    this.#readMembership();
    const cluster = this.#cluster;
    if (cluster === undefined) return;
    this.ports.transport.setPeers(
      cluster.members
        .map(({ id, address, name }) => ({ id: parseMemberId(id), address, name }))
        .filter((peer) => peer.id !== this.id),
    );
  }

  #advanceSoon(): void {
    if (this.#advanceAsked) return;
    this.#advanceAsked = true;
    this.ports.clock.setTimer(0, () => {
      this.#advanceAsked = false;
      if (!this.#stopped && this.hub.advance()) this.#advanceSoon();
    });
  }

  #onFrame(from: NodeId, bytes: Uint8Array, reply: (frame: Uint8Array) => void): void {
    if (this.#stopped || this.#strangers.has(from)) return;
    this.heardMs.set(from, this.ports.clock.monotonicMs());
    let frame: Frame;
    try {
      frame = decodeFrame(bytes);
    } catch (error) {
      this.ports.logger.warn("a peer sent a frame that can't be read", { error: String(error) });
      return;
    }
    switch (frame.type) {
      case "raft":
        for (const message of frame.messages) this.#onRaftMessage(from, message);
        break;
      case "forward":
        this.#onForward(frame, reply);
        break;
      case "refused":
        this.proposals.refused(frame.term, frame.sequence);
        break;
      case "call":
        void this.calls.serve(from, frame, reply);
        break;
      case "answer":
      case "failure":
        this.calls.answered(frame);
        break;
      default:
        this.#hooks.onFrame(from, frame, reply);
    }
    this.#askTurn();
  }

  #onRaftMessage(from: NodeId, message: Message): void {
    if (message.to !== this.id || message.from !== from) return;
    const { snapshot } = message;
    if (message.type !== "snapshot" || snapshot === undefined) {
      this.#node.step(message);
      return;
    }
    if (snapshot.metadata.index <= this.#store.position.index) {
      this.#node.step(message);
      return;
    }
    void this.#receiver.fetch(from, snapshot).then((outcome) => {
      if (this.#stopped || outcome === "overtaken") return;
      if (outcome === "failed")
        this.calls.call(from, "snapshotFailed", new Uint8Array(0), 2000).catch(() => undefined);
      else this.#node.step(message);
      this.#askTurn();
    });
  }

  #onForward(frame: Frame & { type: "forward" }, reply: (frame: Uint8Array) => void): void {
    const { role, term } = this.#node.raft;
    const leads = role === "leader" && term === frame.term;
    if (leads && !this.#forwarded.take(frame.term, frame.floor, frame.data)) return;
    if (leads && this.trouble === undefined && this.#proposeHere(frame.data)) return;
    reply(encodeFrame({ type: "refused", term: frame.term, sequence: this.#forwarded.forget(frame.data) }));
  }

  #onUnreachable(peer: NodeId): void {
    if (this.#stopped) return;
    this.#node.reportUnreachable(peer);
    this.calls.lost(peer);
    this.#hooks.onPeerLost(peer);
    this.#askTurn();
  }

  #die(error: Error): void {
    if (this.#stopped) return;
    this.ports.logger.error("the replica stops", { error: error.stack ?? String(error) });
    this.stop();
    this.#hooks.onFatal(error);
  }
}

const noMembers: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

/** An append without entries tells only how far the log is committed. */
function isCommitNews(message: Message): boolean {
  return message.type === "append" && (message.entries?.length ?? 0) === 0;
}

/** SQLite's SQLITE_FULL, or the file system's own word for it. */
function isFull(error: unknown): boolean {
  const { errcode, code } = error as { errcode?: number; code?: string };
  return code === "ENOSPC" || (errcode !== undefined && (errcode & 0xff) === 13);
}
