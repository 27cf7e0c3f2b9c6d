/**
 * Who votes, who stands by, who is spare: the decision of the leader, as a function of what it sees. One
 * change at a time, each with its reason in words. Pure; `replica` carries it out.
 *
 * Rules, in order:
 * 1. nothing while a change is under way;
 * 2. with too few voters, the best standby is promoted: only to an odd number, since an even one
 *    survives no more failures, and so that two nodes stay one voter and one replicating standby;
 * 3. a voter that has been silent for `unresponsiveMs` is swapped for the best standby in one joint
 *    change, provided that the live voters are a majority without it: the victim becomes a standby;
 * 4. surplus voters step back; free standby places are filled with spares; silent standbys make room
 *    for live spares;
 * 5. voters spread over failure domains where a live standby allows it, not more often than hysteresis says.
 */

import type { ConfChange } from "#raft/types.ts";
import type { RoleTargets } from "./types.ts";

export interface RoleMember {
  /** 16 hex digits. */
  id: string;
  name: string;
  role: "voter" | "standby" | "spare";
  /** How long nothing has been heard from it; 0 for the leader itself. */
  silentMs: number;
  /** It has (nearly) all that the leader has. */
  caughtUp: boolean;
  failureDomain: string;
  witness: boolean;
  isLeader: boolean;
}

export interface RoleView {
  members: RoleMember[];
  targets: RoleTargets;
  /** A change has been proposed and is not finished, or the configuration is joint. */
  changing: boolean;
  /** Since the last change of roles. */
  sinceChangeMs: number;
}

export interface RoleChange {
  changes: { type: "addVoter" | "addLearner" | "remove"; id: string }[];
  text: string;
}

/** Changes that only improve the layout wait for this long after the last one. */
export const calmMs = 30_000;
/** Nothing is decided for this long after a change, so that its effect can be seen. */
export const settleMs = 500;

export function planRoles(view: RoleView): RoleChange | undefined {
  if (view.changing || view.sinceChangeMs < settleMs) return undefined;
  return (
    replaceSilentVoter(view) ??
    promote(view) ??
    fillStandbys(view) ??
    replaceSilentStandby(view) ??
    demoteSurplus(view) ??
    spreadDomains(view)
  );
}

/** How many voters a cluster of this many live nodes should have: odd, and not above the target. */
export function wantedVoters(members: number, target: number): number {
  const most = Math.min(members, target);
  return most % 2 === 0 ? Math.max(most - 1, 1) : most;
}

export function toConfChange(change: RoleChange, parse: (id: string) => number): ConfChange {
  return {
    transition: "auto",
    changes: change.changes.map(({ type, id }) => ({ type, nodeId: parse(id) })),
    context: new Uint8Array(0),
  };
}

function replaceSilentVoter(view: RoleView): RoleChange | undefined {
  const voters = withRole(view, "voter");
  const victim = voters.find((voter) => isSilent(view, voter) && !voter.isLeader);
  if (victim === undefined) return undefined;
  const live = voters.filter((voter) => !isSilent(view, voter));
  if (live.length * 2 <= voters.length) return undefined;
  const standby = bestStandby(
    view,
    voters.filter((voter) => voter !== victim),
  );
  if (standby === undefined) return undefined;
  return {
    changes: [
      { type: "addVoter", id: standby.id },
      { type: "addLearner", id: victim.id },
    ],
    text: `${standby.name} became a voter in place of ${victim.name}, which has not answered for ${seconds(victim)} s`,
  };
}

function promote(view: RoleView): RoleChange | undefined {
  const voters = withRole(view, "voter");
  const live = view.members.filter((member) => !isSilent(view, member) && member.role !== "spare");
  const silentVoters = voters.filter((voter) => isSilent(view, voter)).length;
  const wanted = wantedVoters(live.length + silentVoters, view.targets.voters);
  if (voters.length >= wanted) return undefined;
  const first = bestStandby(view, voters);
  if (first === undefined) return undefined;
  // An odd number of voters grows by two at once, or it would pass through an even one.
  if (voters.length % 2 === 0) {
    return { changes: [{ type: "addVoter", id: first.id }], text: `${first.name} became a voter` };
  }
  const second = bestStandby(view, [...voters, first], first);
  if (second === undefined) return undefined;
  return {
    changes: [
      { type: "addVoter", id: first.id },
      { type: "addVoter", id: second.id },
    ],
    text: `${first.name} and ${second.name} became voters: the datastore now survives the loss of ${(voters.length + 1) / 2}`,
  };
}

