/**
 * Who votes, who stands by, who is spare: the decision of the leader, as a function of what it sees. One
 * change at a time, each with its reason in words. Pure; `governor.ts` carries it out.
 *
 * Rules, in order:
 * 1. nothing while a change is under way, or right after one;
 * 2. a voter that has been silent for `unresponsiveMs` is swapped for the best standby in one joint
 *    change, provided that the live voters are a majority without it: the victim becomes a standby;
 * 3. with too few voters, the best standbys are promoted: only to an odd number, since an even one
 *    survives no more failures, and so that two nodes stay one voter and one replicating standby;
 * 4. free standby places are filled with spares; silent standbys make room for live spares; surplus voters
 *    and standbys step back;
 * 5. voters and standbys spread over failure domains where a live node allows it.
 *
 * Against flapping: who is given a part must have answered without a break for a time that doubles with
 * each recent outage (`requiredStableMs`), and the less urgent a change is, the longer after the last one it
 * must wait. Nobody gets a part back for having had it.
 */

import type { ConfChange } from "#raft/types.ts";
import type { DecisionReason, RoleTargets } from "../types.ts";
import { bestSpare, bestStandby, crowdOf, leastUseful, sharesDomain } from "./role-candidates.ts";

export interface RoleMember {
  /** 16 hex digits. */
  id: string;
  name: string;
  role: "voter" | "standby" | "spare";
  /** How long nothing has been heard from it; 0 for the leader itself. */
  silentMs: number;
  /** Since when it has answered without a break, as this leader knows; 0 while it does not answer. */
  stableMs: number;
  /** How often it fell silent and came back within the last minutes, as this leader knows. */
  outages: number;
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
  /** Since the last change of roles, or since this leader leads. */
  sinceChangeMs: number;
}

export interface RoleChange {
  changes: { type: "addVoter" | "addLearner" | "remove"; id: string }[];
  reason: DecisionReason;
  /** Whom it is about, names. */
  subjects: string[];
  text: string;
}

/** Nothing is decided for this long after a change, so that its effect can be seen. */
export const settleMs = 500;
/** A voter is replaced no sooner after the last change. */
export const replaceMs = 5_000;
/** Changes that only improve the layout wait for this long after the last one. */
export const calmMs = 30_000;

export function planRoles(view: RoleView): RoleChange | undefined {
  if (view.changing || view.sinceChangeMs < settleMs) return undefined;
  return (
    replaceSilentVoter(view) ??
    promote(view) ??
    fillStandbys(view) ??
    replaceSilentStandby(view) ??
    demoteSurplus(view) ??
    spreadVoters(view) ??
    spreadStandbys(view)
  );
}

/** How many voters a cluster of this many live nodes should have: odd, and not above the target. */
export function wantedVoters(members: number, target: number): number {
  const most = Math.min(members, target);
  return most % 2 === 0 ? Math.max(most - 1, 1) : most;
}

/** How many of these could vote at once: witnesses stay fewer than voters that can lead. */
export function votingPower(members: readonly { witness: boolean }[]): number {
  const witnesses = members.filter(({ witness }) => witness).length;
  const full = members.length - witnesses;
  return full + Math.min(witnesses, Math.max(full - 1, 0));
}

/** The change of configuration that takes a member out for good, with what keeps the number of voters odd. */
export function planRemoval(view: RoleView, id: string): RoleChange["changes"] {
  const member = view.members.find((each) => each.id === id);
  if (member === undefined || member.role === "spare") return [];
  const removal = { type: "remove" as const, id };
  if (member.role === "standby") return [removal];
  const rest = { ...view, members: view.members.filter((each) => each !== member) };
  const voters = withRole(rest, "voter");
  const standby = bestStandby(rest, voters);
  if (standby !== undefined) return [{ type: "addVoter", id: standby.id }, removal];
  const surplus = voters.length % 2 === 0 ? leastUseful(rest, voters) : undefined;
  return surplus === undefined ? [removal] : [{ type: "addLearner", id: surplus.id }, removal];
}

