/**
 * What must hold after every step of the consensus simulation (the Raft paper, figure 3): election safety,
 * log matching, leader completeness, state machine safety; and that what is committed is durable on a
 * quorum. Each is checked as facts become visible, against everything seen before.
 */

import { jointVoteResult } from "#raft/quorum.ts";
import type { Entry, NodeId } from "#raft/types.ts";
import type { CoreMachine } from "./core-machine.ts";
import { Violation } from "./violation.ts";

interface CommittedEntry {
  term: number;
  /** A term in which it is known to have been committed; the true one may be lower. */
  committedInTerm: number;
}

export class CoreInvariants {
  /** The highest index that is committed anywhere. */
  maxCommitted = 0;
  readonly #machines: ReadonlyMap<NodeId, CoreMachine>;
  readonly #leaders = new Map<number, NodeId>();
  readonly #committed = new Map<number, CommittedEntry>();
  /** "index/term" to what is known of that entry. */
  readonly #entries = new Map<string, { content: string; previousTerm: number | undefined }>();
  readonly #states = new Map<number, number>();
  /** How far each life's commits have been looked at. */
  readonly #seenCommit = new WeakMap<object, number>();
  readonly #seenLeaderTerm = new WeakMap<object, number>();

  constructor(machines: ReadonlyMap<NodeId, CoreMachine>) {
    this.#machines = machines;
  }

  afterStep(machine: CoreMachine): void {
    if (machine.node === undefined) return;
    const { raft } = machine.node;
    if (raft.role === "leader" && this.#seenLeaderTerm.get(raft) !== raft.term) {
      this.#seenLeaderTerm.set(raft, raft.term);
      this.#checkLeader(machine);
    }
    this.#checkCommits(machine);
  }

  /** Log matching, by induction: the same index and term mean the same entry after the same predecessor. */
  onEntries(machine: CoreMachine, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const key = `${entry.index}/${entry.term}`;
      const content = `${entry.data.join()} ${JSON.stringify(entry.confChange?.changes)}`;
      const previousTerm = machine.node?.raft.log.termIfKnown(entry.index - 1);
      const known = this.#entries.get(key);
      if (known === undefined) {
        this.#entries.set(key, { content, previousTerm });
      } else if (known.content !== content) {
        throw new Violation(`log matching: two entries at ${key}`);
      } else if (previousTerm !== undefined && known.previousTerm !== undefined) {
        if (known.previousTerm !== previousTerm) throw new Violation(`log matching: two logs lead to ${key}`);
      }
    }
  }

  /** State machine safety: also covers the configuration, which is part of the state's hash. */
  onApplied(machine: CoreMachine): void {
    const { index, hash } = machine.state;
    const known = this.#states.get(index);
    if (known === undefined) this.#states.set(index, hash);
    else if (known !== hash) throw new Violation(`states differ at index ${index} on ${machine.id}`);
  }

  #checkLeader({ node, id }: CoreMachine): void {
    if (node === undefined) return;
    const { term, log } = node.raft;
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== id)
      throw new Violation(`term ${term} has two leaders: ${other}, ${id}`);
    this.#leaders.set(term, id);
    for (let index = this.maxCommitted; index >= log.firstIndex(); index--) {
      const entry = this.#committed.get(index);
      // What a later leader has committed, this one need not know.
      if (entry === undefined || entry.committedInTerm >= term) continue;
      if (log.termIfKnown(index) !== entry.term) {
        throw new Violation(
          `leader completeness: ${id} leads term ${term} without entry ${index}/${entry.term}`,
        );
      }
      // Log matching takes care of those before.
      return;
    }
  }

  #checkCommits(machine: CoreMachine): void {
    if (machine.node === undefined) return;
    const { raft } = machine.node;
    const { committed } = raft.log;
    const seen = this.#seenCommit.get(raft) ?? raft.log.firstIndex() - 1;
    if (committed < seen) throw new Violation(`the commit index of ${machine.id} went back`);
    this.#seenCommit.set(raft, committed);
    for (let index = seen + 1; index <= committed; index++) {
      const term = raft.log.termIfKnown(index);
      if (term === undefined) continue;
      const known = this.#committed.get(index);
      if (known !== undefined) {
        if (known.term !== term) throw new Violation(`committed entry ${index} differs on ${machine.id}`);
        continue;
      }
      this.#checkDurable(machine, index, term);
      this.#committed.set(index, { term, committedInTerm: raft.term });
      this.maxCommitted = Math.max(this.maxCommitted, index);
    }
  }

  /** Whoever sees an entry committed first is the leader that committed it: its configuration decides. */
  #checkDurable({ node, id }: CoreMachine, index: number, term: number): void {
    if (node === undefined) return;
    const holders = new Map<NodeId, boolean>();
    for (const voter of node.raft.tracker.voterIds()) {
      holders.set(voter, this.#machines.get(voter)?.holdsDurably(index, term) === true);
    }
    if (jointVoteResult(node.raft.tracker.configuration.voters, holders) !== "won") {
      throw new Violation(`entry ${index}/${term} was committed by ${id} without being durable on a quorum`);
    }
  }
}
