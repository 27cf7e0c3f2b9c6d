/** The leader compacts what is older than the time that history is kept, by its own clock. */

import type { Replica } from "../replica.ts";

export class HistoryKeeper {
  readonly #replica: Replica;
  readonly #historyMs: number;
  /** Revisions and when they were reached. */
  #past: { revision: number; atMs: number }[] = [];

  /** `historyMs` 0: never compact. */
  constructor(replica: Replica, historyMs: number) {
    this.#replica = replica;
    this.#historyMs = historyMs;
  }

  /** Another leads: its times count. */
  forget(): void {
    this.#past = [];
  }

  /** Now and then, while this replica leads. */
  tick(): void {
    if (this.#historyMs === 0) return;
    const { clock, logger } = this.#replica.ports;
    const { revision, compactRevision } = this.#replica.store;
    const now = clock.monotonicMs();
    const last = this.#past.at(-1);
    if (last === undefined || now - last.atMs >= this.#historyMs / 10)
      this.#past.push({ revision, atMs: now });
    const old = this.#past[0];
    if (old === undefined || now - old.atMs < this.#historyMs) return;
    this.#past.shift();
    if (old.revision <= compactRevision) return;
    this.#replica.compact(old.revision).catch((error: unknown) => {
      logger.debug("compaction is tried again later", { error: String(error) });
    });
  }
}
