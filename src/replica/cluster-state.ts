/**
 * The cluster as its members agree on it: who belongs to it and what was decided about roles. Replicated
 * as a note in the state, written by the leader only, always as a whole. Pure.
 */

import { StatusError } from "#base/errors.ts";
import type { MemberRecord, RoleDecision } from "./types.ts";

export interface ClusterState {
  clusterId: string;
  members: MemberRecord[];
  /** Ids that were removed; the newest last. They are refused for good. */
  removed: string[];
  /** How many voters there are to be; absent: as the node's settings say. */
  voters?: number;
  /** Ids of the clusters whose place this one took: their members have to begin anew. */
  formerIds?: string[];
  /** The newest last. */
  decisions: RoleDecision[];
}

const keptDecisions = 30;
const keptRemoved = 200;

export function withMember(state: ClusterState, member: MemberRecord): ClusterState {
  if (state.removed.includes(member.id)) {
    throw new StatusError("Conflict", `the id ${member.id} belonged to a member that was removed`);
  }
  const same = state.members.find((each) => each.name === member.name && each.id !== member.id);
  if (same !== undefined) throw new StatusError("Conflict", `a member named "${member.name}" exists already`);
  const others = state.members.filter((each) => each.id !== member.id);
  return { ...state, members: [...others, member] };
}

export function withoutMember(state: ClusterState, id: string): ClusterState {
  return {
    ...state,
    members: state.members.filter((member) => member.id !== id),
    removed: [...state.removed.filter((each) => each !== id), id].slice(-keptRemoved),
  };
}

/** Throws BadRequest for a number that makes no good quorum. */
export function withVoters(state: ClusterState, voters: number): ClusterState {
  if (voters !== 3 && voters !== 5 && voters !== 7)
    throw new StatusError("BadRequest", `a cluster has 3, 5 or 7 voters, not ${voters}`);
  return { ...state, voters };
}

export function withDecision(state: ClusterState, decision: RoleDecision): ClusterState {
  return { ...state, decisions: [...state.decisions, decision].slice(-keptDecisions) };
}
