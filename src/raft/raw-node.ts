/**
 * The handle with which an application drives one member (after etcd-io/raft's RawNode):
 *
 *     loop: tick() now and then; step(message) for each arrival; propose(), readIndex() for clients
 *           if hasReady(): take ready(), do what it says, and (synchronous mode only) advance()
 *
 * With `asyncStorageWrites` nothing waits: storage work is in `ready().messages` (see types.ts), done in
 * order, and its `responses` are stepped or sent when it is durable. A Ready is accepted by taking it:
 * each one must be carried out.
 */

import { assert } from "#base/assert.ts";
import { entriesBytes } from "./entry-size.ts";
import { applyConfChange, refusalOf } from "./membership.ts";
import { Raft } from "./raft.ts";
import { localAppendThread, localApplyThread, ProposalDroppedError } from "./types.ts";
import type {
  ConfChange,
  ConfState,
  Entry,
  HardState,
  Message,
  MessageType,
  NodeId,
  RaftConfig,
  RaftStatus,
  Ready,
  Snapshot,
  SoftState,
} from "./types.ts";

export class RawNode {
  /** The state machine itself: for tests and for the invariants that the simulation checks. */
  readonly raft: Raft;
  #previousSoftState: SoftState;
  #previousHardState: HardState;
  /** Synchronous mode: what `advance` steps. Undefined: no Ready is out. */
  #onAdvance: Message[] | undefined;

  constructor(config: RaftConfig) {
    this.raft = new Raft(config);
    this.#previousSoftState = this.raft.softState;
    this.#previousHardState = this.raft.hardState;
  }

  tick(): void {
    this.raft.tick();
  }

  /**
   * Takes a message from a peer or from the local storage tasks. Never throws for what a peer sent: a
   * proposal that can't be taken, a message that makes no sense from outside, and answers of strangers
   * are dropped, with a trace.
   */
  step(message: Message): void {
    const { type, from } = message;
    const isFromStorage = from === localAppendThread || from === localApplyThread;
    if (localTypes.has(type) && !isFromStorage) {
      this.raft.trace(`ignored ${type}: it is no message between members`);
      return;
    }
    if (responseTypes.has(type) && !isFromStorage && !this.raft.tracker.progress.has(from)) {
      this.raft.trace(`ignored ${type} from ${from.toString(16)}: not a member`);
      return;
    }
    try {
      this.raft.step(message);
    } catch (error) {
      if (!(error instanceof ProposalDroppedError)) throw error;
      this.raft.trace(`dropped proposal of ${from.toString(16)}: ${error.message}`);
    }
  }

  /** Proposes an entry; on a follower, to its leader. Throws ProposalDroppedError. Not thrown does not mean committed. */
  propose(data: Uint8Array): void {
    this.#propose({ index: 0, term: 0, type: "normal", data });
  }

  /**
   * As `propose`. On the leader it throws, with the reason, also for a change that may not be made now or at
   * all. A leader to whom such a change is forwarded appends an empty entry instead.
   */
  proposeConfChange(confChange: ConfChange): void {
    const refusal = this.raft.role === "leader" ? refusalOf(this.raft, confChange) : undefined;
    if (refusal !== undefined) throw new ProposalDroppedError(`conf change refused: ${refusal}`);
    this.#propose({ index: 0, term: 0, type: "confChange", data: new Uint8Array(0), confChange });
  }

  /**
   * Asks for an index at which a read is linearizable; the answer is a ReadState with this context. It
   * may never come: the caller repeats, with a *fresh* context each time.
   */
  readIndex(context: string): void {
    this.raft.step({ type: "readIndex", to: this.raft.id, from: this.raft.id, context });
  }

  /** Asks the leader to hand over to a voter. Nothing comes of it if the target does not catch up within an election timeout. */
  transferLeadership(to: NodeId): void {
    this.raft.step({ type: "transferLeader", to: this.raft.id, from: to });
  }

  campaign(): void {
    this.raft.step({ type: "hup", to: this.raft.id, from: this.raft.id });
  }

