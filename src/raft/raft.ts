/**
 * One member's consensus state and the rules of terms that hold in every role. What a role does with a
 * message is in `leader.ts`, `candidate.ts` and `follower.ts`. No IO, no clock, no randomness of its own:
 * messages and ticks go in, messages come out in `messages` and `messagesAfterAppend`.
 *
 * The split of the two is what durability hangs on: `messagesAfterAppend` (votes, acknowledgements of
 * appends) speak of what is in the unstable log or the hard state, and may be delivered - also to this
 * member itself - only once everything that was unstable when they were made is durable.
 */

import { assert } from "#base/assert.ts";
import { stepCandidate } from "./candidate.ts";
import { handleVoteRequest, isVoteRequest, learnCommit, startElection, transferContext } from "./election.ts";
import { entriesBytes, payloadBytes } from "./entry-size.ts";
import { stepFollower } from "./follower.ts";
import { stepLeader } from "./leader.ts";
import { RaftLog } from "./log.ts";
import { proposeLeavingJoint, restoreConfiguration } from "./membership.ts";
import { Progress } from "./progress.ts";
import { ReadOnly } from "./read-only.ts";
import type { ReadRequest } from "./read-only.ts";
import { Tracker } from "./tracker.ts";
import type {
  Entry,
  HardState,
  Message,
  NodeId,
  RaftConfig,
  RaftRole,
  ReadState,
  Snapshot,
  SoftState,
} from "./types.ts";

export class Raft {
  readonly config: RaftConfig;
  readonly id: NodeId;
  readonly log: RaftLog;
  readonly tracker = new Tracker();

  term = 0;
  vote: NodeId = 0;
  role: RaftRole = "follower";
  leader: NodeId = 0;

  /** Messages that may be sent at once. */
  messages: Message[] = [];
  /** Messages to deliver once all that is unstable now is durable. */
  messagesAfterAppend: Message[] = [];
  readStates: ReadState[] = [];

  /** Ticks since the last election timeout, word of a leader, or (on the leader) check of the quorum. */
  electionElapsed = 0;
  /** Leader only. */
  heartbeatElapsed = 0;
  /** In [electionTicks, 2 x electionTicks), drawn anew at each change of role. */
  randomizedElectionTicks = 0;

  // Leader only, reset with each change of term or role:
  /** Who is to lead next, 0 for none. No proposals are taken meanwhile. */
  transferTarget: NodeId = 0;
  /**
   * No other membership change may be proposed before this index is applied. A new leader sets it to the
   * end of the log that it takes over, which may hold changes that it has not seen applied. What is not
   * committed of that log commits only together with an entry of the new term, and so changes wait for one.
   */
  pendingConfIndex = 0;
  /** Size of what has been proposed and is not applied. */
  uncommittedBytes = 0;
  readOnly = new ReadOnly();
  /** Reads that came before this leader had committed an entry of its own term. */
  earlyReads: ReadRequest[] = [];

  constructor(config: RaftConfig) {
    assert(config.id > 0, "a member's id is positive");
    assert(config.heartbeatTicks > 0, "heartbeats take at least one tick");
    assert(config.electionTicks > config.heartbeatTicks, "elections time out later than heartbeats");
    assert(config.maxInflightMessages > 0, "at least one append may be in flight");
    assert(config.readOnlyOption === "safe" || config.checkQuorum, "lease reads need checkQuorum");
    this.config = config;
    this.id = config.id;
    this.log = new RaftLog(config.storage, config.maxCommittedSizePerReadyBytes);
    const { hardState, confState } = config.storage.initialState();
    restoreConfiguration(this, confState);
    this.term = hardState.term;
    this.vote = hardState.vote;
    // What has been applied was committed, though the last commit index need not have been flushed.
    this.log.commitTo(Math.max(hardState.commit, config.applied));
    if (config.applied > 0) this.log.appliedTo(config.applied, 0);
    this.becomeFollower(this.term, 0);
  }

