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
import { StatusError } from "#base/errors.ts";
import type { Timer } from "#base/ports.ts";
import { validateTransaction } from "#base/transaction.ts";
import { WatchHub } from "#base/watch-hub.ts";
import { RawNode } from "#raft/raw-node.ts";
import type { ConfChange, ConfState, NodeId, RaftStatus, RaftStorage } from "#raft/types.ts";
import { ProposalDroppedError } from "#raft/types.ts";
import type { Command } from "#store/command.ts";
import { formatOf } from "#store/command.ts";
import type { Applied, Store } from "#store/store.ts";
import type { Outcome } from "./applier.ts";
import { Applier } from "./applier.ts";
import { Calls } from "./peers/calls.ts";
import type { ClusterState } from "./cluster-state.ts";
import { diskFullError, notUpgradedError, stoppedError } from "./errors.ts";
import { FormatKeeper } from "./roles/format-keeper.ts";
import type { Frame } from "./peers/frames.ts";
import { encodeFrame } from "./peers/frames.ts";
import { HouseKeeping } from "./house-keeping.ts";
import { bestSuccessor, LeadershipFeed } from "./leadership-feed.ts";
import { ReplicaLog } from "./log/log.ts";
import { parseMemberId } from "./member-id.ts";
import { PeerFrames } from "./peers/peer-frames.ts";
import type { ReplicaPorts } from "./ports.ts";
import { Proposals } from "./proposals.ts";
import { RaftTurns } from "./raft-turns.ts";
import { ReadRounds } from "./read-rounds.ts";
import type { ReplicaConfig, ReplicaHooks } from "./replica-config.ts";
import { raftConfig } from "./replica-config.ts";
import { ReplicaState } from "./replica-state.ts";
import { Scrubber } from "./damage/scrubber.ts";
import { SnapshotReceiver, SnapshotSender } from "./snapshot-transfer.ts";

export class Replica {
  readonly id: NodeId;
  readonly config: ReplicaConfig;
  readonly ports: ReplicaPorts;
  readonly calls: Calls;
  readonly proposals: Proposals;
  readonly reads: ReadRounds;
  readonly hub: WatchHub;
  readonly log: ReplicaLog;
  readonly scrubber: Scrubber;
  readonly #hooks: ReplicaHooks;
  readonly #state: ReplicaState;
  readonly #node: RawNode;
  readonly #applier: Applier;
  readonly #turns: RaftTurns;
  readonly #frames: PeerFrames;
  readonly #houseKeeping: HouseKeeping;
  readonly #formatKeeper: FormatKeeper;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  readonly #leadership = new LeadershipFeed();
  #advanceAsked = false;
  #timer: Timer | undefined;
  #stopped = false;
  #diskFull = false;

