/**
 * What holds in every scenario after every step (the Raft paper, figure 3), and what the core promises
 * beyond it. A transcript records what happened; this says that it was allowed to.
 */

import { assert } from "#base/assert.ts";
import { jointVoteResult } from "../quorum.ts";
import type { Entry, NodeId } from "../types.ts";
import type { AppliedState, ScenarioMember } from "./scenario-member.ts";
import { noteEntry } from "./scenario-notation.ts";

export class ScenarioInvariants {
  readonly #members: ReadonlyMap<NodeId, ScenarioMember>;
  readonly #leaders = new Map<number, NodeId>();
  /** By "member term". */
  readonly #votes = new Map<string, NodeId>();
  /** Terms and contents of what has been seen committed, and the term of the leader that committed it. */
  readonly #committed = new Map<number, { entry: string; term: number; byTerm: number }>();
  readonly #applied = new Map<number, string>();
  readonly #durableTerm = new Map<NodeId, number>();
  readonly #commitOf = new WeakMap<object, number>();
  readonly #ledTerms = new WeakMap<object, number>();

  constructor(members: ReadonlyMap<NodeId, ScenarioMember>) {
    this.#members = members;
  }

  check(): void {
    const members = [...this.#members.values()];
    for (const member of members) {
      this.#checkVote(member);
      this.#checkLeader(member);
      this.#checkCommit(member);
      this.#checkApplied(member.state);
      checkProgress(member, this.#members);
    }
    for (const [position, one] of members.entries()) {
      for (const other of members.slice(position + 1)) checkLogMatching(one, other);
    }
  }

  /** Terms never go back, and one vote is cast per term, over crashes too. */
  #checkVote({ id, storage }: ScenarioMember): void {
    const { term, vote } = storage.hardState;
    assert(term >= (this.#durableTerm.get(id) ?? 0), `the durable term of ${id} never goes back`);
    this.#durableTerm.set(id, term);
    if (vote === 0) return;
    const before = this.#votes.get(`${id} ${term}`);
    assert(before === undefined || before === vote, `${id} votes once in term ${term}`);
    this.#votes.set(`${id} ${term}`, vote);
  }

  /** Election safety and leader completeness. */
  #checkLeader({ id, node }: ScenarioMember): void {
    if (node === undefined || node.raft.role !== "leader") return;
    const { raft } = node;
    if (this.#ledTerms.get(raft) === raft.term) return;
    this.#ledTerms.set(raft, raft.term);
    const other = this.#leaders.get(raft.term);
    assert(other === undefined || other === id, `term ${raft.term} has one leader`);
    this.#leaders.set(raft.term, id);
    for (const [index, { term, byTerm }] of this.#committed) {
      if (byTerm >= raft.term || index < raft.log.firstIndex()) continue;
      assert(raft.log.termIfKnown(index) === term, `the leader of term ${raft.term} has entry ${index}`);
    }
  }

  /** State machine safety, and: what is committed is on the disks of a quorum. */
  #checkCommit({ node }: ScenarioMember): void {
    if (node === undefined) return;
    const { raft } = node;
    const { log } = raft;
    const seen = this.#commitOf.get(raft) ?? log.firstIndex() - 1;
    assert(log.committed >= seen, `the commit index of ${raft.id} never goes back`);
    this.#commitOf.set(raft, log.committed);
    const first = Math.max(seen + 1, log.firstIndex());
    for (const entry of first <= log.committed ? log.slice(first, log.committed + 1, Infinity) : []) {
      const known = this.#committed.get(entry.index);
      if (known === undefined) {
        this.#checkDurable(raft.id, entry);
        this.#committed.set(entry.index, { entry: noteEntry(entry), term: entry.term, byTerm: raft.term });
      } else {
        assert(known.entry === noteEntry(entry), `entry ${entry.index} is the same wherever it is committed`);
      }
    }
  }

  #checkDurable(id: NodeId, { index, term }: Entry): void {
    const { tracker } = this.#member(id).running.raft;
    const holders = new Map(
      tracker.voterIds().map((voter) => [voter, holdsDurably(this.#members.get(voter), index, term)]),
    );
    const result = jointVoteResult(tracker.configuration.voters, holders);
    assert(result === "won", `entry ${index}@${term} was on a quorum's disks when ${id} saw it committed`);
  }

  /** The same index means the same state everywhere, its configuration included. */
  #checkApplied({ index, texts, confState }: AppliedState): void {
    // Of an explicit ConfState only what is in force: a member that joins begins with none.
    if (index === 0) return;
    const text = JSON.stringify([texts, confState]);
    const known = this.#applied.get(index);
    assert(known === undefined || known === text, `the states at index ${index} are equal`);
    this.#applied.set(index, text);
  }

  #member(id: NodeId): ScenarioMember {
    const member = this.#members.get(id);
    assert(member !== undefined, "the member exists");
    return member;
  }
}

function holdsDurably(member: ScenarioMember | undefined, index: number, term: number): boolean {
  if (member === undefined) return false;
  const { storage } = member;
  if (index < storage.firstIndex()) return true;
  return index <= storage.lastIndex() && storage.term(index) === term;
}

/** What a leader believes to be durable on a follower is. */
function checkProgress({ node }: ScenarioMember, members: ReadonlyMap<NodeId, ScenarioMember>): void {
  if (node === undefined || node.raft.role !== "leader") return;
  const { log, tracker } = node.raft;
  for (const [id, progress] of tracker.progress) {
    assert(progress.match < progress.next, `match < next for ${id}`);
    assert(progress.match <= log.lastIndex(), `${id} has nothing that its leader has not`);
    const { match } = progress;
    const term = match > 0 ? log.termIfKnown(match) : undefined;
    // An acknowledgement of a former term may be overwritten only by a newer leader's entries.
    if (term === undefined || !isFollowing(members.get(id), node.raft.term)) continue;
    assert(holdsDurably(members.get(id), match, term), `${id} has ${match}@${term} on its disk`);
  }
}

function isFollowing(member: ScenarioMember | undefined, term: number): boolean {
  return member?.node !== undefined && member.node.raft.term === term;
}

/** Equal index and term: equal entries up to there. */
function checkLogMatching(one: ScenarioMember, other: ScenarioMember): void {
  if (one.node === undefined || other.node === undefined) return;
  const a = one.node.raft.log;
  const b = other.node.raft.log;
  const first = Math.max(a.firstIndex(), b.firstIndex());
  let mustMatch = false;
  for (let index = Math.min(a.lastIndex(), b.lastIndex()); index >= first; index--) {
    const [mine] = a.slice(index, index + 1, Infinity);
    const [theirs] = b.slice(index, index + 1, Infinity);
    assert(mine !== undefined && theirs !== undefined, "both logs have the entry");
    mustMatch ||= mine.term === theirs.term;
    if (!mustMatch) continue;
    assert(noteEntry(mine) === noteEntry(theirs), `the logs of ${one.id} and ${other.id} match at ${index}`);
  }
}