  get softState(): SoftState {
    return { leader: this.leader, role: this.role };
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  /** May campaign: a voter that isn't waiting for a snapshot. Learners grant votes but don't ask for them. */
  get isPromotable(): boolean {
    const own = this.tracker.progress.get(this.id);
    return own !== undefined && !own.isLearner && !this.log.hasNextOrInProgressSnapshot();
  }

  /** An entry of the present term is committed: what a new leader must wait for before it can trust its commit index. */
  get hasCommittedInTerm(): boolean {
    return this.log.termIfKnown(this.log.committed) === this.term;
  }

  trace(line: string): void {
    this.config.trace(`${this.id.toString(16)} ${line}`);
  }

  /** Time passes: the only clock there is. */
  tick(): void {
    this.electionElapsed++;
    if (this.role === "leader") this.#tickLeader();
    else if (this.isPromotable && this.electionElapsed >= this.randomizedElectionTicks) {
      this.electionElapsed = 0;
      this.step({ type: "hup", to: this.id, from: this.id });
    }
  }

  #tickLeader(): void {
    this.heartbeatElapsed++;
    if (this.electionElapsed >= this.config.electionTicks) {
      this.electionElapsed = 0;
      if (this.config.checkQuorum) this.step({ type: "checkQuorum", to: this.id, from: this.id });
      // A transfer that takes longer has failed: go on leading.
      if (this.role === "leader") this.transferTarget = 0;
    }
    if (this.role === "leader" && this.heartbeatElapsed >= this.config.heartbeatTicks) {
      this.heartbeatElapsed = 0;
      this.step({ type: "beat", to: this.id, from: this.id });
    }
  }

  /** Takes a message. Throws ProposalDroppedError for a proposal that is not taken. */
  step(message: Message): void {
    const term = message.term ?? 0;
    learnCommit(this, message);
    if (term > this.term && !this.#acceptHigherTerm(message, term)) return;
    // Local messages and forwarded requests carry no term.
    if (term > 0 && term < this.term) {
      this.#answerLowerTerm(message);
      return;
    }
    switch (message.type) {
      case "hup":
        startElection(this, this.config.preVote ? "preVote" : "election");
        break;
      case "storageAppendResponse":
        if (message.index !== undefined) this.log.unstable.stableTo(message.index, message.logTerm ?? 0);
        if (message.snapshot !== undefined) this.#snapshotApplied(message.snapshot);
        break;
      case "storageApplyResponse":
        this.#entriesApplied(message.entries ?? []);
        break;
      case "vote":
      case "preVote":
        handleVoteRequest(this, message);
        break;
      default:
        this.#stepRole(message);
    }
  }

  #stepRole(message: Message): void {
    if (this.role === "leader") stepLeader(this, message);
    else if (this.role === "follower") stepFollower(this, message);
    else stepCandidate(this, message);
  }

