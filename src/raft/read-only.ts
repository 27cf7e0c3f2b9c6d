/**
 * Read requests that wait for a quorum to confirm that the leader still leads (Ongaro's thesis, section
 * 6.4). Confirmation goes by *rounds*: each round is one broadcast of heartbeats, numbered by the leader
 * itself, and an answer to a round confirms all requests that came before the round was sent. Requests
 * that come while a round is under way wait for the next one, so any number of reads costs at most one
 * broadcast per round trip.
 *
 * The numbers are the leader's, not the requesters': an answer to an old heartbeat can never confirm a new
 * request, even if a requester were to use an id twice (etcd-io/etcd#21399).
 */

import type { JointVoters } from "./quorum.ts";
import { jointCommittedIndex } from "./quorum.ts";
import type { NodeId } from "./types.ts";

export interface ReadRequest {
  /** The member that asks; the leader's own id for itself. */
  from: NodeId;
  context: string;
}

interface PendingRead extends ReadRequest {
  /** The leader's commit index when the request came. */
  index: number;
  /** The first round that can confirm it. */
  round: number;
}

export class ReadOnly {
  #pending: PendingRead[] = [];
  #sentRound = 0;
  #confirmedRound = 0;
  #acknowledged = new Map<NodeId, number>();

  get pendingCount(): number {
    return this.#pending.length;
  }

  /** The round that a heartbeat sent now belongs to, 0 if nothing waits. */
  get currentRound(): number {
    return this.#pending.length > 0 ? this.#sentRound : 0;
  }

  /** A round has been sent and is not confirmed. */
  get isRoundUnderWay(): boolean {
    return this.#sentRound > this.#confirmedRound;
  }

  /** Some request waits for a round that has not been sent. */
  get needsRound(): boolean {
    const newest = this.#pending.at(-1);
    return newest !== undefined && newest.round > this.#sentRound;
  }

  add(request: ReadRequest, commitIndex: number): void {
    this.#pending.push({ ...request, index: commitIndex, round: this.#sentRound + 1 });
  }

  /**
   * The caller broadcasts it now. The leader's own answer is given at once, in every round: also in one that
   * repeats a lost round, or a leader whose voters are just a majority would never confirm anything again.
   */
  startRound(leader: NodeId): void {
    this.#sentRound++;
    this.#acknowledged.set(leader, this.#sentRound);
  }

  /**
   * A member (or the leader itself) has answered the heartbeat of `round`. Returns the reads this confirms.
   * A round that was not sent is none: a peer can't confirm what is still to be asked.
   */
  acknowledge(id: NodeId, round: number, voters: JointVoters): PendingRead[] {
    const isNews = round > (this.#acknowledged.get(id) ?? 0) && round <= this.#sentRound;
    if (isNews) this.#acknowledged.set(id, round);
    this.#confirmedRound = jointCommittedIndex(voters, (voter) => this.#acknowledged.get(voter));
    const waiting = this.#pending.findIndex((read) => read.round > this.#confirmedRound);
    return this.#pending.splice(0, waiting < 0 ? this.#pending.length : waiting);
  }
}
