/**
 * What the leader knows of one follower's log, and how fast it may send (etcd-io/raft's "progress" design):
 *
 *     probe      the match is not known: one append per heartbeat, until one is accepted
 *     replicate  the match is known: appends are pipelined, within the limits of `inflights`
 *     snapshot   what the follower needs is compacted: nothing is sent until the snapshot is in
 *
 * Invariant: match < next.
 */

import { assert } from "#base/assert.ts";
import { Inflights } from "./inflights.ts";
import type { ProgressState, ProgressStatus } from "./types.ts";

export class Progress {
  /** The highest index known to be durable on the follower. */
  match: number;
  /** The next index to send. Replicate: everything below has been sent. Snapshot: the index after the snapshot. */
  next: number;
  state: ProgressState = "probe";
  /** The index of the snapshot that is on its way, 0 for none. */
  pendingSnapshot = 0;
  /** Heard from since the last check of the quorum. */
  recentActive: boolean;
  /** Set when no more appends may be sent before the follower (or a heartbeat's answer) is heard. */
  appendsPaused = false;
  isLearner: boolean;
  readonly inflights: Inflights;
  /** The highest commit index that the follower has been told, which saves telling it again. */
  #sentCommit = 0;

  constructor(options: {
    match: number;
    next: number;
    isLearner: boolean;
    recentActive: boolean;
    maxInflightMessages: number;
    maxInflightBytes: number;
  }) {
    this.match = options.match;
    this.next = options.next;
    this.isLearner = options.isLearner;
    this.recentActive = options.recentActive;
    this.inflights = new Inflights(options.maxInflightMessages, options.maxInflightBytes);
  }

  becomeProbe(): void {
    // After a snapshot the follower has at least the snapshot's entries, if it took it.
    const next = this.state === "snapshot" ? Math.max(this.match, this.pendingSnapshot) + 1 : this.match + 1;
    this.#enter("probe");
    this.next = next;
    this.#forgetSentCommit();
  }

  becomeReplicate(): void {
    this.#enter("replicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(snapshotIndex: number): void {
    this.#enter("snapshot");
    this.pendingSnapshot = snapshotIndex;
    this.next = snapshotIndex + 1;
    this.#sentCommit = snapshotIndex;
  }

  /** Nothing may be sent now, except heartbeats. */
  get paused(): boolean {
    return this.state === "snapshot" || this.appendsPaused;
  }

  /** An append with `count` entries of `bytes` has been sent. */
  sentEntries(count: number, bytes: number): void {
    assert(this.state !== "snapshot", "no appends are sent beside a snapshot");
    if (this.state === "probe") {
      if (count > 0) this.appendsPaused = true;
      return;
    }
    if (count > 0) {
      this.next += count;
      this.inflights.add(this.next - 1, bytes);
    }
    this.appendsPaused = this.inflights.full;
  }

  sentCommit(commit: number): void {
    this.#sentCommit = commit;
  }

  /** Telling the follower this commit index would move its own: it has not been told, and has entries that are not committed for it. */
  canBumpCommit(commit: number): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.next - 1;
  }

  /** The follower has acknowledged everything up to `index`. False when that is no news. */
  acknowledge(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.appendsPaused = false;
    return true;
  }

  /**
   * The follower has rejected an append after index `rejected`; `hint` is where the logs may agree.
   * False when the rejection is stale: messages are reordered and repeated.
   */
  reject(rejected: number, hint: number): boolean {
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
    } else {
      if (rejected !== this.next - 1) return false;
      this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
      this.appendsPaused = false;
    }
    this.#forgetSentCommit();
    return true;
  }

  status(): ProgressStatus {
    return {
      match: this.match,
      next: this.next,
      state: this.state,
      pendingSnapshot: this.pendingSnapshot,
      recentActive: this.recentActive,
      paused: this.paused,
      inflight: this.inflights.count,
      isLearner: this.isLearner,
    };
  }

  #enter(state: ProgressState): void {
    this.appendsPaused = false;
    this.pendingSnapshot = 0;
    this.state = state;
    this.inflights.reset();
  }

  /** Whatever carried a commit index beyond what is sent next may have been lost. */
  #forgetSentCommit(): void {
    this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
  }
}