  /** Returns false if the message is to be ignored. */
  #acceptHigherTerm(message: Message, term: number): boolean {
    const { type, from } = message;
    if (isVoteRequest(message)) {
      // Who can't hear the leader must not depose it while others do (Ongaro's thesis, section 4.2.3). A leader that
      // asks for votes itself leads no more: there is nobody to protect from it.
      const hearsLeader =
        this.config.checkQuorum &&
        this.leader !== 0 &&
        this.leader !== from &&
        this.electionElapsed < this.config.electionTicks;
      if (hearsLeader && message.context !== transferContext) {
        this.trace(`ignored ${type} from ${from.toString(16)} at term ${this.term}: the leader is heard`);
        return false;
      }
    }
    // A request for a pre-vote is about a term that may never come, and so is the grant of one; a refusal
    // tells the term of who refused.
    if (type === "preVote" || (type === "preVoteResponse" && message.reject !== true)) return true;
    this.trace(`received ${type} with higher term ${term} from ${from.toString(16)} at term ${this.term}`);
    const isFromLeader = type === "append" || type === "heartbeat" || type === "snapshot";
    this.becomeFollower(term, isFromLeader ? from : 0);
    return true;
  }

  #answerLowerTerm(message: Message): void {
    const { type, from: to } = message;
    if ((type === "append" || type === "heartbeat") && (this.config.checkQuorum || this.config.preVote)) {
      // A member that came back with a higher term ignores its leader, and with checkQuorum or preVote
      // nobody takes up its term from its campaigns. This answer does tell the leader about it.
      this.send({ type: "appendResponse", to, from: this.id });
    } else if (type === "preVote") {
      // Silence could leave a candidate with an older term but a newer log waiting forever.
      this.send({ type: "preVoteResponse", to, from: this.id, term: this.term, reject: true });
    } else if (type === "storageAppendResponse") {
      // The entries may have been overwritten in a newer term. A snapshot is committed and stays valid.
      if (message.snapshot !== undefined) this.#snapshotApplied(message.snapshot);
    }
  }

  /** Queues a message, and gives it the present term unless it is a vote (which may be about another) or a forwarded request. */
  send(message: Message): void {
    const { type } = message;
    const isVote = isVoteRequest(message) || type === "voteResponse" || type === "preVoteResponse";
    if (isVote) {
      assert(message.term !== undefined && message.term > 0, "votes say which term they are about");
    } else if (type !== "propose" && type !== "readIndex") {
      message = { ...message, term: this.term };
    }
    if (type === "appendResponse" || type === "voteResponse" || type === "preVoteResponse") {
      this.messagesAfterAppend.push(message);
    } else {
      assert(message.to !== this.id, "only durable facts are told to oneself");
      this.messages.push(message);
    }
  }

  becomeFollower(term: number, leader: NodeId): void {
    this.#reset(term);
    this.role = "follower";
    this.leader = leader;
    this.trace(`became follower at term ${this.term}`);
  }

  /** Changes neither term nor vote: it only asks. */
  becomePreCandidate(): void {
    assert(this.role !== "leader", "a leader does not campaign");
    this.tracker.resetVotes();
    this.role = "preCandidate";
    this.leader = 0;
    this.trace(`became pre-candidate at term ${this.term}`);
  }

  becomeCandidate(): void {
    assert(this.role !== "leader", "a leader does not campaign");
    this.#reset(this.term + 1);
    this.role = "candidate";
    this.vote = this.id;
    this.trace(`became candidate at term ${this.term}`);
  }

  becomeLeader(): void {
    assert(this.role !== "follower", "only a candidate becomes leader");
    this.#reset(this.term);
    this.role = "leader";
    this.leader = this.id;
    const own = this.tracker.progress.get(this.id);
    assert(own !== undefined, "a leader is a member");
    own.becomeReplicate();
    own.recentActive = true;
    this.pendingConfIndex = this.log.lastIndex();
    const accepted = this.appendEntries([{ type: "normal", data: new Uint8Array(0) }]);
    assert(accepted, "the empty entry of a new leader is never refused");
    this.trace(`became leader at term ${this.term}`);
  }

  /**
   * Appends new entries of the leader's. False, and nothing is appended, if too much is uncommitted already.
   * The leader acknowledges them to itself by a message, like any follower: after its own flush.
   */
  appendEntries(proposals: readonly Omit<Entry, "index" | "term">[]): boolean {
    let index = this.log.lastIndex();
    const entries: Entry[] = proposals.map((proposal) => ({ ...proposal, index: ++index, term: this.term }));
    const bytes = payloadBytes(entries);
    // The first proposal is taken whatever its size, or it could never be.
    const tooMuch = this.uncommittedBytes + bytes > this.config.maxUncommittedBytes;
    if (this.uncommittedBytes > 0 && bytes > 0 && tooMuch) return false;
    this.uncommittedBytes += bytes;
    this.send({ type: "appendResponse", to: this.id, from: this.id, index: this.log.append(entries) });
    return true;
  }

  #entriesApplied(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.#appliedTo(last.index, entriesBytes(entries));
    // Entries of earlier leaders were never counted here.
    this.uncommittedBytes = Math.max(0, this.uncommittedBytes - payloadBytes(entries));
  }

  #snapshotApplied(snapshot: Snapshot): void {
    const { index } = snapshot.metadata;
    this.log.unstable.stableSnapshotTo(index);
    this.#appliedTo(index, 0);
  }

  #appliedTo(index: number, bytes: number): void {
    const applied = Math.max(index, this.log.applied);
    this.log.appliedTo(applied, bytes);
    const canLeave = this.tracker.configuration.autoLeave && applied >= this.pendingConfIndex;
    // A new leader comes back here when it applies the first entry of its term.
    if (canLeave && this.role === "leader" && this.hasCommittedInTerm) proposeLeavingJoint(this);
  }

  #reset(term: number): void {
    if (this.term !== term) {
      assert(term > this.term, "the term never goes back");
      this.term = term;
      this.vote = 0;
    }
    this.leader = 0;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.randomizedElectionTicks =
      this.config.electionTicks + this.config.randomInteger(this.config.electionTicks);
    this.transferTarget = 0;
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    this.readOnly = new ReadOnly();
    this.earlyReads = [];
    this.tracker.resetVotes();
    this.tracker.progress = new Map(
      [...this.tracker.progress].map(([id, { isLearner }]) => [id, this.#newProgress(id, isLearner)]),
    );
  }

  #newProgress(id: NodeId, isLearner: boolean): Progress {
    const { maxInflightMessages, maxInflightBytes } = this.config;
    return new Progress({
      // Of its own log a leader knows only what is durable; see `appendEntries`.
      match: id === this.id ? this.log.unstable.offset - 1 : 0,
      next: this.log.lastIndex() + 1,
      isLearner,
      recentActive: false,
      maxInflightMessages,
      maxInflightBytes,
    });
  }
}
