/** Who is fit for a part, and who of several is fitter. Pure; `roles.ts` asks when a part is to be given. */

import type { RoleMember, RoleView } from "./roles.ts";

const freshStableMs = 500;
const firstStableMs = 10_000;
const longestStableMs = 300_000;
/** Answered within this time: good enough to be given a new part. */
const livelyMs = 3000;

/** How long a member must have answered without a break before it is given a part: longer for one that comes and goes. */
export function requiredStableMs(outages: number): number {
  if (outages === 0) return freshStableMs;
  return Math.min(firstStableMs * 2 ** Math.min(outages - 1, 10), longestStableMs);
}

/** Reliable, caught up, in the emptiest failure domain, then one that can lead; in the order of ids where all is equal. */
export function bestStandby(
  view: RoleView,
  voters: RoleMember[],
  except?: RoleMember,
): RoleMember | undefined {
  const witnesses = voters.filter(({ witness }) => witness).length;
  const candidates = view.members.filter(
    (member) =>
      member.role === "standby" &&
      member !== except &&
      isReliable(member) &&
      member.caughtUp &&
      // Voters that can lead stay a majority.
      (!member.witness || (witnesses + 1) * 2 <= voters.length + (voters.length % 2)),
  );
  return preferFreshDomain(candidates, voters);
}

export function bestSpare(
  view: RoleView,
  placed: RoleMember[],
  fits: (member: RoleMember) => boolean = (member) => !member.witness,
): RoleMember | undefined {
  return preferFreshDomain(
    view.members.filter((member) => member.role === "spare" && isReliable(member) && fits(member)),
    placed,
  );
}

/** Silent ones first, then those whose failure domain has another, never the leader. */
export function leastUseful(view: RoleView, members: RoleMember[]): RoleMember | undefined {
  const silent = (member: RoleMember) => Number(member.silentMs >= view.targets.unresponsiveMs);
  return members
    .filter((member) => !member.isLeader)
    .toSorted(
      (a, b) =>
        silent(b) - silent(a) ||
        Number(sharesDomain(b, members)) - Number(sharesDomain(a, members)) ||
        (a.id < b.id ? 1 : -1),
    )[0];
}

/** How many of these are in the member's failure domain. */
export function crowdOf(member: RoleMember, among: RoleMember[]): number {
  return among.filter((other) => other.failureDomain === member.failureDomain).length;
}

/** Nodes without a failure domain share none. */
export function sharesDomain(member: RoleMember, among: RoleMember[]): boolean {
  return (
    member.failureDomain !== "" &&
    among.some((other) => other !== member && other.failureDomain === member.failureDomain)
  );
}

function isReliable(member: RoleMember): boolean {
  return member.silentMs < livelyMs && member.stableMs >= requiredStableMs(member.outages);
}

function preferFreshDomain(candidates: RoleMember[], placed: RoleMember[]): RoleMember | undefined {
  return candidates.toSorted(
    (a, b) =>
      crowdOf(a, placed) - crowdOf(b, placed) ||
      Number(a.witness) - Number(b.witness) ||
      a.outages - b.outages ||
      (a.id < b.id ? -1 : 1),
  )[0];
}
