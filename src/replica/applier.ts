/**
 * Applies committed entries to the state, in order, and says what came of them. When the state's disk is
 * full it waits for room: nothing is lost, nothing is applied twice. It knows neither peers nor clients.
 */

import { assert } from "#base/assert.ts";
import type { Clock } from "#base/ports.ts";
import type { ConfChange, ConfState, Entry, Message } from "#raft/types.ts";
import type { Applied } from "#store/store.ts";
import { isDiskFull } from "./errors.ts";
import type { ProposalRecord } from "./proposals.ts";
import { decodeProposal } from "./proposals.ts";
import type { ReplicaState } from "./replica-state.ts";

export interface Outcome {
  entry: Entry;
  record: ProposalRecord | undefined;
  applied: Applied;
}

export interface ApplierEvents {
  /** Raft takes up a membership change, and says what the configuration is then. */
  takeUp(change: ConfChange): ConfState;
  /** A batch is in the state. */
  onApplied(outcomes: Outcome[]): void;
  /** With that batch, the cluster's members have changed. */
  onMembership(): void;
  /** All of a message is applied: raft's answers to it. */
  onDone(responses: Message[]): void;
  /** The disk of the state has no room. */
  onFull(): void;
  /** It may have room again: `run` is to be tried. */
  onRoom(): void;
}

const retryMs = 1000;

export class Applier {
  readonly #state: ReplicaState;
  readonly #clock: Clock;
  readonly #events: ApplierEvents;
  readonly #queue: Message[] = [];
  /** A membership change that raft has taken up while its entry is not yet in the state (a full disk came between). */
  #takenUp: { index: number; confState: ConfState } | undefined;
  #full = false;
  /** It was full, and nothing has shown yet that it has room again. */
  #isDoubtful = false;
  #stopped = false;
  /** The store that something was applied to: another one once a snapshot has come. */
  #begun: object | undefined;

  constructor(state: ReplicaState, clock: Clock, events: ApplierEvents) {
    this.#state = state;
    this.#clock = clock;
    this.#events = events;
  }

  /** The state takes no changes for want of room. */
  get full(): boolean {
    return this.#full;
  }

  /** Raft's message to the apply thread, to be carried out by `run`. */
  push(message: Message): void {
    this.#queue.push(message);
  }

  /** A snapshot has overtaken what waits. */
  clear(): void {
    this.#queue.length = 0;
  }

  close(): void {
    this.#stopped = true;
  }

  run(): void {
    while (!this.#full && !this.#stopped && !this.#state.held) {
      const message = this.#queue[0];
      if (message === undefined || (this.#isDoubtful && !this.#commit())) return;
      if (!this.#applyEntries(message.entries ?? [])) return;
      this.#queue.shift();
      this.#events.onDone(message.responses ?? []);
    }
  }

  /** Applies in batches that end with a membership change. Returns false when the state takes nothing now: to be tried again. */
  #applyEntries(entries: Entry[]): boolean {
    let start = 0;
    for (let at = 0; at < entries.length; at++) {
      const isLast = at === entries.length - 1;
      if (!isLast && entries[at]?.type !== "confChange" && entries[at + 1]?.type !== "confChange") continue;
      const batch = entries.slice(start, at + 1);
      start = at + 1;
      // Those of a batch that was applied before the disk was full are not applied again.
      const rest = batch.filter((entry) => entry.index > this.#state.store.position.index);
      if (rest.length > 0 && (this.#state.held || !this.#applyBatch(rest))) return false;
    }
    return true;
  }

  #applyBatch(entries: Entry[]): boolean {
    const { store } = this.#state;
    const outcomes: Outcome[] = [];
    let membershipChanged = false;
    try {
      store.batch(() => {
        for (const entry of entries) {
          const record = entry.data.length > 0 ? decodeProposal(entry.data) : undefined;
          const applied = store.apply(entry.index, entry.term, record?.command);
          if (entry.type === "confChange") this.#takeUp(entry);
          membershipChanged ||= entry.type === "confChange" || record?.command.type === "note";
          outcomes.push({ entry, record, applied });
        }
      });
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#onFull();
      return false;
    }
    this.#events.onApplied(outcomes);
    if (membershipChanged) this.#events.onMembership();
    // A state that has begun to go on says so on the disk: a log that is lost must be missed. And who looks at the
    // directory of a replica that was killed must find who belongs to the cluster.
    if (this.#begun !== store || membershipChanged || store.commitDue) this.#commit();
    this.#begun = store;
    this.#state.checkpoint("if due");
    return true;
  }

  /** False, and full, if there is no room. */
  #commit(): boolean {
    this.#isDoubtful = false;
    if (this.#state.store.tryCommit()) return true;
    this.#onFull();
    return false;
  }

  #takeUp(entry: Entry): void {
    assert(entry.confChange !== undefined, "a membership entry has its change");
    if (this.#takenUp?.index !== entry.index) {
      this.#takenUp = { index: entry.index, confState: this.#events.takeUp(entry.confChange) };
    }
    this.#state.store.setNote("confState", JSON.stringify(this.#takenUp.confState));
  }

  #onFull(): void {
    this.#full = this.#isDoubtful = true;
    this.#events.onFull();
    this.#clock.setTimer(retryMs, () => {
      this.#full = false;
      if (!this.#stopped) this.#events.onRoom();
    });
  }
}
