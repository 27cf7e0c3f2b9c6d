/**
 * What the replica offers to the rooms above it (`cluster`, `main`): how to start one, and the handle of
 * a started one. All of it works from the main thread; raft, log, state and peers live in a thread of
 * their own.
 */

import type { Backend } from "#base/backend.ts";
import type { Logger } from "#base/ports.ts";
import type { FormatRange } from "#store/format.ts";

/** A node as the replicas know it. Replicated as part of the state. The id is the identity, the addresses are not. */
export interface MemberRecord {
  /** 16 hex digits, random, never reused. */
  id: string;
  name: string;
  /** host:port of the peer listener. */
  address: string;
  /** host:port of the API server, empty for a witness. */
  apiAddress: string;
  failureDomain: string;
  /** A witness votes but is never preferred as leader. */
  witness: boolean;
}

/** The automatic role of a member. */
export type ReplicaRole = "voter" | "standby" | "spare";

/** What kind of decision it was, in the form of an Event's reason. */
export type DecisionReason =
  | "VoterReplaced"
  | "StandbyPromoted"
  | "SpareBecameStandby"
  | "StandbyReplaced"
  | "VoterDemoted"
  | "StandbyDemoted"
  | "VotersSpread"
  | "StandbysSpread"
  | "HandedOver"
  | "VotersSet"
  | "Restored"
  | "Recovered";

/** One decision on roles, as everybody can read it in `status`. */
export interface RoleDecision {
  /** Milliseconds since the epoch, by the leader's clock. */
  timeMs: number;
  term: number;
  reason?: DecisionReason;
  /** Names of the members whose role changed, who gained first. */
  subjects?: string[];
  /** One sentence: what was changed and why. */
  text: string;
}

export interface ReplicaMemberStatus extends MemberRecord {
  role: ReplicaRole;
  online: boolean;
  isLeader: boolean;
  /** Entries behind the leader; -1 when not known (a spare, or nobody leads). */
  lagEntries: number;
}

/** All that `trivet status` shows of the datastore. Liveness and lag are known to the leader, which is asked for them. */
export interface ReplicaStatus {
  ready: boolean;
  clusterId: string;
  memberId: string;
  leaderId: string | undefined;
  term: number;
  revision: number;
  compactRevision: number;
  appliedIndex: number;
  committedIndex: number;
  databaseBytes: number;
  logBytes: number;
  /** How many more voters may fail before writes stop; -1 when they have stopped. */
  failuresToQuorumLoss: number;
  /** True when the loss of any one node leaves the datastore writable. */
  highlyAvailable: boolean;
  members: ReplicaMemberStatus[];
  /** How many voters the cluster is to have, where it has nodes enough. */
  voterTarget: number;
  decisions: RoleDecision[];
  /** Why this node does not take writes at present, e.g. a full disk. */
  trouble: string | undefined;
  /** Where an etcd of the owner's is the datastore: how that is. */
  external?: { endpoints: string[]; members: number; alive: number; led: boolean; failures: string[] };
}

/** What a backup is of. */
export interface BackupInfo {
  clusterId: string;
  members: MemberRecord[];
  index: number;
  term: number;
  /** The state at this revision, with history back to `compactRevision`. */
  revision: number;
  compactRevision: number;
  /** False: taken without asking a majority, so that the last acknowledged writes may be missing. */
  confirmed: boolean;
}

/** How far a replica has come: what survivors are compared by. */
export interface ReplicaSurvey {
  memberId: string;
  clusterId: string;
  /** The end of its log, applied or not. */
  lastIndex: number;
  lastTerm: number;
  /** The newest term that it has seen. */
  term: number;
  committedIndex: number;
  revision: number;
  /** Ids of the members that vote, of both configurations while it is joint. */
  voters: string[];
  members: MemberRecord[];
  /** It reaches a majority at present. */
  ready: boolean;
  leaderId: string | undefined;
}

/** Certificates of the peer connections, PEM. The CA must be the cluster's own: whoever has a certificate of it is a member. */
export interface PeerTls {
  ca: string;
  cert: string;
  key: string;
}

export interface RoleTargets {
  /** 3, 5 or 7, default 3. Counts when a cluster is made; afterwards what `setVoters` has said does. */
  voters: number;
  /** Default 3. */
  standbys: number;
  /** After how long without an answer a voter is replaced. Default 10,000. */
  unresponsiveMs: number;
}

export interface ReplicaTiming {
  /** One raft tick. Default 50. */
  tickMs: number;
  /** Default 2 (100 ms). */
  heartbeatTicks: number;
  /** Randomized up to twice this. Default 10 (500 ms to 1 s). */
  electionTicks: number;
}