export function toConfChange(changes: RoleChange["changes"], parse: (id: string) => number): ConfChange {
  return {
    transition: "auto",
    changes: changes.map(({ type, id }) => ({ type, nodeId: parse(id) })),
    context: new Uint8Array(0),
  };
}

function replaceSilentVoter(view: RoleView): RoleChange | undefined {
  if (view.sinceChangeMs < replaceMs) return undefined;
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
    reason: "VoterReplaced",
    subjects: [standby.name, victim.name],
    text: `${standby.name} became a voter in place of ${victim.name}, which has not answered for ${seconds(victim)} s`,
  };
}

function promote(view: RoleView): RoleChange | undefined {
  const voters = withRole(view, "voter");
  const eligible = view.members.filter(
    (member) => member.role === "voter" || (member.role === "standby" && !isSilent(view, member)),
  );
  const wanted = wantedVoters(votingPower(eligible), view.targets.voters);
  if (voters.length >= wanted) return undefined;
  const first = bestStandby(view, voters);
  if (first === undefined) return undefined;
  // An odd number of voters grows by two at once, or it would pass through an even one.
  if (voters.length % 2 === 0) {
    return {
      changes: [{ type: "addVoter", id: first.id }],
      reason: "StandbyPromoted",
      subjects: [first.name],
      text: `${first.name} became a voter: ${voters.length + 1} voters survive the loss of ${voters.length / 2}`,
    };
  }
  const second = bestStandby(view, [...voters, first], first);
  if (second === undefined) return undefined;
  return {
    changes: [
      { type: "addVoter", id: first.id },
      { type: "addVoter", id: second.id },
    ],
    reason: "StandbyPromoted",
    subjects: [first.name, second.name],
    text: `${first.name} and ${second.name} became voters: the datastore now survives the loss of ${(voters.length + 1) / 2}`,
  };
}

/** A witness holds a copy whenever it does not vote; it takes no standby's place, since it serves no API. */
function fillStandbys(view: RoleView): RoleChange | undefined {
  const voters = withRole(view, "voter");
  const standbys = standbysOf(view);
  const wanted = wantedVoters(votingPower(view.members), view.targets.voters);
  const free = standbys.length < view.targets.standbys + Math.max(wanted - voters.length, 0);
  const spare = bestSpare(view, [...voters, ...standbys], (member) => member.witness || free);
  if (spare === undefined) return undefined;
  return {
    changes: [{ type: "addLearner", id: spare.id }],
    reason: "SpareBecameStandby",
    subjects: [spare.name],
    text: spare.witness
      ? `${spare.name}, a witness, receives a copy of the datastore, to vote when it is needed`
      : `${spare.name} became a standby and receives a copy of the datastore`,
  };
}

function replaceSilentStandby(view: RoleView): RoleChange | undefined {
  const standbys = standbysOf(view);
  if (view.sinceChangeMs < replaceMs || standbys.length < view.targets.standbys) return undefined;
  const victim = standbys.find((standby) => isSilent(view, standby));
  const spare = bestSpare(view, [...withRole(view, "voter"), ...standbys]);
  if (victim === undefined || spare === undefined) return undefined;
  return {
    changes: [
      { type: "remove", id: victim.id },
      { type: "addLearner", id: spare.id },
    ],
    reason: "StandbyReplaced",
    subjects: [spare.name, victim.name],
    text: `${spare.name} became a standby in place of ${victim.name}, which has not answered for ${seconds(victim)} s`,
  };
}

