/**
 * How a member takes up a configuration, and which changes a leader lets into the log. A change takes
 * effect when it is *applied*, and at most one may be in the log unapplied. Together with the rule in
 * `startElection` this keeps any two configurations in use at most one step apart, so that their majorities
 * overlap.
 */

import { assert } from "#base/assert.ts";
import { changeMembership, ConfChangeError, restoreMembership } from "./confchange.ts";
import type { Membership, NewMemberOptions } from "./confchange.ts";
import { releaseEarlyReads } from "./reads.ts";
import { broadcastAppend, sendAppend } from "./replication.ts";
import { describeConfiguration } from "./tracker.ts";
import type { Raft } from "./raft.ts";
import { ProposalDroppedError } from "./types.ts";
import type { ConfChange, ConfState } from "./types.ts";

/** Takes up a committed change. Throws ConfChangeError for one that validation would not have let in. */
export function applyConfChange(raft: Raft, change: ConfChange): ConfState {
  const { configuration, progress } = raft.tracker;
  return switchTo(raft, changeMembership({ configuration, progress }, change, newMemberOptions(raft)));
}

/** Takes up the configuration of a snapshot or of the durable state. */
export function restoreConfiguration(raft: Raft, confState: ConfState): void {
  switchTo(raft, restoreMembership(confState, newMemberOptions(raft)));
}

/**
 * Why this change may not enter the leader's log now, undefined if it may. Also refuses a change that
 * could not be applied: once committed it would stop every member.
 */
export function refusalOf(raft: Raft, change: ConfChange): string | undefined {
  if (raft.config.disableConfChangeValidation) return undefined;
  const { configuration, isJoint } = raft.tracker;
  const leaves = change.changes.length === 0;
  if (raft.pendingConfIndex > raft.log.applied) {
    return `possible unapplied conf change at index ${raft.pendingConfIndex} (applied to ${raft.log.applied})`;
  }
  if (!raft.hasCommittedInTerm) return "this leader has not committed an entry of its term yet";
  if (isJoint && !leaves) return "must transition out of joint config first";
  if (!isJoint && leaves) return "not in joint state; refusing empty conf change";
  try {
    const options = newMemberOptions(raft);
    // A copy, since trying a change changes the progress of members.
    const copy = restoreMembership(raft.tracker.confState(), options);
    changeMembership({ configuration, progress: copy.progress }, change, options);
    return undefined;
  } catch (error) {
    if (error instanceof ConfChangeError) return error.message;
    throw error;
  }
}

/** The leader has applied an automatic joint change: propose its end. */
export function proposeLeavingJoint(raft: Raft): void {
  const confChange: ConfChange = { transition: "auto", changes: [], context: new Uint8Array(0) };
  const entries = [{ index: 0, term: 0, type: "confChange" as const, data: new Uint8Array(0), confChange }];
  try {
    raft.step({ type: "propose", to: raft.id, from: raft.id, entries });
    raft.trace("initiating automatic transition out of joint configuration");
  } catch (error) {
    // Dropped during a leadership transfer: either the next leader leaves, or this one at its next apply.
    if (!(error instanceof ProposalDroppedError)) throw error;
  }
}

function switchTo(raft: Raft, { configuration, progress }: Membership): ConfState {
  const { tracker } = raft;
  tracker.configuration = configuration;
  tracker.progress = progress;
  raft.trace(`switched to configuration ${describeConfiguration(configuration)}`);
  if (raft.role !== "leader") return tracker.confState();

  const own = progress.get(raft.id);
  if (own === undefined || own.isLearner) {
    // It goes on counting for others, not for itself, until they elect another; or it stops at once.
    if (raft.config.stepDownOnRemoval) raft.becomeFollower(raft.term, 0);
    return tracker.confState();
  }
  assert(configuration.voters.incoming.size > 0, "a leader has voters");
  // A smaller quorum may have everything already. Else new members are probed without delay.
  if (raft.log.maybeCommit(tracker.committedIndex(), raft.term)) {
    releaseEarlyReads(raft);
    broadcastAppend(raft);
  } else {
    for (const id of tracker.memberIds()) {
      if (id !== raft.id) sendAppend(raft, id, "entriesOnly");
    }
  }
  if (!tracker.isVoter(raft.transferTarget)) raft.transferTarget = 0;
  return tracker.confState();
}

function newMemberOptions(raft: Raft): NewMemberOptions {
  const { maxInflightMessages, maxInflightBytes } = raft.config;
  return { lastIndex: raft.log.lastIndex(), maxInflightMessages, maxInflightBytes };
}
