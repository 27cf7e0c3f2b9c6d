/** What a leader does with messages. */

import { refusalOf } from "./membership.ts";
import type { Progress } from "./progress.ts";
import type { Raft } from "./raft.ts";
import { confirmOwnRound, handleReadIndex, handleRoundAnswer, releaseEarlyReads } from "./reads.ts";
import { broadcastAppend, broadcastHeartbeat, sendAppend } from "./replication.ts";
import { ProposalDroppedError } from "./types.ts";
import type { Entry, Message, NodeId } from "./types.ts";

export function stepLeader(raft: Raft, message: Message): void {
  switch (message.type) {
    case "beat":
      broadcastHeartbeat(raft);
      confirmOwnRound(raft);
      return;
    case "checkQuorum":
      checkQuorum(raft);
      return;
    case "propose":
      handleProposal(raft, message);
      return;
    case "readIndex":
      handleReadIndex(raft, { from: message.from, context: message.context ?? "" });
      return;
    default:
      break;
  }
  // All others are about a member.
  const progress = raft.tracker.progress.get(message.from);
  if (progress === undefined) return;
  switch (message.type) {
    case "appendResponse":
      progress.recentActive = true;
      if (message.reject === true) handleRejection(raft, progress, message);
      else handleAcknowledgement(raft, progress, message);
      break;
    case "heartbeatResponse":
      handleHeartbeatResponse(raft, progress, message);
      break;
    case "snapshotStatus":
      handleSnapshotStatus(progress, message.reject !== true);
      break;
    case "unreachable":
      // What is in flight is probably lost.
      if (progress.state === "replicate") progress.becomeProbe();
      break;
    case "transferLeader":
      handleTransfer(raft, progress, message.from);
      break;
    default:
      break;
  }
}

/** Steps down if no quorum was heard for an election timeout: clients should not wait for a leader that can't lead. */
function checkQuorum(raft: Raft): void {
  if (!raft.tracker.isQuorumActive()) {
    raft.trace("stepped down to follower since quorum is not active");
    raft.becomeFollower(raft.term, 0);
    return;
  }
  for (const [id, progress] of raft.tracker.progress) {
    if (id !== raft.id) progress.recentActive = false;
  }
}

function handleProposal(raft: Raft, message: Message): void {
  const entries = message.entries ?? [];
  if (entries.length === 0) throw new ProposalDroppedError("it is empty");
  if (!raft.tracker.progress.has(raft.id)) throw new ProposalDroppedError("this leader has been removed");
  if (raft.transferTarget !== 0) {
    throw new ProposalDroppedError(`leadership is being transferred to ${raft.transferTarget.toString(16)}`);
  }
  const pendingBefore = raft.pendingConfIndex;
  const accepted = entries.map((entry, position): Entry => {
    if (entry.confChange === undefined) return entry;
    const refusal = refusalOf(raft, entry.confChange);
    if (refusal === undefined) {
      // At once, so that a second change in the same message is refused.
      raft.pendingConfIndex = raft.log.lastIndex() + position + 1;
      return entry;
    }
    // Its place is taken by an empty entry, so that the rest of the message stays as proposed.
    raft.trace(`ignoring conf change: ${refusal}`);
    return { index: 0, term: 0, type: "normal", data: new Uint8Array(0) };
  });
  if (!raft.appendEntries(accepted)) {
    raft.pendingConfIndex = pendingBefore;
    throw new ProposalDroppedError("too much uncommitted data");
  }
  broadcastAppend(raft);
}

function handleRejection(raft: Raft, progress: Progress, message: Message): void {
  const hint = message.rejectHint ?? 0;
  const hintTerm = message.logTerm ?? 0;
  // The follower has nothing newer than `hintTerm` up to `hint`, so entries of newer terms here can't match.
  const probe = hintTerm > 0 ? raft.log.findConflictByTerm(hint, hintTerm).index : hint;
  if (!progress.reject(message.index ?? 0, probe)) return;
  if (progress.state === "replicate") progress.becomeProbe();
  sendAppend(raft, message.from, "evenIfEmpty");
}

/** Comes from followers, and from this leader's own storage. */
function handleAcknowledgement(raft: Raft, progress: Progress, message: Message): void {
  const { from } = message;
  const index = message.index ?? 0;
  if (index > raft.log.lastIndex()) {
    // Nobody can have, in this term, what its leader has not: to count it could commit what is on no disk.
    raft.trace(`ignored an acknowledgement of ${index} from ${from.toString(16)}: the log ends before`);
    return;
  }
  const isNews = progress.acknowledge(index);
  // A probed follower that acknowledges what is known of it already can be sent to again.
  if (!isNews && !(progress.match === index && progress.state === "probe")) return;

  if (progress.state === "probe") {
    progress.becomeReplicate();
  } else if (progress.state === "snapshot" && progress.match + 1 >= raft.log.firstIndex()) {
    // Wherever it got its state from: the log can take it from here.
    progress.becomeProbe();
    progress.becomeReplicate();
  } else if (progress.state === "replicate") {
    progress.inflights.freeUpTo(index);
  }

  if (raft.log.maybeCommit(raft.tracker.committedIndex(), raft.term)) {
    releaseEarlyReads(raft);
    broadcastAppend(raft);
  } else if (from !== raft.id && progress.canBumpCommit(raft.log.committed)) {
    sendAppend(raft, from, "evenIfEmpty");
  }
  if (from === raft.id) return;
  // The window may have room for several messages now.
  while (sendAppend(raft, from, "entriesOnly"));
  if (from === raft.transferTarget && progress.match === raft.log.lastIndex()) sendTimeoutNow(raft, from);
}

function handleHeartbeatResponse(raft: Raft, progress: Progress, message: Message): void {
  progress.recentActive = true;
  progress.appendsPaused = false;
  // Also for a probed follower that has everything: its answer brings it back to "replicate".
  if (progress.match < raft.log.lastIndex() || progress.state === "probe") {
    sendAppend(raft, message.from, "evenIfEmpty");
  }
  handleRoundAnswer(raft, message);
}

function handleSnapshotStatus(progress: Progress, arrived: boolean): void {
  if (progress.state !== "snapshot") return;
  // A snapshot that failed says nothing about where the follower is.
  if (!arrived) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  // If it arrived, its acknowledgement comes soon. If not, the next try waits for a heartbeat.
  progress.appendsPaused = true;
}

function handleTransfer(raft: Raft, progress: Progress, target: NodeId): void {
  if (progress.isLearner || target === raft.transferTarget) return;
  raft.transferTarget = 0;
  if (target === raft.id) return;
  raft.trace(`starts to transfer leadership to ${target.toString(16)}`);
  // The transfer has one election timeout from now; see `Raft.tick`.
  raft.electionElapsed = 0;
  raft.transferTarget = target;
  if (progress.match === raft.log.lastIndex()) sendTimeoutNow(raft, target);
  else sendAppend(raft, target, "evenIfEmpty");
}

function sendTimeoutNow(raft: Raft, to: NodeId): void {
  raft.send({ type: "timeoutNow", to, from: raft.id });
}