  /** A follower that knows its leader to be dead may vote at once (no lease is held against the candidate). */
  forgetLeader(): void {
    this.raft.step({ type: "forgetLeader", to: this.raft.id, from: this.raft.id });
  }

  /** To be called for every applied entry of type "confChange", before the next entries are applied. */
  applyConfChange(confChange: ConfChange): ConfState {
    return applyConfChange(this.raft, confChange);
  }

  /** The last message to this member was not delivered. */
  reportUnreachable(id: NodeId): void {
    this.raft.step({ type: "unreachable", to: this.raft.id, from: id });
  }

  /** The snapshot to this member has been delivered, or not. Without a report it is sent nothing more. */
  reportSnapshot(id: NodeId, ok: boolean): void {
    this.raft.step({ type: "snapshotStatus", to: this.raft.id, from: id, reject: !ok });
  }

  status(): RaftStatus {
    const { raft } = this;
    const progress = raft.role === "leader" ? raft.tracker.progress : new Map<NodeId, never>();
    return {
      id: raft.id,
      hardState: raft.hardState,
      softState: raft.softState,
      applied: raft.log.applied,
      confState: raft.tracker.confState(),
      progress: new Map([...progress].map(([id, member]) => [id, member.status()])),
      leadTransferee: raft.transferTarget,
    };
  }

