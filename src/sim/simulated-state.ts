/**
 * The part of a simulated disk that holds the state: SQLite in memory, of which a power cut leaves the last
 * checkpoint. It sees every entry that is applied, which is where the invariants look.
 */

import { DatabaseSync } from "node:sqlite";
import { SnapshotWriter } from "#store/snapshot.ts";
import type { StateDirectory } from "#store/state-directory.ts";
import type { Applied } from "#store/store.ts";
import { Store } from "#store/store.ts";
import { openDatabase } from "#store/tables.ts";
import type { SeededRandom } from "./seeded-random.ts";

export interface StateUser {
  isAlive(): boolean;
  /** Before and after each operation. May throw CrashSignal. */
  onOperation(name: string): void;
  onApplied(store: Store, term: number, applied: Applied): void;
  /** A snapshot begins to come in. */
  onReceive(): void;
}

export class SimulatedState {
  #database: DatabaseSync | undefined;
  /** As a power cut leaves it. */
  #flushed: Uint8Array | undefined;
  #isFull = false;
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  mount(user: StateUser): StateDirectory {
    return {
      open: () => {
        this.#database ??= openDatabase(":memory:");
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
        return this.#open(this.#database, user);
      },
      receive: () => {
        user.onReceive();
        return new SnapshotWriter(":memory:");
      },
      adopt: (received) => {
        user.onOperation("before a snapshot takes the state's place");
        this.#database = received.database;
        const store = this.#open(this.#database, user);
        store.flush();
        user.onOperation("after a snapshot has taken the state's place");
        return store;
      },
    };
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** While it is full, SQLite finds no room for another page. */
  set isFull(isFull: boolean) {
    this.#isFull = isFull;
    this.#limit();
  }

  powerCut(): void {
    this.#database?.close();
    this.#database = undefined;
    if (this.#flushed === undefined) return;
    this.#database = new DatabaseSync(":memory:");
    this.#database.deserialize(this.#flushed);
  }

  wipe(): void {
    this.#database?.close();
    this.#database = undefined;
    this.#flushed = undefined;
  }

  /**
   * Flips a bit of a key's newest value; the machine must be down. False if there is none. Unnoticed: the row's
   * checksum goes with it, as if there were none.
   */
  rot(isUnnoticed = false): boolean {
    if (this.#database?.isTransaction === true) this.#database.exec("ROLLBACK");
    const row = this.#database
      ?.prepare(
        "SELECT h.id, h.value FROM current c JOIN history h ON h.id = c.id WHERE length(h.value) > 0 ORDER BY random_rank(h.id) LIMIT 1".replace(
          "random_rank(h.id)",
          `(h.id * ${this.#random.integer(1 << 20) * 2 + 1}) % 1009`,
        ),
      )
      .get() as { id: number; value: Uint8Array } | undefined;
    if (row === undefined || this.#database === undefined) return false;
    const at = this.#random.integer(row.value.length);
    row.value[at] = (row.value[at] ?? 0) ^ (1 << this.#random.integer(8));
    this.#database.prepare("UPDATE history SET value = ? WHERE id = ?").run(row.value, row.id);
    if (isUnnoticed) this.#database.prepare("UPDATE history SET checksum = NULL WHERE id = ?").run(row.id);
    this.#flushed = this.#database.serialize();
    return true;
  }

  #open(database: DatabaseSync, user: StateUser): Store {
    this.#limit();
    const store = new Store(":memory:", {
      database,
      onFlush: () => {
        user.onOperation("before a checkpoint");
        this.#flushed = database.serialize();
        user.onOperation("after a checkpoint");
      },
    });
    const apply = store.apply.bind(store);
    store.apply = (index, term, command) => {
      const applied = apply(index, term, command);
      user.onApplied(store, term, applied);
      return applied;
    };
    const batch = store.batch.bind(store);
    store.batch = (work) => {
      user.onOperation("before a batch");
      const result = batch(work);
      user.onOperation("after a batch");
      return result;
    };
    return store;
  }

  #limit(): void {
    if (this.#database?.isOpen !== true) return;
    const { page_count: pages } = this.#database.prepare("PRAGMA page_count").get() as { page_count: number };
    this.#database.exec(`PRAGMA max_page_count = ${this.#isFull ? pages : 1_000_000_000}`);
  }
}
