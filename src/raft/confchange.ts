/**
 * Changes of membership as pure functions: a configuration and a change go in, a new configuration or a
 * ConfChangeError comes out. At most one voter may change simply; anything more goes through a joint
 * configuration, in which the old and the new majority must both agree (Ongaro's thesis, chapter 4).
 * Knows nothing of when a change may be proposed: that is `membership.ts`.
 */

import { assert } from "#base/assert.ts";
import { Progress } from "./progress.ts";
import { isJoint } from "./tracker.ts";
import type { Configuration } from "./tracker.ts";
import type { ConfChange, ConfState, NodeId } from "./types.ts";

/** The change can't be made to this configuration. */
export class ConfChangeError extends Error {
  override name = "ConfChangeError";
}

export interface Membership {
  configuration: Configuration;
  progress: ReadonlyMap<NodeId, Progress>;
}

/** How the progress of a new member begins: it is probed from the end of the leader's log. */
export interface NewMemberOptions {
  lastIndex: number;
  maxInflightMessages: number;
  maxInflightBytes: number;
}

type Changes = ConfChange["changes"];

/** The change as its author meant it: simple, joint, or (no steps) the end of a joint configuration. */
export function changeMembership(
  membership: Membership,
  change: ConfChange,
  options: NewMemberOptions,
): Membership {
  if (change.changes.length === 0) return leaveJoint(membership);
  if (change.transition === "auto" && change.changes.length === 1) {
    return changeSimply(membership, change.changes, options);
  }
  return enterJoint(membership, change.transition !== "explicit", change.changes, options);
}

/** Several learners, but at most one voter, may come or go at once. */
export function changeSimply(
  membership: Membership,
  changes: Changes,
  options: NewMemberOptions,
): Membership {
  if (isJoint(membership.configuration)) {
    throw new ConfChangeError("can't apply simple config change in joint config");
  }
  const draft = new Draft(membership, options);
  draft.apply(changes);
  const before = membership.configuration.voters.incoming;
  if (before.symmetricDifference(draft.incoming).size > 1) {
    throw new ConfChangeError("more than one voter changed without entering joint config");
  }
  return draft.finish(false);
}

export function enterJoint(
  membership: Membership,
  autoLeave: boolean,
  changes: Changes,
  options: NewMemberOptions,
): Membership {
  if (isJoint(membership.configuration)) throw new ConfChangeError("config is already joint");
  if (membership.configuration.voters.incoming.size === 0) {
    // A group without voters has agreed to nothing yet, so there is nothing to overlap with.
    throw new ConfChangeError("can't make a zero-voter config joint");
  }
  const draft = new Draft(membership, options);
  draft.outgoing = new Set(draft.incoming);
  draft.apply(changes);
  return draft.finish(autoLeave);
}

export function leaveJoint(membership: Membership): Membership {
  if (!isJoint(membership.configuration)) throw new ConfChangeError("can't leave a non-joint config");
  const draft = new Draft(membership, { lastIndex: 0, maxInflightMessages: 0, maxInflightBytes: 0 });
  draft.leave();
  return draft.finish(false);
}

/** Builds the membership that a snapshot or the durable state names. */
export function restoreMembership(confState: ConfState, options: NewMemberOptions): Membership {
  let membership: Membership = {
    configuration: {
      voters: { incoming: new Set(), outgoing: new Set() },
      learners: new Set(),
      learnersNext: new Set(),
      autoLeave: false,
    },
    progress: new Map(),
  };
  const incoming: Changes = [
    ...confState.votersOutgoing.map((nodeId) => ({ type: "remove" as const, nodeId })),
    ...confState.voters.map((nodeId) => ({ type: "addVoter" as const, nodeId })),
    ...[...confState.learners, ...confState.learnersNext].map((nodeId) => ({
      type: "addLearner" as const,
      nodeId,
    })),
  ];
  if (confState.votersOutgoing.length === 0) {
    for (const change of incoming) membership = changeSimply(membership, [change], options);
    return membership;
  }
  for (const nodeId of confState.votersOutgoing) {
    membership = changeSimply(membership, [{ type: "addVoter", nodeId }], options);
  }
  return enterJoint(membership, confState.autoLeave, incoming, options);
}

