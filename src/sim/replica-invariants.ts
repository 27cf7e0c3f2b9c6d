/**
 * What must hold at every step of a simulation of whole replicas: one leader per term, log matching, leader
 * completeness, committed entries durable on a majority's disks, the same state after the same entry, revisions
 * without gaps. Each fact is looked at once, when it becomes visible, against all that was seen before.
 */

import type { WatchEvent } from "#base/backend.ts";
import { jointVoteResult } from "#raft/quorum.ts";
import type { ConfState, NodeId } from "#raft/types.ts";
import type { Applied, Store } from "#store/store.ts";
import type { DurableLog } from "./durable-log.ts";
import type { LeaseEnd } from "./lease-checker.ts";
import type { ReplicaMachine } from "./replica-machine.ts";
import { Violation } from "./violation.ts";

interface AppliedEntry {
  term: number;
  checksum: number;
  revision: number;
  compactRevision: number;
  /** It was committed in this term, or in an earlier one. */
  committedInTerm: number;
}

export class ReplicaInvariants {
  /** The events of each revision that any machine has reached. */
  readonly events = new Map<number, WatchEvent[]>();
  /** "key value" to when a machine first applied it. */
  readonly writtenAtMs = new Map<string, number>();
  /** Of the leases that any machine has granted; undefined: it has not ended. */
  readonly leases = new Map<string, LeaseEnd | undefined>();
  compactRevision = 0;
  readonly #nowMs: () => number;
  readonly #machines: readonly ReplicaMachine[];
  readonly #leaders = new Map<number, NodeId>();
  readonly #applied = new Map<number, AppliedEntry>();
  #lastApplied = 0;
  /** By index and term: what the entry is, and the term of the one before it. */
  readonly #entries = new Map<string, { content: number; previousTerm: number | undefined }>();
  /** What machines had on disk under ids that were given up. */
  readonly #ghosts = new Map<NodeId, DurableLog>();
  /** Of each machine as they were before what it does now. */
  readonly #configurations = new WeakMap<ReplicaMachine, ConfState>();
  /** By index: the leader's as it committed the entry. */
  readonly #committedUnder = new Map<number, ConfState[]>();
  #lastCommitted = 0;
  /** New leaders whose logs have not come as far on disk as what they must have. */
  readonly #unchecked = new Map<ReplicaMachine, { term: number; index: number }>();

  constructor(machines: readonly ReplicaMachine[], nowMs: () => number) {
    this.#machines = machines;
    this.#nowMs = nowMs;
  }

  get newestRevision(): number {
    return this.#applied.get(this.#lastApplied)?.revision ?? 1;
  }

  /** Of the state after the entry with this index; undefined where no machine is known to have come. */
  checksumAt(index: number): number | undefined {
    return this.#applied.get(index)?.checksum;
  }