export interface ReplicaOptions {
  /** Directory of the log and the state; created if missing. */
  dataDir: string;
  /** Address to listen on for peers. Port 0: any free port. */
  listen: { host: string; port: number };
  /** host:port under which peers reach this replica. Undefined: the listen address. */
  advertise?: string;
  tls: PeerTls;
  /**
   * How the data directory is to be opened.
   * - `bootstrap`: a new cluster with this node as its only voter; when the directory already holds a
   *   replica, it is restarted like `restart`.
   * - `join`: a new replica of an existing cluster, admitted by `addMember` on that side.
   * - `restart`: must already hold a replica.
   */
  mode:
    | {
        type: "bootstrap";
        member: Omit<MemberRecord, "id" | "address" | "witness"> & { id?: string; witness?: boolean };
      }
    | { type: "join"; grant: JoinGrant }
    | { type: "restart" };
  targets?: Partial<RoleTargets>;
  timing?: Partial<ReplicaTiming>;
  logger: Logger;
  /** host:port of this node's API server, when its record has another. */
  apiAddress?: string;
  /** Where members are now, by name: host:port, for those whose records are out of date. */
  peerAddresses?: Record<string, string>;
  /** How much of the past is kept, by the leader's clock. Default 300,000; 0: never compact automatically. */
  historyMs?: number;
  /** From how many milliseconds on a request is told of in the log. Default 100. */
  slowRequestMs?: number;
  /** What this release reads and writes. Default: what it does; tests pretend to be another release. */
  formats?: FormatRange;
  /** Called when the replica has died by itself (corrupt log, lost disk): the process must not go on. */
  onFatal?: (error: Error) => void;
}

/** What the leader gives to a node that may join; travels to the joining node as JSON. */
export interface JoinGrant {
  clusterId: string;
  /** The record of the joining node. */
  member: MemberRecord;
  /** All members, the joining one included. */
  peers: MemberRecord[];
}

export interface ReplicaHandle {
  /** The datastore as this node serves it, in whatever role the node is. */
  readonly backend: Backend;
  readonly memberId: string;
  readonly clusterId: string;
  /** The port that the peer listener got. */
  readonly port: number;
  /**
   * Admits a node; may be called on any member, is executed by the leader. A known name: Conflict
   * ("a member named … exists"), unless nothing of that member has ever been online.
   */
  addMember(
    member: Omit<MemberRecord, "id" | "witness"> & { id?: string; witness?: boolean },
  ): Promise<JoinGrant>;
  /** Removes a member for good; its id never comes back. Idempotent. Refused for the last voter. */
  removeMember(id: string): Promise<void>;
  /** Changes a member's addresses, name or failure domain. */
  updateMember(id: string, change: Partial<Omit<MemberRecord, "id">>): Promise<void>;
  /** Hands leadership to this member (a voter), or to the best one. Resolves when another leads. */
  transferLeadership(id?: string): Promise<void>;
  /** How many voters the cluster is to have: 3, 5 or 7. Roles follow, one change at a time. */
  setVoters(voters: number): Promise<void>;
  members(): Promise<MemberRecord[]>;
  status(): Promise<ReplicaStatus>;
  /** The replica's numbers in Prometheus' text format; empty when the replica has stopped. Rejects like `status`. */
  metrics(): Promise<string>;
  /**
   * Calls back at once and whenever members, their roles or liveness, the leader or the decisions have
   * changed, within half a second. Revisions and lags alone are no change. Returns how to end it.
   */
  onStatus(callback: (status: ReplicaStatus) => void): () => void;
  /** Takes new certificates for connections made from now on. */
  setTls(tls: PeerTls): Promise<void>;
  /** Hands leadership over if this replica leads, then stops. Idempotent. */
  stop(): Promise<void>;
  /**
   * Lets the replica crash and starts it again after this time, from what is on its disk. Meanwhile the
   * backend refuses with ServiceUnavailable, and watches end. Resolves when it runs again.
   */
  outage(durationMs: number): Promise<void>;
  /**
   * A backup: the state as it is when this resolves, with everything that was acknowledged before, while writes
   * go on. `unconfirmed`: what this replica (of a cluster without a majority) knows. The chunks must be read to their end, or
   * `return` be called.
   */
  backup(unconfirmed: boolean): Promise<{ info: BackupInfo; chunks: AsyncIterable<Uint8Array> }>;
  /** How far this replica has come. */
  survey(): Promise<ReplicaSurvey>;
  /** Goes on alone, as the only voter of a new cluster: see `recover.ts`. Refused (Conflict) while a majority is reached. */
  recover(request: { term: number; lost: string[] }): Promise<void>;
  /** Ends the replica as a crash does: for tests and drills. */
  kill(): Promise<void>;
}