/** A membership while it is being changed. Progress objects are shared until a member's role changes. */
class Draft {
  readonly incoming: Set<NodeId>;
  outgoing: Set<NodeId>;
  readonly #learners: Set<NodeId>;
  #learnersNext: Set<NodeId>;
  readonly #progress: Map<NodeId, Progress>;
  /** Members whose role as learner changes; written to their progress only when the whole change is valid. */
  readonly #roles = new Map<NodeId, boolean>();
  readonly #options: NewMemberOptions;

  constructor(membership: Membership, options: NewMemberOptions) {
    const { voters, learners, learnersNext } = membership.configuration;
    this.incoming = new Set(voters.incoming);
    this.outgoing = new Set(voters.outgoing);
    this.#learners = new Set(learners);
    this.#learnersNext = new Set(learnersNext);
    this.#progress = new Map(membership.progress);
    this.#options = options;
  }

  apply(changes: Changes): void {
    for (const { type, nodeId } of changes) {
      // Id 0 is how a proposer cancels a step that it finds out to be unnecessary.
      if (nodeId === 0) continue;
      if (type === "addVoter") this.#makeVoter(nodeId);
      else if (type === "addLearner") this.#makeLearner(nodeId);
      else if (type === "remove") this.#remove(nodeId);
    }
    if (this.incoming.size === 0) throw new ConfChangeError("removed all voters");
  }

  leave(): void {
    for (const id of this.#learnersNext) {
      this.#learners.add(id);
      this.#roles.set(id, true);
    }
    this.#learnersNext = new Set();
    for (const id of this.outgoing) {
      if (!this.incoming.has(id) && !this.#learners.has(id)) this.#progress.delete(id);
    }
    this.outgoing = new Set();
  }

  finish(autoLeave: boolean): Membership {
    const configuration: Configuration = {
      voters: { incoming: this.incoming, outgoing: this.outgoing },
      learners: this.#learners,
      learnersNext: this.#learnersNext,
      autoLeave,
    };
    checkInvariants(configuration, this.#progress);
    for (const [id, isLearner] of this.#roles) {
      const progress = this.#progress.get(id);
      if (progress !== undefined) progress.isLearner = isLearner;
    }
    return { configuration, progress: this.#progress };
  }

  #makeVoter(id: NodeId): void {
    this.#track(id, false);
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
    this.incoming.add(id);
  }

  #makeLearner(id: NodeId): void {
    if (this.#learners.has(id)) return;
    this.incoming.delete(id);
    // Who still votes in the outgoing half can't be a learner yet.
    if (this.outgoing.has(id)) {
      this.#learnersNext.add(id);
      return;
    }
    this.#track(id, true);
    this.#learners.add(id);
  }

  #remove(id: NodeId): void {
    if (!this.#progress.has(id)) return;
    this.incoming.delete(id);
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
    this.#roles.delete(id);
    if (!this.outgoing.has(id)) this.#progress.delete(id);
  }

  #track(id: NodeId, isLearner: boolean): void {
    if (this.#progress.has(id)) {
      this.#roles.set(id, isLearner);
      return;
    }
    const { lastIndex, maxInflightMessages, maxInflightBytes } = this.#options;
    // A new member counts as heard from: it has had no chance to speak before the next check of the quorum.
    this.#progress.set(
      id,
      new Progress({
        match: 0,
        next: Math.max(lastIndex, 1),
        isLearner,
        recentActive: true,
        maxInflightMessages,
        maxInflightBytes,
      }),
    );
  }
}

function checkInvariants(configuration: Configuration, progress: ReadonlyMap<NodeId, Progress>): void {
  const { voters, learners, learnersNext, autoLeave } = configuration;
  for (const ids of [voters.incoming, voters.outgoing, learners, learnersNext]) {
    for (const id of ids) assert(progress.has(id), "every member has a progress");
  }
  assert(learnersNext.isSubsetOf(voters.outgoing), "a future learner still votes in the outgoing half");
  assert(learners.isDisjointFrom(voters.incoming), "a learner is no incoming voter");
  assert(learners.isDisjointFrom(voters.outgoing), "a learner is no outgoing voter");
  if (!isJoint(configuration)) {
    assert(learnersNext.size === 0, "future learners exist in joint configurations only");
    assert(!autoLeave, "only a joint configuration can be left");
  }
}