function demoteSurplus(view: RoleView): RoleChange | undefined {
  const voters = withRole(view, "voter");
  const standbys = standbysOf(view);
  const wanted = wantedVoters(votingPower(view.members), view.targets.voters);
  if (voters.length > wanted) {
    const first = leastUseful(view, voters);
    if (first === undefined) return undefined;
    // An odd number shrinks by two at once, or it would pass through an even one.
    const others = voters.filter((voter) => voter !== first);
    const second = voters.length - wanted >= 2 && others.length % 2 === 0 && leastUseful(view, others);
    const victims = second === false || second === undefined ? [first] : [first, second];
    // The live ones must be a majority of what is left.
    const left = voters.filter((voter) => !victims.includes(voter));
    if (left.filter((voter) => !isSilent(view, voter)).length * 2 <= left.length) return undefined;
    return {
      changes: victims.map(({ id }) => ({ type: "addLearner", id })),
      reason: "VoterDemoted",
      subjects: victims.map(({ name }) => name),
      text: `${victims.map(({ name }) => name).join(" and ")} became ${victims.length === 1 ? "a standby" : "standbys"}: ${left.length} ${left.length === 1 ? "voter is" : "voters are"} enough for ${view.members.length} nodes`,
    };
  }
  if (voters.length < wanted || standbys.length <= view.targets.standbys) return undefined;
  const victim = leastUseful(view, standbys);
  if (victim === undefined) return undefined;
  return {
    changes: [{ type: "remove", id: victim.id }],
    reason: "StandbyDemoted",
    subjects: [victim.name],
    text: `${victim.name} became a spare: ${view.targets.standbys} standbys are enough`,
  };
}

/** Worth a change only if the fullest domain gets emptier, so that two layouts never alternate. */
function spreadVoters(view: RoleView): RoleChange | undefined {
  if (view.sinceChangeMs < calmMs) return undefined;
  const voters = withRole(view, "voter");
  const crowded = voters
    .filter((voter) => !voter.isLeader && sharesDomain(voter, voters))
    .toSorted((a, b) => crowdOf(b, voters) - crowdOf(a, voters) || (a.id < b.id ? 1 : -1))[0];
  if (crowded === undefined) return undefined;
  const others = voters.filter((voter) => voter !== crowded);
  const standby = bestStandby(view, others);
  if (standby === undefined || standby.failureDomain === "") return undefined;
  if (crowdOf(crowded, voters) - crowdOf(standby, others) < 2) return undefined;
  return {
    changes: [
      { type: "addVoter", id: standby.id },
      { type: "addLearner", id: crowded.id },
    ],
    reason: "VotersSpread",
    subjects: [standby.name, crowded.name],
    text: `${standby.name} of failure domain "${standby.failureDomain}" became a voter in place of ${crowded.name}, whose domain "${crowded.failureDomain}" had ${crowdOf(crowded, voters)}`,
  };
}

/** A spare of a domain that holds no copy takes the place of a standby whose domain holds another. */
function spreadStandbys(view: RoleView): RoleChange | undefined {
  if (view.sinceChangeMs < calmMs) return undefined;
  const placed = [...withRole(view, "voter"), ...standbysOf(view)];
  const spare = bestSpare(view, placed);
  if (spare === undefined || spare.failureDomain === "" || crowdOf(spare, placed) > 0) return undefined;
  const crowded = standbysOf(view)
    .filter((standby) => sharesDomain(standby, placed))
    .toSorted((a, b) => crowdOf(b, placed) - crowdOf(a, placed) || (a.id < b.id ? 1 : -1))[0];
  if (crowded === undefined) return undefined;
  return {
    changes: [
      { type: "remove", id: crowded.id },
      { type: "addLearner", id: spare.id },
    ],
    reason: "StandbysSpread",
    subjects: [spare.name, crowded.name],
    text: `${spare.name} became a standby in place of ${crowded.name}: no other node of failure domain "${spare.failureDomain}" held a copy`,
  };
}

function withRole(view: RoleView, role: RoleMember["role"]): RoleMember[] {
  return view.members.filter((member) => member.role === role);
}

/** Those that count as standbys. */
function standbysOf(view: RoleView): RoleMember[] {
  return withRole(view, "standby").filter((member) => !member.witness);
}

function isSilent(view: RoleView, member: RoleMember): boolean {
  return member.silentMs >= view.targets.unresponsiveMs;
}

function seconds(member: RoleMember): number {
  return Math.round(member.silentMs / 1000);
}
