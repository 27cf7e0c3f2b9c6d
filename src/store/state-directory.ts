/**
 * Where a replica's state lives: the present one, and the one that a snapshot is being written to
 * until it takes the other's place in one step. On disk for real; in memory for the simulation, where
 * it outlives the replica and can lose what was not flushed, as a disk does in a power cut.
 */

import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SnapshotWriter } from "./snapshot.ts";
import { Store } from "./store.ts";
import { openDatabase } from "./tables.ts";

export interface StateDirectory {
  /** The state; an empty one if there is none yet. */
  open(): Store;
  /** A place for a snapshot to come. Whatever was there is dropped. */
  receive(): SnapshotWriter;
  /** Makes the received snapshot the state, durably, and opens it. The old store must be closed. Needs no room once it is flushed. */
  adopt(received: SnapshotWriter): Store;
}

export class FileStateDirectory implements StateDirectory {
  readonly #directory: string;
  #store: Store | undefined;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Flushes of the state are under way. */
  get busy(): boolean {
    return this.#store?.checkpointing === true;
  }

  open(): Store {
    this.#remove("incoming.db");
    return this.#open();
  }

  receive(): SnapshotWriter {
    this.#remove("incoming.db");
    return new SnapshotWriter(join(this.#directory, "incoming.db"));
  }

  adopt(received: SnapshotWriter): Store {
    received.flush();
    received.close();
    // The old WAL goes first: were it left beside the new file, SQLite would take it for the new one's.
    rmSync(join(this.#directory, "state.db-wal"), { force: true });
    rmSync(join(this.#directory, "state.db-shm"), { force: true });
    renameSync(join(this.#directory, "incoming.db"), join(this.#directory, "state.db"));
    this.#remove("incoming.db");
    syncDirectory(this.#directory);
    return this.#open();
  }

  #open(): Store {
    this.#store = new Store(join(this.#directory, "state.db"));
    return this.#store;
  }

  #remove(name: string): void {
    for (const suffix of ["", "-wal", "-shm"]) rmSync(join(this.#directory, name + suffix), { force: true });
  }
}

/**
 * The simulated disk's part that holds the state. One per simulated machine; it survives the replica:
 * opening it again finds everything that was applied, as after kill -9.
 */
export class MemoryStateDirectory implements StateDirectory {
  #database: DatabaseSync | undefined;
  #flushed: Uint8Array | undefined;
  #full = false;

  open(): Store {
    this.#database ??= openDatabase(":memory:");
    if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
    this.#limit();
    return this.#store(this.#database);
  }

  receive(): SnapshotWriter {
    return new SnapshotWriter(":memory:");
  }

  adopt(received: SnapshotWriter): Store {
    this.#database = received.database;
    const store = this.#store(received.database);
    store.flush();
    return store;
  }

  /** While it is full, SQLite finds no room for another page. */
  set full(full: boolean) {
    this.#full = full;
    this.#limit();
  }

  /** A power cut, after the replica has died: the state is the one of the last flush again. */
  loseUnflushed(): void {
    this.#database?.close();
    this.#database = undefined;
    if (this.#flushed === undefined) return;
    this.#database = new DatabaseSync(":memory:");
    this.#database.deserialize(this.#flushed);
  }

  /** Changes what is on the disk, once the replica has died. */
  damage(sql: string): void {
    if (this.#database?.isTransaction === true) this.#database.exec("ROLLBACK");
    this.#database?.exec(sql);
  }

  #limit(): void {
    const { page_count: pages } = this.#database?.prepare("PRAGMA page_count").get() ?? {};
    const most = this.#full ? Number(pages ?? 0) : 1_000_000_000;
    this.#database?.exec(`PRAGMA max_page_count = ${most}`);
  }

  #store(database: DatabaseSync): Store {
    const keepImage = () => {
      this.#flushed = database.serialize();
    };
    return new Store(":memory:", { database, onFlush: keepImage });
  }
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