function fillStandbys(view: RoleView): RoleChange | undefined {
  const voters = withRole(view, "voter");
  const standbys = withRole(view, "standby");
  const missingVoters = Math.max(wantedVoters(view.members.length, view.targets.voters) - voters.length, 0);
  if (standbys.length >= view.targets.standbys + missingVoters) return undefined;
  const spare = bestSpare(view, [...voters, ...standbys]);
  if (spare === undefined) return undefined;
  return {
    changes: [{ type: "addLearner", id: spare.id }],
    text: `${spare.name} became a standby and receives a copy of the datastore`,
  };
}

function replaceSilentStandby(view: RoleView): RoleChange | undefined {
  const standbys = withRole(view, "standby");
  if (standbys.length < view.targets.standbys) return undefined;
  const victim = standbys.find((standby) => isSilent(view, standby));
  const spare = bestSpare(view, standbys);
  if (victim === undefined || spare === undefined) return undefined;
  return {
    changes: [
      { type: "remove", id: victim.id },
      { type: "addLearner", id: spare.id },
    ],
    text: `${spare.name} became a standby in place of ${victim.name}, which has not answered for ${seconds(victim)} s`,
  };
}

function demoteSurplus(view: RoleView): RoleChange | undefined {
  const voters = withRole(view, "voter");
  const standbys = withRole(view, "standby");
  if (voters.length > wantedVoters(view.members.length, view.targets.voters)) {
    const victim = leastUseful(view, voters);
    if (victim !== undefined) {
      return {
        changes: [{ type: "addLearner", id: victim.id }],
        text: `${victim.name} became a standby: ${voters.length - 1} voters are enough for ${view.members.length} nodes`,
      };
    }
  }
  if (voters.length < wantedVoters(view.members.length, view.targets.voters)) return undefined;
  if (standbys.length <= view.targets.standbys) return undefined;
  const victim = leastUseful(view, standbys);
  if (victim === undefined) return undefined;
  return {
    changes: [{ type: "remove", id: victim.id }],
    text: `${victim.name} became a spare: ${view.targets.standbys} standbys are enough`,
  };
}

function spreadDomains(view: RoleView): RoleChange | undefined {
  if (view.sinceChangeMs < calmMs) return undefined;
  const voters = withRole(view, "voter");
  const crowded = voters.find((voter) => !voter.isLeader && sharesDomain(voter, voters));
  if (crowded === undefined) return undefined;
  const others = voters.filter((voter) => voter !== crowded);
  const standby = bestStandby(view, others);
  if (standby === undefined || others.some((voter) => voter.failureDomain === standby.failureDomain)) {
    return undefined;
  }
  return {
    changes: [
      { type: "addVoter", id: standby.id },
      { type: "addLearner", id: crowded.id },
    ],
    text: `${standby.name} became a voter in place of ${crowded.name}, whose failure domain "${crowded.failureDomain}" had two`,
  };
}

function withRole(view: RoleView, role: RoleMember["role"]): RoleMember[] {
  return view.members.filter((member) => member.role === role);
}

function isSilent(view: RoleView, member: RoleMember): boolean {
  return member.silentMs >= view.targets.unresponsiveMs;
}

/** Answered within the last seconds: good enough to be given a new part. */
function isLively(member: RoleMember): boolean {
  return member.silentMs < 3000;
}

function sharesDomain(member: RoleMember, among: RoleMember[]): boolean {
  return (
    member.failureDomain !== "" &&
    among.some((other) => other !== member && other.failureDomain === member.failureDomain)
  );
}

/** Live, caught up, in a failure domain that the voters don't have, and in the order of ids where all is equal. */
function bestStandby(view: RoleView, voters: RoleMember[], except?: RoleMember): RoleMember | undefined {
  const candidates = withRole(view, "standby").filter(
    (member) => member !== except && isLively(member) && member.caughtUp,
  );
  return preferFreshDomain(candidates, voters);
}

function bestSpare(view: RoleView, placed: RoleMember[]): RoleMember | undefined {
  return preferFreshDomain(withRole(view, "spare").filter(isLively), placed);
}

function preferFreshDomain(candidates: RoleMember[], placed: RoleMember[]): RoleMember | undefined {
  const crowd = (member: RoleMember) =>
    placed.filter((other) => other.failureDomain === member.failureDomain).length;
  return candidates.toSorted(
    (a, b) => crowd(a) - crowd(b) || Number(b.witness) - Number(a.witness) || (a.id < b.id ? -1 : 1),
  )[0];
}

/** Silent ones first, then those whose failure domain has another, never the leader. */
function leastUseful(view: RoleView, members: RoleMember[]): RoleMember | undefined {
  return members
    .filter((member) => !member.isLeader)
    .toSorted(
      (a, b) =>
        Number(isSilent(view, b)) - Number(isSilent(view, a)) ||
        Number(sharesDomain(b, members)) - Number(sharesDomain(a, members)) ||
        (a.id < b.id ? 1 : -1),
    )[0];
}

function seconds(member: RoleMember): number {
  return Math.round(member.silentMs / 1000);
}
