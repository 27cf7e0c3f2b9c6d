/** How a leader sends: appends within each follower's limits, snapshots where the log is gone, heartbeats. */

import { assert } from "#base/assert.ts";
import { payloadBytes } from "./entry-size.ts";
import type { Progress } from "./progress.ts";
import type { Raft } from "./raft.ts";
import { CompactedError, SnapshotTemporarilyUnavailableError } from "./types.ts";
import type { Entry, NodeId, Snapshot } from "./types.ts";

export function broadcastAppend(raft: Raft): void {
  for (const id of raft.tracker.memberIds()) {
    if (id !== raft.id) sendAppend(raft, id, "evenIfEmpty");
  }
}

/**
 * Sends the next entries to a follower, if it may be sent any. An append without entries tells the commit
 * index, or probes. True if something was sent.
 */
export function sendAppend(raft: Raft, to: NodeId, mode: "evenIfEmpty" | "entriesOnly"): boolean {
  const progress = raft.tracker.progress.get(to);
  assert(progress !== undefined, "appends are sent to members only");
  if (progress.paused) return false;
  const previous = progress.next - 1;
  const previousTerm = raft.log.termIfKnown(previous);
  const entries = previousTerm === undefined ? undefined : nextEntries(raft, progress);
  if (previousTerm === undefined || entries === undefined) return sendSnapshot(raft, to, progress);
  if (entries.length === 0 && mode === "entriesOnly") return false;
  const { committed: commit } = raft.log;
  raft.send({ type: "append", to, from: raft.id, index: previous, logTerm: previousTerm, entries, commit });
  progress.sentEntries(entries.length, payloadBytes(entries));
  progress.sentCommit(commit);
  return true;
}

/** Undefined if they are compacted. */
function nextEntries(raft: Raft, progress: Progress): Entry[] | undefined {
  // A full window lets empty appends through. If all that fills it was lost, they are how the follower
  // gets to say so.
  if (progress.state === "replicate" && progress.inflights.full) return [];
  try {
    return raft.log.entriesFrom(progress.next, raft.config.maxSizePerMessageBytes);
  } catch (error) {
    if (error instanceof CompactedError) return undefined;
    throw error;
  }
}

function sendSnapshot(raft: Raft, to: NodeId, progress: Progress): boolean {
  if (!progress.recentActive) {
    raft.trace(`sends no snapshot to ${to.toString(16)}: it is not recently active`);
    return false;
  }
  const snapshot = newestSnapshot(raft);
  if (snapshot === undefined) return false;
  const { index, confState } = snapshot.metadata;
  const { voters, learners, votersOutgoing } = confState;
  if (![voters, learners, votersOutgoing].some((ids) => ids.includes(to))) {
    // It would not take it.
    raft.trace(`sends no snapshot to ${to.toString(16)}: the newest is older than its membership`);
    return false;
  }
  assert(index > 0, "a snapshot that is sent is not empty");
  raft.trace(`sends snapshot at index ${index} to ${to.toString(16)}`);
  progress.becomeSnapshot(index);
  raft.send({ type: "snapshot", to, from: raft.id, snapshot });
  return true;
}

function newestSnapshot(raft: Raft): Snapshot | undefined {
  try {
    return raft.log.snapshot();
  } catch (error) {
    if (error instanceof SnapshotTemporarilyUnavailableError) return undefined;
    throw error;
  }
}

/** Heartbeats to all, of a new round of read confirmations where reads wait. */
export function broadcastHeartbeat(raft: Raft): void {
  const { readOnly } = raft;
  if (readOnly.pendingCount > 0) readOnly.startRound(raft.id);
  const round = readOnly.currentRound;
  for (const id of raft.tracker.memberIds()) {
    if (id !== raft.id) sendHeartbeat(raft, id, round);
  }
}

function sendHeartbeat(raft: Raft, to: NodeId, round: number): void {
  const progress = raft.tracker.progress.get(to);
  assert(progress !== undefined, "heartbeats are sent to members only");
  // Not beyond the match: the follower's log may differ there.
  const commit = Math.min(progress.match, raft.log.committed);
  raft.send({
    type: "heartbeat",
    to,
    from: raft.id,
    commit,
    ...(round > 0 ? { context: String(round) } : {}),
  });
  progress.sentCommit(commit);
}