  hasReady(): boolean {
    const { raft } = this;
    return (
      raft.messages.length > 0 ||
      raft.messagesAfterAppend.length > 0 ||
      raft.readStates.length > 0 ||
      raft.log.unstable.hasNextEntries() ||
      raft.log.unstable.nextSnapshot() !== undefined ||
      raft.log.hasNextCommittedEntries(this.#appliesUnstable) ||
      !sameSoftState(raft.softState, this.#previousSoftState) ||
      !sameHardState(raft.hardState, this.#previousHardState)
    );
  }

  /** Everything there is to do now. */
  ready(): Ready {
    const ready = this.#collect();
    this.#accept(ready);
    return ready;
  }

  /** Synchronous mode: everything in the last Ready has been persisted, sent and applied. */
  advance(): void {
    assert(this.#onAdvance !== undefined, "advance follows a Ready, in synchronous mode");
    const messages = this.#onAdvance;
    this.#onAdvance = undefined;
    for (const message of messages) this.raft.step(message);
  }

  #propose(entry: Entry): void {
    this.raft.step({ type: "propose", to: this.raft.id, from: this.raft.id, entries: [entry] });
  }

  /**
   * Synchronously, Ready's order (persist, then apply) makes committed entries durable before they are
   * applied. Asynchronously they must be durable already: applying must not overtake the local log.
   */
  get #appliesUnstable(): boolean {
    return !this.raft.config.asyncStorageWrites;
  }

  #collect(): Ready {
    const { raft } = this;
    const { softState, hardState, log } = raft;
    const entries = log.unstable.nextEntries();
    const previous = this.#previousHardState;
    const ready: Ready = {
      softState: sameSoftState(softState, this.#previousSoftState) ? undefined : softState,
      hardState: sameHardState(hardState, previous) ? undefined : hardState,
      readStates: raft.readStates,
      entries,
      snapshot: log.unstable.nextSnapshot(),
      committedEntries: log.nextCommittedEntries(this.#appliesUnstable),
      messages: [...raft.messages],
      mustSync: entries.length > 0 || hardState.vote !== previous.vote || hardState.term !== previous.term,
    };
    if (raft.config.asyncStorageWrites) {
      if (needsStorageAppend(raft, ready)) ready.messages.push(storageAppend(raft, ready));
      if (ready.committedEntries.length > 0) ready.messages.push(storageApply(raft, ready.committedEntries));
    } else {
      ready.messages.push(...raft.messagesAfterAppend.filter((message) => message.to !== raft.id));
    }
    return ready;
  }

  #accept(ready: Ready): void {
    const { raft } = this;
    if (ready.softState !== undefined) this.#previousSoftState = ready.softState;
    if (ready.hardState !== undefined) this.#previousHardState = ready.hardState;
    if (!raft.config.asyncStorageWrites) {
      assert(this.#onAdvance === undefined, "each Ready is advanced before the next is taken");
      this.#onAdvance = raft.messagesAfterAppend.filter((message) => message.to === raft.id);
      if (needsStorageResponse(raft, ready)) this.#onAdvance.push(storageAppendResponse(raft, ready));
      if (ready.committedEntries.length > 0) {
        this.#onAdvance.push(storageApplyResponse(raft, ready.committedEntries));
      }
    }
    raft.messages = [];
    raft.messagesAfterAppend = [];
    raft.readStates = [];
    raft.log.unstable.acceptInProgress();
    const last = ready.committedEntries.at(-1);
    if (last !== undefined) {
      raft.log.acceptApplying(last.index, entriesBytes(ready.committedEntries), this.#appliesUnstable);
    }
  }
}

/** Those that only a member itself, its tick or its storage may cause. */
const localTypes: ReadonlySet<MessageType> = new Set([
  "hup",
  "beat",
  "unreachable",
  "snapshotStatus",
  "checkQuorum",
  "storageAppend",
  "storageAppendResponse",
  "storageApply",
  "storageApplyResponse",
  "forgetLeader",
]);

const responseTypes: ReadonlySet<MessageType> = new Set([
  "appendResponse",
  "voteResponse",
  "preVoteResponse",
  "heartbeatResponse",
]);

function needsStorageAppend(raft: Raft, ready: Ready): boolean {
  return (
    ready.entries.length > 0 ||
    ready.hardState !== undefined ||
    ready.snapshot !== undefined ||
    raft.messagesAfterAppend.length > 0
  );
}

/** Entries that were handed out before are reported by the newest response too, in case a change of term voids theirs. */
function needsStorageResponse(raft: Raft, ready: Ready): boolean {
  return raft.log.hasNextOrInProgressEntries() || ready.snapshot !== undefined;
}

function storageAppend(raft: Raft, ready: Ready): Message {
  const responses = [...raft.messagesAfterAppend];
  // Last, so that what is acknowledged is sent before the log moves on.
  if (needsStorageResponse(raft, ready)) responses.push(storageAppendResponse(raft, ready));
  return {
    type: "storageAppend",
    to: localAppendThread,
    from: raft.id,
    entries: ready.entries,
    ...ready.hardState,
    ...optionalSnapshot(ready.snapshot),
    responses,
  };
}

/**
 * Reports the whole unstable log as durable up to its end, by index and term. The term of the message
 * guards against this: entries of term 1 are being written, a leader of term 2 overwrites them, one of
 * term 3 writes the first ones again; the first report must then not be taken for the third write. A
 * report from an older term is ignored, a newer one covers its entries.
 */
function storageAppendResponse(raft: Raft, ready: Ready): Message {
  const covers = raft.log.hasNextOrInProgressEntries();
  return {
    type: "storageAppendResponse",
    to: raft.id,
    from: localAppendThread,
    term: raft.term,
    ...(covers ? { index: raft.log.lastIndex(), logTerm: raft.log.lastTerm() } : {}),
    ...optionalSnapshot(ready.snapshot),
  };
}

function storageApply(raft: Raft, entries: Entry[]): Message {
  return {
    type: "storageApply",
    to: localApplyThread,
    from: raft.id,
    entries,
    responses: [storageApplyResponse(raft, entries)],
  };
}

function storageApplyResponse(raft: Raft, entries: Entry[]): Message {
  return { type: "storageApplyResponse", to: raft.id, from: localApplyThread, entries };
}

function optionalSnapshot(snapshot: Snapshot | undefined): { snapshot?: Snapshot } {
  return snapshot === undefined ? {} : { snapshot };
}

function sameSoftState(a: SoftState, b: SoftState): boolean {
  return a.leader === b.leader && a.role === b.role;
}

function sameHardState(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote && a.commit === b.commit;
}
