/** Linearizable reads on the leader: when which read request is answered, and with what index. */

import { broadcastHeartbeat } from "./replication.ts";
import type { Raft } from "./raft.ts";
import type { ReadRequest } from "./read-only.ts";
import type { Message } from "./types.ts";

const maxWaitingReads = 10_000;

/** A request from this member or forwarded by another. It is answered when a quorum has confirmed the leader, or never. */
export function handleReadIndex(raft: Raft, request: ReadRequest): void {
  if (raft.readOnly.pendingCount + raft.earlyReads.length >= maxWaitingReads) {
    raft.trace("dropped readIndex: too many are waiting");
    return;
  }
  if (!raft.hasCommittedInTerm) {
    // Until then it may not know of entries that its predecessors have committed (thesis, section 6.4, step 1).
    raft.earlyReads.push(request);
    return;
  }
  if (raft.config.readOnlyOption === "lease") {
    answer(raft, request, raft.log.committed);
    return;
  }
  raft.readOnly.add(request, raft.log.committed);
  advanceRound(raft);
}

/** The first entry of the term has been committed. */
export function releaseEarlyReads(raft: Raft): void {
  if (raft.earlyReads.length === 0 || !raft.hasCommittedInTerm) return;
  const early = raft.earlyReads;
  raft.earlyReads = [];
  for (const request of early) handleReadIndex(raft, request);
}

export function handleRoundAnswer(raft: Raft, message: Message): void {
  const round = Number(message.context ?? 0);
  if (raft.config.readOnlyOption !== "safe" || round === 0) return;
  confirm(raft, message.from, round);
  advanceRound(raft);
}

/** Starts the next round when reads wait for one and none is under way. Lost rounds are repeated by the heartbeat. */
function advanceRound(raft: Raft): void {
  if (raft.readOnly.isRoundUnderWay || !raft.readOnly.needsRound) return;
  broadcastHeartbeat(raft);
  confirmOwnRound(raft);
}

/**
 * Alone, a leader is its own quorum, and nobody's answer comes to confirm a round: also of reads that began
 * to wait while there were other voters, who have been removed since.
 */
export function confirmOwnRound(raft: Raft): void {
  if (raft.readOnly.pendingCount > 0) confirm(raft, raft.id, raft.readOnly.currentRound);
}

function confirm(raft: Raft, from: number, round: number): void {
  const { voters } = raft.tracker.configuration;
  for (const read of raft.readOnly.acknowledge(from, round, voters)) answer(raft, read, read.index);
}

function answer(raft: Raft, { from, context }: ReadRequest, index: number): void {
  if (from === raft.id) raft.readStates.push({ index, context });
  else raft.send({ type: "readIndexResponse", to: from, from: raft.id, index, context });
}
