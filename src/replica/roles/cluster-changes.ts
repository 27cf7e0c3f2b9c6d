/**
 * How the leader changes its cluster: one change at a time, in the order of calls, each waited for until it
 * is applied and no joint configuration is left. What is to be changed is decided elsewhere.
 */

import { StatusError } from "#base/errors.ts";
import type { ConfChange } from "#raft/types.ts";
import { ProposalDroppedError } from "#raft/types.ts";
import type { ClusterState } from "../cluster-state.ts";
import { noLeaderError, timeoutError } from "../errors.ts";
import type { Replica } from "../replica.ts";

const changeMs = 5000;
const queueMs = 10_000;

export class ClusterChanges {
  readonly #replica: Replica;
  readonly #cluster: () => ClusterState;
  #busy = false;

  constructor(replica: Replica, cluster: () => ClusterState) {
    this.#replica = replica;
    this.#cluster = cluster;
  }

  get busy(): boolean {
    return this.#busy;
  }

  /** Rejects with "no leader" where another leads when its turn comes. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    await this.until(() => !this.#busy, queueMs);
    this.#busy = true;
    try {
      if (!this.#replica.leadership.leading) throw noLeaderError();
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  async writeCluster(change: (cluster: ClusterState) => ClusterState): Promise<void> {
    const value = JSON.stringify(change(this.#cluster()));
    const timeMs = this.#replica.ports.clock.nowMs();
    await this.#replica.propose({ type: "note", timeMs, name: "cluster", value });
  }

  /** Proposes and waits until the change is applied and the configuration is no longer joint. */
  async configure(change: ConfChange): Promise<void> {
    await this.waitWhileJoint();
    const before = JSON.stringify(this.#replica.confState);
    try {
      this.#replica.proposeConfChange(change);
    } catch (error) {
      if (error instanceof ProposalDroppedError) {
        throw new StatusError(
          "ServiceUnavailable",
          `the datastore can't change its members now: ${error.message}`,
        );
      }
      throw error;
    }
    await this.until(() => JSON.stringify(this.#replica.confState) !== before, changeMs);
    await this.waitWhileJoint();
  }

  async waitWhileJoint(): Promise<void> {
    await this.until(() => this.#replica.confState.votersOutgoing.length === 0, changeMs);
  }

  /** Rejects with "timed out" when the time is over or the replica stops. */
  async until(condition: () => boolean, timeoutMs: number): Promise<void> {
    const { clock } = this.#replica.ports;
    const deadline = clock.monotonicMs() + timeoutMs;
    while (!condition()) {
      if (this.#replica.stopped || clock.monotonicMs() > deadline) throw timeoutError();
      await new Promise<void>((resolve) => {
        clock.setTimer(10, resolve);
      });
    }
  }
}
