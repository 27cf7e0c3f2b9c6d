/** What followers and learners do with messages: follow the leader, forward what is for it. */

import { startElection } from "./election.ts";
import { restoreConfiguration } from "./membership.ts";
import type { Raft } from "./raft.ts";
import { ProposalDroppedError } from "./types.ts";
import type { Message, Snapshot } from "./types.ts";

export function stepFollower(raft: Raft, message: Message): void {
  switch (message.type) {
    case "append":
      hearLeader(raft, message);
      handleAppend(raft, message);
      break;
    case "heartbeat":
      hearLeader(raft, message);
      handleHeartbeat(raft, message);
      break;
    case "snapshot":
      hearLeader(raft, message);
      handleSnapshot(raft, message);
      break;
    case "propose":
      if (raft.leader === 0) throw new ProposalDroppedError(`no leader at term ${raft.term}`);
      if (raft.config.disableProposalForwarding) {
        throw new ProposalDroppedError("this member does not lead and does not forward proposals");
      }
      raft.send({ ...message, to: raft.leader });
      break;
    case "readIndex":
    case "transferLeader":
      if (raft.leader === 0) raft.trace(`dropped ${message.type}: no leader at term ${raft.term}`);
      else raft.send({ ...message, to: raft.leader });
      break;
    case "readIndexResponse":
      raft.readStates.push({ index: message.index ?? 0, context: message.context ?? "" });
      break;
    case "timeoutNow":
      // No pre-vote: the old leader has said that it gives way.
      startElection(raft, "transfer");
      break;
    case "forgetLeader":
      forgetLeader(raft);
      break;
    default:
      break;
  }
}

function hearLeader(raft: Raft, message: Message): void {
  raft.electionElapsed = 0;
  raft.leader = message.from;
}

function forgetLeader(raft: Raft): void {
  // A lease promises the leader that nobody votes before it has run out.
  if (raft.config.readOnlyOption === "lease") {
    raft.trace("does not forget the leader: reads depend on its lease");
  } else if (raft.leader !== 0) {
    raft.trace(`forgets leader ${raft.leader.toString(16)} at term ${raft.term}`);
    raft.leader = 0;
  }
}

export function handleAppend(raft: Raft, message: Message): void {
  const { from: to } = message;
  const previous = message.index ?? 0;
  const previousTerm = message.logTerm ?? 0;
  if (previous < raft.log.committed) {
    // What is committed matches in any case.
    raft.send({ type: "appendResponse", to, from: raft.id, index: raft.log.committed });
    return;
  }
  const lastNew = raft.log.maybeAppend(previous, previousTerm, message.entries ?? [], message.commit ?? 0);
  if (lastNew !== undefined) {
    raft.send({ type: "appendResponse", to, from: raft.id, index: lastNew });
    return;
  }
  const hint = raft.log.findConflictByTerm(Math.min(previous, raft.log.lastIndex()), previousTerm);
  raft.send({
    type: "appendResponse",
    to,
    from: raft.id,
    index: previous,
    reject: true,
    rejectHint: hint.index,
    logTerm: hint.term,
  });
}

export function handleHeartbeat(raft: Raft, message: Message): void {
  raft.log.commitTo(message.commit ?? 0);
  raft.send({
    type: "heartbeatResponse",
    to: message.from,
    from: raft.id,
    ...(message.context === undefined ? {} : { context: message.context }),
  });
}

export function handleSnapshot(raft: Raft, message: Message): void {
  const { snapshot } = message;
  const restored = snapshot !== undefined && restoreSnapshot(raft, snapshot);
  const index = restored ? raft.log.lastIndex() : raft.log.committed;
  raft.send({ type: "appendResponse", to: message.from, from: raft.id, index });
}

/** False when the snapshot is of no use here. */
function restoreSnapshot(raft: Raft, snapshot: Snapshot): boolean {
  const { index, term, confState } = snapshot.metadata;
  if (index <= raft.log.committed) return false;
  // Changes of membership among the entries being applied now would hit the configuration of the snapshot.
  // The leader sends again, when it finds out that the snapshot was not taken.
  if (raft.log.applying > raft.log.applied) {
    raft.trace("ignored a snapshot: entries are being applied");
    return false;
  }
  const { voters, learners, votersOutgoing } = confState;
  // `learnersNext` are among the outgoing voters.
  if (![voters, learners, votersOutgoing].some((ids) => ids.includes(raft.id))) {
    raft.trace("ignored a snapshot of a configuration without this member");
    return false;
  }
  if (raft.log.matchesTerm(index, term)) {
    // The log has it all, and only has to learn that it is committed.
    raft.log.commitTo(index);
    return false;
  }
  raft.log.restore(snapshot);
  restoreConfiguration(raft, confState);
  raft.trace(`restored snapshot at index ${index}, term ${term}`);
  return true;
}
