/**
 * What a scenario expects: unlike a transcript, these can't be rewritten by a flag.
 *
 *     expect leader N | expect no leader | expect role N ROLE | expect term N TERM | expect vote N M
 *     expect commit N INDEX | expect log N TERM ... | expect applied N [TEXT ...] | expect last N INDEX
 *     expect voters N 1 2 3 | expect learners N [4] | expect joint N | expect not joint N
 *     expect progress N M probe|replicate|snapshot | expect answered N ID | expect unanswered N ID
 *     expect answers N ID COUNT
 *     expect equal         the logs and states of all members that run
 */

import { assert } from "#base/assert.ts";
import type { NodeId } from "../types.ts";
import type { ScenarioMember } from "./scenario-member.ts";

type Members = ReadonlyMap<NodeId, ScenarioMember>;

export function expectThat(members: Members, words: string[]): void {
  const isNegated = words[0] === "no" || words[0] === "not";
  const [what = "", ...rest] = isNegated ? words.slice(1) : words;
  if (what === "leader") return expectLeader(members, isNegated ? undefined : Number(rest[0]));
  if (what === "equal") return expectEqual(members);
  const member = members.get(Number(rest[0]));
  assert(member !== undefined, `there is a member ${rest[0]}`);
  if (what === "joint") return same(String(member.running.raft.tracker.isJoint), String(!isNegated), words);
  const expected = rest.slice(1).join(" ");
  return same(observed(member, what, rest), expected, words);
}

/** What is seen of a member, in the words of the expectation. */
function observed(member: ScenarioMember, what: string, rest: string[]): string {
  const { raft } = member.running;
  const { log } = raft;
  switch (what) {
    case "role":
      return raft.role;
    case "term":
      return String(raft.term);
    case "vote":
      return String(raft.vote);
    case "commit":
      return String(log.committed);
    case "last":
      return String(log.lastIndex());
    case "log":
      return log
        .entriesFrom(log.firstIndex(), Infinity)
        .map(({ term }) => term)
        .join(" ");
    case "applied":
      return member.state.texts.join(" ");
    case "voters":
      return raft.tracker.confState().voters.join(" ");
    case "learners":
      return raft.tracker.confState().learners.join(" ");
    case "progress":
      return `${rest[1]} ${raft.tracker.progress.get(Number(rest[1]))?.state}`;
    case "answered":
    case "unanswered":
      return (what === "answered") === answerCount(member, rest[1]) > 0 ? `${rest[1]}` : "the contrary";
    case "answers":
      return `${rest[1]} ${answerCount(member, rest[1])}`;
    default:
      throw new Error(`unknown expectation ${what}`);
  }
}

function answerCount({ reads }: ScenarioMember, id: string | undefined): number {
  return reads.filter(({ context }) => context === id).length;
}

/** The leader of the newest term is this one, or there is none. Deposed ones that don't know it yet don't count. */
function expectLeader(members: Members, expected: NodeId | undefined): void {
  let newestTerm = 0;
  let leader: NodeId | undefined;
  for (const { id, node } of members.values()) {
    if (node === undefined || node.raft.role !== "leader" || node.raft.term <= newestTerm) continue;
    newestTerm = node.raft.term;
    leader = id;
  }
  assert(leader === expected, `the leader is ${expected ?? "nobody"}, not ${leader ?? "nobody"}`);
}

function expectEqual(members: Members): void {
  const texts = [...members.values()].flatMap(({ node, state }) => {
    if (node === undefined) return [];
    const { log } = node.raft;
    return [JSON.stringify([log.lastIndex(), log.lastTerm(), log.committed, state])];
  });
  assert(new Set(texts).size === 1, `all members are equal, not ${texts.join(" and ")}`);
}

function same(actual: string, expected: string, words: string[]): void {
  assert(actual === expected, `expected ${words.join(" ")}, found ${actual}`);
}
