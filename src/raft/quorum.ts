/**
 * Majorities: which index a set of voters has agreed on, and how a vote stands. A joint configuration
 * is two majorities that must both agree (Ongaro's thesis, section 4.3). Knows nothing of logs or messages.
 */

import type { NodeId } from "./types.ts";

/** Who decides. Outside of a membership change `outgoing` is empty, and an empty majority agrees to everything. */
export interface JointVoters {
  incoming: ReadonlySet<NodeId>;
  outgoing: ReadonlySet<NodeId>;
}

export type VoteResult = "pending" | "won" | "lost";

/** The highest index that both majorities have acknowledged. `acknowledged` answers undefined for a voter never heard of. */
export function jointCommittedIndex(
  voters: JointVoters,
  acknowledged: (id: NodeId) => number | undefined,
): number {
  return Math.min(
    majorityCommittedIndex(voters.incoming, acknowledged),
    majorityCommittedIndex(voters.outgoing, acknowledged),
  );
}

export function jointVoteResult(voters: JointVoters, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  const incoming = majorityVoteResult(voters.incoming, votes);
  const outgoing = majorityVoteResult(voters.outgoing, votes);
  if (incoming === outgoing) return incoming;
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return "pending";
}

/** Infinity for no voters, so that the other half of a joint quorum decides alone. */
export function majorityCommittedIndex(
  voters: ReadonlySet<NodeId>,
  acknowledged: (id: NodeId) => number | undefined,
): number {
  if (voters.size === 0) return Infinity;
  const indexes: number[] = [];
  for (const id of voters) indexes.push(acknowledged(id) ?? 0);
  indexes.sort((a, b) => a - b);
  return indexes[indexes.length - majoritySize(voters)] ?? 0;
}

/** Won for no voters, for the same reason. */
export function majorityVoteResult(
  voters: ReadonlySet<NodeId>,
  votes: ReadonlyMap<NodeId, boolean>,
): VoteResult {
  if (voters.size === 0) return "won";
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = votes.get(id);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  if (granted >= majoritySize(voters)) return "won";
  return granted + missing >= majoritySize(voters) ? "pending" : "lost";
}

/** All voters of both halves, in ascending order: the order in which messages are sent. */
export function voterIds(voters: JointVoters): NodeId[] {
  return [...new Set([...voters.incoming, ...voters.outgoing])].sort((a, b) => a - b);
}

function majoritySize(voters: ReadonlySet<NodeId>): number {
  return Math.floor(voters.size / 2) + 1;
}
