/**
 * The words of consensus, after etcd-io/raft: what goes into the core and what comes out of it. Pure
 * data; the wire and disk encodings belong to `replica`.
 */

/** A member's id: a positive safe integer, random, never reused. Shown as 16 hex digits. 0 means none. */
export type NodeId = number;

export interface Entry {
  index: number;
  term: number;
  type: "normal" | "confChange";
  /** Opaque for "normal" (empty: the entry with which a new leader begins). */
  data: Uint8Array;
  /** Only for "confChange". */
  confChange?: ConfChange;
}

export type ConfChangeType = "addVoter" | "addLearner" | "remove" | "update";

/** A change of membership: one step is applied simply, several (or `transition` "explicit") as a joint change. No steps: leave the joint configuration. */
export interface ConfChange {
  transition: "auto" | "implicit" | "explicit";
  changes: { type: ConfChangeType; nodeId: NodeId }[];
  /** Opaque, for the application (the member's name and address). */
  context: Uint8Array;
}

export interface ConfState {
  voters: NodeId[];
  learners: NodeId[];
  votersOutgoing: NodeId[];
  learnersNext: NodeId[];
  autoLeave: boolean;
}

/** What must survive a restart, besides entries and snapshots. */
export interface HardState {
  term: number;
  vote: NodeId;
  commit: number;
}

export interface SnapshotMetadata {
  index: number;
  term: number;
  confState: ConfState;
}

/** The core never sees the state itself: `token` lets the application find what to stream. */
export interface Snapshot {
  metadata: SnapshotMetadata;
  token: string;
}

export type MessageType =
  | "hup"
  | "beat"
  | "propose"
  | "append"
  | "appendResponse"
  | "vote"
  | "voteResponse"
  | "preVote"
  | "preVoteResponse"
  | "snapshot"
  | "heartbeat"
  | "heartbeatResponse"
  | "unreachable"
  | "snapshotStatus"
  | "checkQuorum"
  | "transferLeader"
  | "timeoutNow"
  | "readIndex"
  | "readIndexResponse"
  | "storageAppend"
  | "storageAppendResponse"
  | "storageApply"
  | "storageApplyResponse"
  | "forgetLeader";

/** One shape for all messages, as in etcd: unused fields are absent (read them as 0, false, empty). */
export interface Message {
  type: MessageType;
  to: NodeId;
  from: NodeId;
  term?: number;
  logTerm?: number;
  index?: number;
  entries?: Entry[];
  commit?: number;
  vote?: NodeId;
  snapshot?: Snapshot;
  reject?: boolean;
  rejectHint?: number;
  /** readIndex: unique request id, never reused. vote: "transfer" campaigns. */
  context?: string;
  /** storageAppend, storageApply: to be stepped or sent once the storage work is durable. */
  responses?: Message[];
}

/** Pseudo-addresses of the two local storage tasks. */
export const localAppendThread: NodeId = -1;
export const localApplyThread: NodeId = -2;

export type RaftRole = "follower" | "preCandidate" | "candidate" | "leader";

export interface SoftState {
  leader: NodeId;
  role: RaftRole;
}

/** A read request may be answered once the application has applied `index`. */
export interface ReadState {
  index: number;
  context: string;
}

/**
 * The output of the core. With asynchronous storage writes (the only mode that `replica` uses) all
 * disk work is in `messages`: a storageAppend message to `localAppendThread` holds what to write and
 * flush, and its `responses` are delivered only when that is durable; a storageApply message to
 * `localApplyThread` holds committed entries to apply. Messages to peers may be sent at once.
 */
export interface Ready {
  softState: SoftState | undefined;
  hardState: HardState | undefined;
  readStates: ReadState[];
  /** Synchronous mode only: entries to persist before `messages` are sent. */
  entries: Entry[];
  /** Synchronous mode only. */
  snapshot: Snapshot | undefined;
  /** Synchronous mode only: entries to apply. */
  committedEntries: Entry[];
  messages: Message[];
  mustSync: boolean;
}

/** What the core may read of the durable log. Synchronous: it is served from memory or by the log's own cache. */
export interface RaftStorage {
  initialState(): { hardState: HardState; confState: ConfState };
  /** Entries in [low, high), at least one if there is one, and not more than maxBytes of data in all. Throws CompactedError or UnavailableError. */
  entries(low: number, high: number, maxBytes: number): Entry[];
  /** Throws CompactedError or UnavailableError. firstIndex() - 1 must be answered too. */
  term(index: number): number;
  lastIndex(): number;
  /** Index of the first entry that is still there (snapshot index + 1 after compaction). */
  firstIndex(): number;
  /**
   * The newest snapshot that can be sent. Throws SnapshotTemporarilyUnavailableError. It is not sent to a
   * member that its configuration does not have: storage must come up with a newer one in time.
   */
  snapshot(): Snapshot;
}

export class CompactedError extends Error {
  override name = "CompactedError";
}

export class UnavailableError extends Error {
  override name = "UnavailableError";
}

export class SnapshotTemporarilyUnavailableError extends Error {
  override name = "SnapshotTemporarilyUnavailableError";
}

/** A proposal that was not taken: no leader, leadership being transferred, or too much uncommitted data. */
export class ProposalDroppedError extends Error {
  override name = "ProposalDroppedError";
}

export interface RaftConfig {
  id: NodeId;
  electionTicks: number;
  heartbeatTicks: number;
  storage: RaftStorage;
  /** Last applied index, so that entries are not applied twice after a restart. */
  applied: number;
  asyncStorageWrites: boolean;
  maxSizePerMessageBytes: number;
  maxCommittedSizePerReadyBytes: number;
  maxUncommittedBytes: number;
  maxInflightMessages: number;
  maxInflightBytes: number;
  checkQuorum: boolean;
  preVote: boolean;
  /** "safe": a quorum round per read (batched by heartbeats). "lease" is there for the golden scenarios only. */
  readOnlyOption: "safe" | "lease";
  disableProposalForwarding: boolean;
  disableConfChangeValidation: boolean;
  stepDownOnRemoval: boolean;
  /** An integer in [0, bound): the randomness of election timeouts. Injected, since the room is pure. */
  randomInteger(bound: number): number;
  /** Receives lines about elections and the like; may be empty. */
  trace(line: string): void;
}

export type ProgressState = "probe" | "replicate" | "snapshot";

export interface ProgressStatus {
  match: number;
  next: number;
  state: ProgressState;
  pendingSnapshot: number;
  recentActive: boolean;
  paused: boolean;
  inflight: number;
  isLearner: boolean;
}

export interface RaftStatus {
  id: NodeId;
  hardState: HardState;
  softState: SoftState;
  applied: number;
  confState: ConfState;
  /** Only on the leader. */
  progress: Map<NodeId, ProgressStatus>;
  leadTransferee: NodeId;
}
