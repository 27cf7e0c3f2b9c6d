/**
 * The members, what is known of each one's log, and the votes of the election under way: everything that
 * is counted. Changed as a whole by `confchange.ts`.
 */

import { jointCommittedIndex, jointVoteResult, voterIds } from "./quorum.ts";
import type { JointVoters, VoteResult } from "./quorum.ts";
import type { Progress } from "./progress.ts";
import type { ConfState, NodeId } from "./types.ts";

/**
 * A configuration. Invariants (checked by `confchange.ts`): learners don't vote; `learnersNext` are
 * voters of the outgoing half which become learners when the joint configuration is left; they, and
 * `autoLeave`, exist in joint configurations only.
 */
export interface Configuration {
  readonly voters: JointVoters;
  readonly learners: ReadonlySet<NodeId>;
  readonly learnersNext: ReadonlySet<NodeId>;
  readonly autoLeave: boolean;
}

export const emptyConfiguration: Configuration = {
  voters: { incoming: new Set(), outgoing: new Set() },
  learners: new Set(),
  learnersNext: new Set(),
  autoLeave: false,
};

export class Tracker {
  configuration: Configuration = emptyConfiguration;
  progress: ReadonlyMap<NodeId, Progress> = new Map();
  #votes = new Map<NodeId, boolean>();

  /** All members, learners too, in ascending order. */
  memberIds(): NodeId[] {
    return [...this.progress.keys()].sort((a, b) => a - b);
  }

  voterIds(): NodeId[] {
    return voterIds(this.configuration.voters);
  }

  isVoter(id: NodeId): boolean {
    const { incoming, outgoing } = this.configuration.voters;
    return incoming.has(id) || outgoing.has(id);
  }

  get isJoint(): boolean {
    return isJoint(this.configuration);
  }

  /** The highest index that is durable on a quorum. */
  committedIndex(): number {
    return jointCommittedIndex(this.configuration.voters, (id) => this.progress.get(id)?.match);
  }

  /** A quorum has been heard since `recentActive` was last cleared. */
  isQuorumActive(): boolean {
    const active = new Map<NodeId, boolean>();
    for (const [id, progress] of this.progress) {
      if (!progress.isLearner) active.set(id, progress.recentActive);
    }
    return jointVoteResult(this.configuration.voters, active) === "won";
  }

  resetVotes(): void {
    this.#votes = new Map();
  }

  /** The first vote of each member counts. */
  recordVote(id: NodeId, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  voteResult(): VoteResult {
    return jointVoteResult(this.configuration.voters, this.#votes);
  }

  confState(): ConfState {
    return toConfState(this.configuration);
  }
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.voters.outgoing.size > 0;
}

export function toConfState(configuration: Configuration): ConfState {
  return {
    voters: ascending(configuration.voters.incoming),
    learners: ascending(configuration.learners),
    votersOutgoing: ascending(configuration.voters.outgoing),
    learnersNext: ascending(configuration.learnersNext),
    autoLeave: configuration.autoLeave,
  };
}

/** For traces and transcripts: `voters=(1 2 3)&&(1) learners=(4) learners_next=(1) autoleave`. */
export function describeConfiguration(configuration: Configuration): string {
  const { voters, learners, learnersNext, autoLeave } = configuration;
  let text = `voters=${describeIds(voters.incoming)}`;
  if (voters.outgoing.size > 0) text += `&&${describeIds(voters.outgoing)}`;
  if (learners.size > 0) text += ` learners=${describeIds(learners)}`;
  if (learnersNext.size > 0) text += ` learners_next=${describeIds(learnersNext)}`;
  return autoLeave ? `${text} autoleave` : text;
}

function describeIds(ids: ReadonlySet<NodeId>): string {
  return `(${ascending(ids)
    .map((id) => id.toString(16))
    .join(" ")})`;
}

function ascending(ids: ReadonlySet<NodeId>): NodeId[] {
  return [...ids].sort((a, b) => a - b);
}
