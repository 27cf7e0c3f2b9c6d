/** What candidates and pre-candidates do with messages: count votes, or find out that another leads. */

import { campaign } from "./election.ts";
import { handleAppend, handleHeartbeat, handleSnapshot } from "./follower.ts";
import { broadcastAppend } from "./replication.ts";
import type { Raft } from "./raft.ts";
import { ProposalDroppedError } from "./types.ts";
import type { Message } from "./types.ts";

export function stepCandidate(raft: Raft, message: Message): void {
  switch (message.type) {
    case "propose":
      throw new ProposalDroppedError(`no leader at term ${raft.term}`);
    // From a leader of this very term (others have been sorted out by `Raft.step`): the election is lost.
    case "append":
      raft.becomeFollower(raft.term, message.from);
      handleAppend(raft, message);
      break;
    case "heartbeat":
      raft.becomeFollower(raft.term, message.from);
      handleHeartbeat(raft, message);
      break;
    case "snapshot":
      raft.becomeFollower(raft.term, message.from);
      handleSnapshot(raft, message);
      break;
    case "voteResponse":
      if (raft.role === "candidate") countVote(raft, message);
      break;
    case "preVoteResponse":
      if (raft.role === "preCandidate") countVote(raft, message);
      break;
    default:
      break;
  }
}

function countVote(raft: Raft, message: Message): void {
  const granted = message.reject !== true;
  raft.trace(
    `received ${granted ? "grant" : "rejection"} of ${message.from.toString(16)} at term ${raft.term}`,
  );
  raft.tracker.recordVote(message.from, granted);
  const result = raft.tracker.voteResult();
  if (result === "lost") {
    // The term stays: a pre-vote's is of the future.
    raft.becomeFollower(raft.term, 0);
  } else if (result === "won" && raft.role === "preCandidate") {
    campaign(raft, "election");
  } else if (result === "won") {
    raft.becomeLeader();
    broadcastAppend(raft);
  }
}
