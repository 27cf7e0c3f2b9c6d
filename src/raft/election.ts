/**
 * Campaigns and votes (the Raft paper, section 5.2; pre-votes: Ongaro's thesis, section 9.6). A campaign
 * without pre-vote is what `transferLeader` and clusters without `preVote` use.
 */

import type { Raft } from "./raft.ts";
import type { Message } from "./types.ts";

/** Marks the vote requests of a leadership transfer, which are answered even while a leader is heard. */
export const transferContext = "transfer";

export type CampaignType = "preVote" | "election" | "transfer";

/** Begins a campaign, unless this member leads, may not lead, or doesn't know the newest configuration. */
export function startElection(raft: Raft, type: CampaignType): void {
  if (raft.role === "leader") return;
  if (!raft.isPromotable) {
    raft.trace("is unpromotable and can not campaign");
    return;
  }
  // Two configurations behind, the majorities would not overlap any more. Who has the entry of a change
  // knows that the one before is committed, since the leader told so in the same append.
  if (hasUnappliedConfChanges(raft)) {
    raft.trace(`can not campaign at term ${raft.term}: there are configuration changes to apply`);
    return;
  }
  raft.trace(`is starting a new election at term ${raft.term}`);
  campaign(raft, type);
}

/** Asks all voters. Its own vote, too, counts only once it is durable. */
export function campaign(raft: Raft, type: CampaignType): void {
  if (type === "preVote") raft.becomePreCandidate();
  else raft.becomeCandidate();
  const request = type === "preVote" ? "preVote" : "vote";
  const response = type === "preVote" ? "preVoteResponse" : "voteResponse";
  // A pre-vote asks: if I were to campaign for the next term, would you vote for me?
  const term = type === "preVote" ? raft.term + 1 : raft.term;
  for (const id of raft.tracker.voterIds()) {
    if (id === raft.id) {
      raft.send({ type: response, to: id, from: id, term });
      continue;
    }
    raft.send({
      type: request,
      to: id,
      from: raft.id,
      term,
      index: raft.log.lastIndex(),
      logTerm: raft.log.lastTerm(),
      ...(type === "transfer" ? { context: transferContext } : {}),
    });
  }
}

/**
 * Grants or refuses a vote. Learners grant votes too: a candidate that knows a newer configuration, in
 * which they are voters, may need theirs (etcd-io/etcd#10998).
 */
export function handleVoteRequest(raft: Raft, message: Message): void {
  const { from } = message;
  const term = message.term ?? 0;
  const isRepeated = raft.vote === from;
  const isFree = raft.vote === 0 && raft.leader === 0;
  const isFuturePreVote = message.type === "preVote" && term > raft.term;
  const canVote = isRepeated || isFree || isFuturePreVote;
  const type = message.type === "preVote" ? "preVoteResponse" : "voteResponse";
  if (!canVote || !raft.log.isUpToDate(message.index ?? 0, message.logTerm ?? 0)) {
    raft.trace(`rejected ${message.type} from ${from.toString(16)} at term ${raft.term}`);
    const { committed: index } = raft.log;
    raft.send({
      type,
      to: from,
      from: raft.id,
      term: raft.term,
      reject: true,
      index,
      logTerm: raft.log.term(index),
    });
    return;
  }
  raft.trace(`cast ${message.type} for ${from.toString(16)} at term ${raft.term}`);
  // About the term that was asked for: with a pre-vote, that is not the local one.
  raft.send({ type, to: from, from: raft.id, term });
  if (message.type === "vote") {
    raft.electionElapsed = 0;
    raft.vote = from;
  }
}

/**
 * A refusal tells what is committed (as in tikv/raft-rs). Without it a membership change can end in a
 * deadlock: a leader applies its own removal or demotion, and stops before it could tell that the change
 * is committed. The others still need its vote, its log is longer than theirs, and it may not campaign.
 */
export function learnCommit(raft: Raft, message: Message): void {
  const isRefusal = message.type === "voteResponse" || message.type === "preVoteResponse";
  if (!isRefusal || message.index === undefined || raft.role === "leader") return;
  // A fact, whatever the terms of the two are.
  if (!raft.log.maybeCommit(message.index, message.logTerm ?? 0)) return;
  raft.trace(`learned that ${message.index} is committed from a refused vote`);
  // This campaign counts the votes of an old configuration.
  if (raft.role !== "follower" && hasUnappliedConfChanges(raft)) raft.becomeFollower(raft.term, 0);
}

export function isVoteRequest(message: Message): boolean {
  return message.type === "vote" || message.type === "preVote";
}

const scanBytes = 1 << 20;

function hasUnappliedConfChanges(raft: Raft): boolean {
  const { log } = raft;
  for (let next = Math.max(log.applied + 1, log.firstIndex()); next <= log.committed;) {
    const page = log.slice(next, log.committed + 1, scanBytes);
    if (page.some((entry) => entry.type === "confChange")) return true;
    next += page.length;
  }
  return false;
}
