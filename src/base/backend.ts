/**
 * The `Backend` port: what the API server and the etcd API need of a datastore. Three implementations
 * pass one conformance suite: memory (`#base/memory-backend.ts`), the replica, an external etcd.
 *
 * Keys are *byte strings*: each character is one byte (U+0000 to U+00FF), so that the order of
 * JavaScript strings is the order of bytes. Kubernetes keys are ASCII and need no conversion.
 * Revisions are etcd's: a global counter, one step per transaction that changes something, starting
 * at 1 for the empty store.
 */

import type { Leases } from "#base/leases.ts";

export interface KeyValue {
  key: string;
  value: Uint8Array;
  /** Revision of the transaction that created the key (this incarnation of it). */
  createRevision: number;
  /** Revision of the transaction that changed the key last. */
  modRevision: number;
  /** Number of changes since creation; 1 for a new key. */
  version: number;
  /** Lease id as decimal string, "0" for none. */
  lease: string;
}

export interface RangeRequest {
  /** First key. */
  key: string;
  /** End of the range, exclusive. Undefined: only `key`. "\0": all keys from `key` on. */
  end?: string;
  /** At most this many keys; 0 or undefined: no limit. */
  limit?: number;
  /** Read the past state of this revision. Undefined: newest. */
  revision?: number;
  /** Answer from the local replica without asking for a quorum. Default false: linearizable. */
  serializable?: boolean;
  keysOnly?: boolean;
  countOnly?: boolean;
}

export interface RangeResult {
  /** The store's revision at the time of the read. */
  revision: number;
  kvs: KeyValue[];
  /** Number of keys in the whole range, also when limited. */
  count: number;
  more: boolean;
}

export type Compare = {
  key: string;
  /** Compare all keys in [key, end). Every one must satisfy the condition. */
  end?: string;
  operator: "=" | "!=" | "<" | ">";
} & (
  | { target: "mod" | "create" | "version"; number: number }
  | { target: "value"; value: Uint8Array }
  | { target: "lease"; lease: string }
);

export type Operation =
  | {
      type: "put";
      key: string;
      value: Uint8Array;
      /** Must exist (NotFound, "requested lease not found"); the key is deleted with it. */
      lease?: string;
      previous?: boolean;
      /** Keep the key's present value or lease. Refused (BadRequest, "key not found") when there is no such key. */
      ignoreValue?: boolean;
      ignoreLease?: boolean;
    }
  | { type: "delete"; key: string; end?: string; previous?: boolean }
  | { type: "range"; request: RangeRequest }
  | { type: "txn"; txn: Transaction };

export interface Transaction {
  /** All must hold for `success` to run; else `failure` runs. */
  compare: Compare[];
  success: Operation[];
  failure: Operation[];
  /**
   * Refuse the transaction (StatusError Conflict, message "fenced: …") unless it is committed in this
   * raft term. How control loops make sure that they still lead.
   */
  fenceTerm?: number;
}

export type OperationResult =
  | { type: "put"; previous?: KeyValue }
  | { type: "delete"; deleted: number; previous: KeyValue[] }
  | { type: "range"; result: RangeResult }
  | { type: "txn"; result: TransactionResult };

export interface TransactionResult {
  succeeded: boolean;
  /** Revision of the store after the transaction. */
  revision: number;
  results: OperationResult[];
}

/** One change of one key. A delete's `kv` has an empty value and the revision of the deletion. */
export interface WatchEvent {
  type: "put" | "delete";
  kv: KeyValue;
  /** The key's state before this event, where it existed and isn't compacted. */
  previous?: KeyValue;
}

export interface WatchRequest {
  key: string;
  /** As in RangeRequest. */
  end?: string;
  /** Deliver events with revision >= this one. Undefined: from the next revision on. */
  fromRevision?: number;
}

/**
 * Receives a watch. Calls come in revision order and all events of one revision in one call.
 * After `onEnd` nothing comes any more.
 */
export interface WatchSink {
  /** `revision`: the store's revision up to which this watch has now seen everything. May come without events (progress). Others may be given the same array. */
  onEvents(events: readonly WatchEvent[], revision: number): void;
  /** The watch has ended: by an error (StatusError Expired when compacted, ServiceUnavailable when the feed broke), or undefined after `cancel`. */
  onEnd(error: Error | undefined): void;
}

export interface Watch {
  /** Ends the watch; `onEnd(undefined)` is called. Idempotent. */
  cancel(): void;
}

export interface MemberStatus {
  /** Stable id as 16 hex digits, never reused. */
  id: string;
  name: string;
  /** host:port of the replica's peer listener. */
  address: string;
  role: "voter" | "standby" | "spare";
  online: boolean;
  /** Log entries behind the leader; -1 when not known. */
  lagEntries: number;
  failureDomain: string;
  isLeader: boolean;
  /** host:port of this node's API server; empty for a witness. */
  apiAddress: string;
}

export interface BackendStatus {
  /** True while this node knows a leader that has quorum as far as it can tell. */
  ready: boolean;
  memberId: string;
  leaderId: string | undefined;
  term: number;
  revision: number;
  appliedIndex: number;
  committedIndex: number;
  compactRevision: number;
  databaseBytes: number;
  members: MemberStatus[];
}

export interface Leadership {
  /** This node leads, in this term, and has applied everything of earlier terms. */
  leading: boolean;
  term: number;
}

/**
 * A datastore. Every call rejects with a StatusError: Timeout ("etcdserver: request timed out") when it
 * doesn't know whether a write took place, ServiceUnavailable when it is sure that it did not,
 * TooManyRequests when its queue is full, Expired for a compacted revision. Nothing hangs: every call
 * ends within its deadline (default 10 s).
 */
export interface Backend {
  range(request: RangeRequest): Promise<RangeResult>;
  transact(transaction: Transaction): Promise<TransactionResult>;
  /** A revision such that every write acknowledged anywhere before this call is at or below it. */
  readRevision(): Promise<number>;
  watch(request: WatchRequest, sink: WatchSink): Watch;
  /** Forgets all history below the revision; reads of it then end in Expired. */
  compact(revision: number): Promise<void>;
  status(): Promise<BackendStatus>;
  /** Calls back at once and then at every change. Returns the unsubscribe function. */
  onLeadership(callback: (leadership: Leadership) => void): () => void;
  readonly leases: Leases;
  close(): Promise<void>;
}