  /** Opens log and state. Throws FatalError when they are damaged or don't belong together. */
  constructor(config: ReplicaConfig, ports: ReplicaPorts, hooks: ReplicaHooks) {
    this.config = config;
    this.ports = ports;
    this.#hooks = hooks;
    this.id = parseMemberId(config.memberId);
    const { clock, random, disk, transport, logger } = ports;
    this.#state = new ReplicaState(ports.state, config.formats, {
      onReleased: () => this.#turns.ask(),
      retryLater: (retry) => void clock.setTimer(1000, retry),
      onDamage: (error) => hooks.onDamage(error),
      onFatal: (error) => this.#die(error),
    });
    this.log = new ReplicaLog({
      disk,
      logger,
      segmentBytes: config.segmentBytes,
      formats: config.formats,
      onFatal: (error) => this.#die(error),
      onFull: (full) => this.#onDiskFull(full),
      retryLater: (retry) => void clock.setTimer(1000, retry),
    });
    this.log.setFormat(this.#state.format);
    this.#state.reconcile(this.log);
    const life = Buffer.from(random.bytes(6)).readUIntBE(0, 6);
    this.#node = new RawNode(
      raftConfig({
        id: this.id,
        timing: config.timing,
        storage: this.#raftStorage(),
        applied: this.store.position.index,
        random,
        logger,
      }),
    );
    this.calls = new Calls(clock, transport, {
      ...hooks.handlers,
      formats: () => this.#formatKeeper.answer(),
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
        this.#turns.ask();
      },
    );
    this.#sender = new SnapshotSender(clock, random, config.snapshotChunkBytes);
    this.#receiver = new SnapshotReceiver(clock, this.calls, ports.state, logger);
    this.hub = new WatchHub(this.#state.history(), () => this.#advanceSoon());
    this.#applier = new Applier(this.#state, clock, {
      takeUp: (change) => this.#node.applyConfChange(change),
      onApplied: (outcomes) => this.#publish(outcomes),
      onMembership: () => this.#onMembership(),
      onDone: (responses) => {
        for (const response of responses) this.#node.step(response);
        this.#turns.ask();
      },
      onFull: () => this.#stepAside(),
      onRoom: () => this.#turns.ask(),
    });
    this.#turns = new RaftTurns({
      id: this.id,
      clock,
      node: this.#node,
      log: this.log,
      applier: this.#applier,
      send: (to, messages) => this.send(to, "raft", { type: "raft", messages }),
      onBegin: () => this.reads.begin(),
      onReads: (reads) => {
        for (const { context, index } of reads)
          this.reads.answered(context, index, this.store.position.index);
      },
      onSoftState: () => {
        this.#updateLeadership();
        this.proposals.leaderChanged();
        hooks.onChange();
      },
      onSnapshot: (token) => this.#adopt(token),
      onError: (error) => this.#die(error),
    });
    this.#frames = new PeerFrames({
      id: this.id,
      clock,
      logger,
      node: this.#node,
      state: this.#state,
      calls: this.calls,
      proposals: this.proposals,
      snapshots: this.#receiver,
      propose: (from, data) => this.#proposeOf(from, data),
      onOther: (from, frame, reply) => hooks.onFrame(from, frame, reply),
      askTurn: () => this.#turns.ask(),
      onError: (error) => this.#die(error),
    });
    this.#formatKeeper = new FormatKeeper({
      id: this.id,
      formats: config.formats,
      clock,
      logger,
      calls: this.calls,
      state: this.#state,
      isLeading: () => this.leadership.leading,
      raise: async (format) => {
        await this.propose({ type: "note", timeMs: clock.nowMs(), name: "format", value: String(format) });
      },
    });
    this.#houseKeeping = new HouseKeeping({
      node: this.#node,
      state: this.#state,
      log: this.log,
      sender: this.#sender,
      keptLogBytes: config.keptLogBytes,
    });
    this.scrubber = new Scrubber({
      clock,
      disk,
      state: this.#state,
      log: this.log,
      onDamagedRow: (error) => hooks.onDamage(error),
      onDamagedSegment: ({ name, lastIndex }) => {
        logger.error("a file of the log is damaged: what is in it is given up, as soon as the state has it", {
          name,
        });
        this.#houseKeeping.giveUpLog(lastIndex);
      },
    });
  }

  start(): void {
    this.ports.transport.start({
      onFrame: (from, frame, reply) => this.#frames.receive(from, frame, reply),
      onUnreachable: (peer) => this.#onUnreachable(peer),
    });
    this.#updatePeers();
    this.#armTick();
    // A lone voter need not wait for an election timeout: there is nobody to hear from.
    const { voters, votersOutgoing } = this.confState;
    if (voters.length === 1 && voters[0] === this.id && votersOutgoing.length === 0) this.#node.campaign();
    this.#turns.start();
  }

  get store(): Store {
    return this.#state.store;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** The configuration as of the applied index. */
  get confState(): ConfState {
    return this.#state.confState;
  }

  /** Undefined until a first snapshot has come. */
  get cluster(): ClusterState | undefined {
    return this.#state.cluster;
  }

  /** When something was last heard from a member, monotonic. */
  get heardMs(): Map<NodeId, number> {
    return this.#frames.heardMs;
  }

  get raftStatus(): RaftStatus {
    return this.#node.status();
  }

  get leadership(): Leadership {
    return this.#leadership.current;
  }

  /** Why this replica takes no writes, if so. */
  get trouble(): string | undefined {
    return this.#diskFull || this.#applier.full ? diskFullError().message : undefined;
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
    if (formatOf(command) > this.#state.format) throw notUpgradedError(formatOf(command));
    const promise = this.proposals.propose(command, this.config.timeoutMs);
    this.#turns.ask();
    const applied = await promise;
    if (applied.error !== undefined) throw applied.error;
    return applied;
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    validateTransaction({ compare: [], success: [{ type: "range", request }], failure: [] });
    if (request.serializable !== true) await this.readBarrier();
    if (this.#stopped) throw stoppedError();
    return this.#state.read((store) => store.read(request));
  }

  async readRevision(): Promise<number> {
    await this.readBarrier();
    return this.store.revision;
  }

  /** Resolves when everything that was acknowledged before the call is applied here. */
  async readBarrier(): Promise<void> {
    if (this.#stopped) throw stoppedError();
    const promise = this.reads.read(this.config.timeoutMs);
    this.#turns.ask();
    await promise;
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    if (this.#stopped) throw stoppedError();
    return this.hub.watch(request, sink);
  }

  onLeadership(callback: (leadership: Leadership) => void): () => void {
    return this.#leadership.watch(callback);
  }

  /** Leader only. Throws ProposalDroppedError when raft does not take it; watch the configuration for its end. */
  proposeConfChange(change: ConfChange): void {
    this.#node.proposeConfChange(change);
    this.#turns.ask();
  }

  transferLeadership(to: NodeId): void {
    this.#node.transferLeadership(to);
    this.#turns.ask();
  }

  /** At once and without ceremony; `governor` hands leadership over before. Nothing is called back afterwards. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#timer?.cancel();
    this.proposals.close();
    this.reads.close();
    this.calls.close();
    this.#applier.close();
    this.#turns.close();
    this.#frames.close();
    this.hub.fail(stoppedError());
    this.#sender.close();
    this.#receiver.close();
    this.log.close();
    this.#leadership.set({ leading: false, term: this.#leadership.current.term });
    this.store.close();
  }

  /** Sends to one member, as what it is for: raft's traffic or the rest. */
  send(to: NodeId, channel: "raft" | "bulk", frame: Frame): boolean {
    return this.ports.transport.send(to, channel, encodeFrame(frame));
  }

  #raftStorage(): RaftStorage {
    const { log } = this;
    return {
      initialState: () => ({ hardState: this.#state.hardState(log), confState: this.confState }),
      entries: (low, high, maxBytes) => log.entries(low, high, maxBytes),
      term: (index) => log.term(index),
      lastIndex: () => log.lastIndex,
      firstIndex: () => log.firstIndex,
      snapshot: () => this.#sender.take(this.store),
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

  /** Its clients wait until the entry is applied over there. */
  #proposeOf(peer: NodeId, data: Uint8Array): boolean {
    if (this.trouble !== undefined || !this.#proposeHere(data)) return false;
    this.#turns.await(peer, this.#node.raft.log.lastIndex());
    return true;
  }

  #armTick(): void {
    this.#timer = this.ports.clock.setTimer(this.config.timing.tickMs, () => {
      if (this.#stopped) return;
      this.#armTick();
      try {
        this.#tick();
      } catch (error) {
        this.#die(error as Error);
      }
    });
  }

  #tick(): void {
    this.#node.tick();
    this.reads.tick();
    this.proposals.tick();
    this.#houseKeeping.tick(!this.#applier.full);
    this.scrubber.tick();
    this.#formatKeeper.tick();
    this.#hooks.onTick();
    this.#turns.ask();
  }

  /** The received state takes the place of the old one. Watches can't go on over the jump: they end and say so. */
  #adopt(token: string): void {
    const writer = this.#receiver.claim(token);
    assert(writer !== undefined, "raft takes up only snapshots that are here");
    this.#applier.clear();
    this.hub.fail(
      new StatusError("ServiceUnavailable", "the replica was restored from a snapshot: watch again"),
    );
    this.#state.adopt(writer);
    this.proposals.overtaken();
    this.reads.applied(this.store.position.index);
    this.#onMembership();
  }

  #onMembership(): void {
    this.#updatePeers();
    // Were this member lost before others hear of it, they would go on asking those who are no longer asked.
    this.#turns.hurry();
    this.#hooks.onChange();
  }

  /** Everyone who waits hears of it: watches first, so that whoever reads his own write has seen it in his watch's feed. */
  #publish(outcomes: Outcome[]): void {
    const events = outcomes.flatMap(({ applied }) => applied.events);
    if (events.length > 0) this.hub.publish(events, this.store.revision);
    for (const { entry, record, applied } of outcomes) this.proposals.applied(entry.term, record, applied);
    this.reads.applied(this.store.position.index);
    this.#updateLeadership();
  }

  #onDiskFull(full: boolean): void {
    const { logger } = this.ports;
    if (full && !this.#diskFull) logger.error("the datastore's disk is full: waiting for room");
    if (!full) logger.info("the datastore's disk has room again");
    this.#diskFull = full;
    if (full) this.#stepAside();
  }

  /** A leader that can't write lets another lead. */
  #stepAside(): void {
    const best = this.bestSuccessor();
    if (best !== undefined) this.transferLeadership(best);
  }

  /** The live voter that has most of the log, or undefined when this replica doesn't lead or is alone. */
  bestSuccessor(): NodeId | undefined {
    const { tickMs, electionTicks } = this.config.timing;
    const sinceMs = this.ports.clock.monotonicMs() - tickMs * electionTicks;
    const isLive = (id: NodeId) => (this.heardMs.get(id) ?? -Infinity) >= sinceMs;
    return bestSuccessor(this.id, this.#node.status(), this.cluster, isLive);
  }

  #updateLeadership(): void {
    const { role, term } = this.#node.raft;
    this.#leadership.set({ leading: role === "leader" && this.store.position.term === term, term });
  }

  #updatePeers(): void {
    this.#state.readMembership();
    this.log.setFormat(this.#state.format);
    const { cluster } = this;
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

  #onUnreachable(peer: NodeId): void {
    if (this.#stopped) return;
    this.#node.reportUnreachable(peer);
    this.calls.lost(peer);
    this.#hooks.onPeerLost(peer);
    this.#turns.ask();
  }

  #die(error: Error): void {
    if (this.#stopped) return;
    this.ports.logger.error("the replica stops", { error: error.stack ?? String(error) });
    this.stop();
    this.#hooks.onFatal(error);
  }
}
