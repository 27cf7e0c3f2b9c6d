/** What a replica does on the side: old log, old history and unused snapshots are given up, a bit at a time. */

import type { RawNode } from "#raft/raw-node.ts";
import { isDiskFull } from "./errors.ts";
import type { ReplicaLog } from "./log/log.ts";
import type { ReplicaState } from "./replica-state.ts";
import type { SnapshotSender } from "./snapshot-transfer.ts";

interface Household {
  node: RawNode;
  state: ReplicaState;
  log: ReplicaLog;
  sender: SnapshotSender;
  /** How much log is kept for members that lag. */
  keptLogBytes: number;
}

const ticksBetween = 20;
const rowsPerStep = 500;
const maxKeptEntries = 40_000;

export class HouseKeeping {
  readonly #household: Household;
  #ticks = 0;
  #compactAtTick = 0;
  /** A write that gives up a part of the log is on its way. */
  #shortening = false;
  /** The log up to here is to go, whoever would still like to have it. */
  #unwanted = 0;

  constructor(household: Household) {
    this.#household = household;
  }

  /** With every tick. `writable`: the state's disk has room. */
  tick(writable: boolean): void {
    const { state, sender } = this.#household;
    if (++this.#ticks % ticksBetween === 0) {
      sender.tick();
      this.#giveUpSnapshots();
    }
    this.#shortenLog();
    if (state.store.compactionPending && writable && !state.held) this.#compact();
  }

  /** Gives up the log up to this index as soon as all of it is applied and the state is durable. */
  giveUpLog(index: number): void {
    this.#unwanted = Math.max(this.#unwanted, index);
  }

  /** There is time for this: without room on the disk it is tried again later. */
  #compact(): void {
    if (this.#ticks < this.#compactAtTick) return;
    try {
      this.#household.state.store.compactStep(rowsPerStep);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#compactAtTick = this.#ticks + ticksBetween;
    }
  }

  #shortenLog(): void {
    const { log, state, keptLogBytes } = this.#household;
    // On a full disk it waits with the other writes: there is no use in one more with each tick.
    if (this.#shortening) return;
    const isShort = log.entriesBytes < keptLogBytes && log.lastIndex - log.firstIndex < maxKeptEntries;
    if (isShort && this.#unwanted < log.firstIndex) return;
    const kept = Math.max(
      isShort ? 0 : this.#lastToGiveUp(),
      Math.min(this.#unwanted, state.store.position.index),
    );
    // It ends in a while; the next tick finds what has become durable.
    if (state.durableIndex < kept) state.checkpoint("now");
    const upTo = Math.min(state.durableIndex, kept);
    if (upTo < log.firstIndex) return;
    this.#shortening = true;
    const done = () => {
      this.#shortening = false;
    };
    log.write({ entries: [], compact: { index: upTo, term: log.term(upTo) }, done });
  }

  /** A receiver that has not asked for a chunk for long gets a new snapshot, when it answers again. */
  #giveUpSnapshots(): void {
    const { node, sender } = this.#household;
    if (node.raft.role !== "leader") return;
    for (const [id, { state }] of node.status().progress) {
      if (state === "snapshot" && sender.isIdle(id)) node.reportSnapshot(id, false);
    }
  }

  /** Half of the kept bytes stay for members that lag, more while a live member needs it. */
  #lastToGiveUp(): number {
    const { node, log, keptLogBytes } = this.#household;
    const share = log.entriesBytes === 0 ? 0.5 : Math.min(0.5, keptLogBytes / 2 / log.entriesBytes);
    let last = log.lastIndex - Math.ceil((log.lastIndex - log.firstIndex + 1) * share);
    if (log.entriesBytes > keptLogBytes * 4) return last;
    for (const progress of node.status().progress.values()) {
      if (progress.recentActive && progress.state === "replicate") last = Math.min(last, progress.match);
    }
    return last;
  }
}