  onApplied(machine: ReplicaMachine, store: Store, term: number, { events, lease }: Applied): void {
    const { index, checksum, revision, compactRevision } = store.position;
    const known = this.#applied.get(index);
    if (known !== undefined) {
      const isSame =
        known.term === term &&
        known.checksum === checksum &&
        known.revision === revision &&
        known.compactRevision === compactRevision;
      if (isSame) return;
      throw new Violation(
        `${machine.name} has another state at index ${index} than the first machine that came there`,
      );
    }
    const previous = this.#applied.get(index - 1);
    const expected = (previous?.revision ?? revision) + (events.length > 0 && previous !== undefined ? 1 : 0);
    if (revision !== expected) throw new Violation(`revision ${revision} follows ${previous?.revision}`);
    const { hardState, confState } = machine.node?.replica.raftStatus ?? {};
    // An entry behind a change of members may have been committed before that change was applied, here or, while
    // the leader's own flush takes its time, there: a configuration is in force where it has been applied.
    const own = [this.#configurations.get(machine), confState].filter((each) => each !== undefined);
    const configurations = [...own, ...(this.#committedUnder.get(index) ?? [])];
    const isDurable = (each: ConfState): boolean => this.#isDurable(each, index, term);
    if (configurations.length > 0 && !configurations.some(isDurable)) {
      throw new Violation(
        `entry ${index}/${term} was applied by ${machine.name} without being durable on a majority`,
      );
    }
    this.#applied.set(index, {
      term,
      checksum,
      revision,
      compactRevision,
      committedInTerm: hardState?.term ?? term,
    });
    this.#lastApplied = Math.max(this.#lastApplied, index);
    this.compactRevision = Math.max(this.compactRevision, compactRevision);
    if (lease !== undefined) {
      const end = { atMs: this.#nowMs(), revision: events.length > 0 ? revision : undefined };
      this.leases.set(lease, store.hasLease(lease) ? undefined : end);
    }
    if (events.length === 0) return;
    this.events.set(revision, events);
    for (const { type, kv } of events) {
      if (type === "put") this.writtenAtMs.set(`${kv.key} ${textOf(kv.value)}`, this.#nowMs());
    }
  }

  /** Log matching, by induction: the same index and term mean the same entry after the same predecessor. */
  onDurable(machine: ReplicaMachine, index: number, term: number, content: number): void {
    const key = `${index}/${term}`;
    const previousTerm = machine.durableLog.term(index - 1);
    const known = this.#entries.get(key);
    if (known === undefined) this.#entries.set(key, { content, previousTerm });
    else if (known.content !== content) throw new Violation(`log matching: two entries at ${key}`);
    else if (previousTerm !== undefined && known.previousTerm === undefined)
      known.previousTerm = previousTerm;
    else if (previousTerm !== undefined && known.previousTerm !== previousTerm) {
      throw new Violation(`log matching: two logs lead to ${key}`);
    }
  }

  afterStep(machine: ReplicaMachine): void {
    const { node } = machine;
    if (node === undefined || node.replica.stopped) return;
    const { softState, hardState, confState } = node.replica.raftStatus;
    const before = this.#configurations.get(machine) ?? confState;
    this.#configurations.set(machine, confState);
    if (softState.role === "leader") {
      this.#onLeader(machine, hardState.term);
      this.#onCommit(hardState.commit, [before, confState]);
    }
    const { index, checksum } = node.replica.store.position;
    const known = this.#applied.get(index);
    // Also what came by a snapshot, or was found at a start.
    if (known !== undefined && known.checksum !== checksum) {
      throw new Violation(`${machine.name} has another state at index ${index} than the others`);
    }
  }

  /** The machine's copy is lost, and with it its id; what it had acknowledged was nevertheless durable then. */
  onCopyLost(id: NodeId, log: DurableLog): void {
    this.#ghosts.set(id, log);
  }

  #onCommit(commit: number, configurations: ConfState[]): void {
    while (this.#lastCommitted < commit) this.#committedUnder.set(++this.#lastCommitted, configurations);
  }

  #onLeader(machine: ReplicaMachine, term: number): void {
    const other = this.#leaders.get(term);
    if (other === undefined) {
      this.#leaders.set(term, machine.id);
      this.#unchecked.set(machine, { term, index: this.#lastApplied });
    } else if (other !== machine.id) {
      throw new Violation(`term ${term} has two leaders`);
    }
    const check = this.#unchecked.get(machine);
    const log = machine.node?.replica.log;
    if (check === undefined || log === undefined || log.lastIndex < check.index) return;
    this.#unchecked.delete(machine);
    const entry = this.#applied.get(check.index);
    if (check.term !== term || entry === undefined || entry.committedInTerm >= term) return;
    if (check.index < log.firstIndex || log.term(check.index) === entry.term) return;
    throw new Violation(
      `leader completeness: ${machine.name} leads term ${term} without entry ${check.index}/${entry.term}`,
    );
  }

  /** Whoever applies an entry first has seen it committed: its configuration decides. */
  #isDurable({ voters, votersOutgoing }: ConfState, index: number, term: number): boolean {
    const holders = new Map<NodeId, boolean>();
    for (const voter of [...voters, ...votersOutgoing]) holders.set(voter, this.#holds(voter, index, term));
    const majorities = { incoming: new Set(voters), outgoing: new Set(votersOutgoing) };
    return jointVoteResult(majorities, holders) === "won";
  }

  #holds(id: NodeId, index: number, term: number): boolean {
    const log = this.#ghosts.get(id) ?? this.#machines.find((each) => each.id === id)?.durableLog;
    return log?.holds(index, term) === true;
  }
}

function textOf(value: Uint8Array): string {
  return Buffer.from(value).toString("latin1");
}
