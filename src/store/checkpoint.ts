/**
 * Makes a state durable without holding up its thread. SQLite copies pages, and never flushes: the flushes of
 * its two files run in Node's thread pool, in an order that leaves a whole state at every moment.
 *
 * The WAL holds what is not yet in the database's file. Flushed, it makes everything up to its end durable: this
 * alone is what the log waits for. Now and then what it holds moves into the file, so that it can begin anew:
 *
 * 1. A second connection reads the state at M. While it does, SQLite copies nothing beyond M and does not begin
 *    the WAL anew, whatever is written meanwhile.
 * 2. Flush the WAL. Copy up to M. Flush the file. Only then the reader lets go.
 * 3. If little has come meanwhile, writers are held for as long as the same takes for the rest, and the WAL is
 *    emptied, that is flushed too. Otherwise the next round begins where this one ended.
 *
 * It knows SQLite's files and nothing of what is in them.
 */

import { closeSync, constants, fdatasync, fstatSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

export interface CheckpointEvents {
  /** What had been committed when `run` was called is durable. */
  onDurable(): void;
  /** While it is held, nothing may be written to the state. */
  onHold(held: boolean): void;
}

/** A file that SQLite writes, as the one who flushes it sees it. */
export interface FlushedFile {
  readonly sizeBytes: number;
  flush(): Promise<void>;
  close(): void;
}

export interface CheckpointLimits {
  /** A WAL of this size is moved into the file. */
  walBytes: number;
  /** Writers are held for the flush of at most this much. */
  restBytes: number;
  /** But for a WAL of this size they are held in any case. */
  maxWalBytes: number;
}

const defaultLimits: CheckpointLimits = { walBytes: 16 << 20, restBytes: 1 << 20, maxWalBytes: 96 << 20 };

export class Checkpointer {
  readonly #path: string;
  readonly #database: DatabaseSync;
  /** SQLite copies nothing within a transaction. */
  readonly #commit: () => void;
  readonly #limits: CheckpointLimits;
  readonly #open: (path: string) => FlushedFile;
  /**
   * Open from the first use until SQLite has closed its own: POSIX drops all locks that a process has on a file
   * as soon as the process closes any descriptor of it.
   */
  #files: { wal: FlushedFile; database: FlushedFile } | undefined;
  #pin: DatabaseSync | undefined;
  #running = false;
  #closed = false;

  constructor(
    path: string,
    database: DatabaseSync,
    commit: () => void,
    limits: CheckpointLimits = defaultLimits,
    open: (path: string) => FlushedFile = openFile,
  ) {
    this.#path = path;
    this.#database = database;
    this.#commit = commit;
    this.#limits = limits;
    this.#open = open;
  }

  /** Flushes are under way: the disk has something to do. */
  get running(): boolean {
    return this.#running;
  }

  /** The WAL has grown so far that `run` is due. */
  get due(): boolean {
    return this.#openFiles().wal.sizeBytes >= this.#limits.walBytes;
  }

  /**
   * One round; never two at a time. Rejects when the disk is full (SQLite's code 13: nothing is lost, try again
   * later) or when a flush fails (nothing is certain any more).
   */
  async run(events: CheckpointEvents): Promise<void> {
    this.#running = true;
    try {
      await this.#round(events);
    } finally {
      this.#running = false;
      if (this.#closed) this.#closeFiles();
    }
  }

  /** Before SQLite closes its file. */
  close(): void {
    this.#closed = true;
    this.#pin?.close();
    this.#pin = undefined;
  }

  /** After SQLite has closed its file. */
  release(): void {
    if (!this.#running) this.#closeFiles();
  }

  async #round(events: CheckpointEvents): Promise<void> {
    const { wal, database } = this.#openFiles();
    const { walBytes, restBytes, maxWalBytes } = this.#limits;
    const sizeBytes = wal.sizeBytes;
    if (sizeBytes < walBytes) {
      await wal.flush();
      if (!this.#closed) events.onDurable();
      return;
    }
    this.#hold();
    try {
      await wal.flush();
      if (this.#closed) return;
      events.onDurable();
      this.#copy();
      await database.flush();
    } finally {
      this.#letGo();
    }
    const rest = wal.sizeBytes - sizeBytes;
    if (this.#closed || (rest > restBytes && wal.sizeBytes < maxWalBytes)) return;
    events.onHold(true);
    try {
      await this.#empty(wal, database);
    } finally {
      events.onHold(false);
    }
  }

  async #empty(wal: FlushedFile, database: FlushedFile): Promise<void> {
    // Nothing is copied that was not flushed before.
    this.#commit();
    await wal.flush();
    // Somebody still reads an older state (a snapshot is being sent): another time.
    if (this.#closed || !this.#copy()) return;
    await database.flush();
    if (this.#closed) return;
    // The first page written then goes along: SQLite would flush the new header by itself, there and then.
    this.#withoutFlushes("PRAGMA wal_checkpoint(TRUNCATE)", countLife);
    await wal.flush();
  }

  /** Everything that was flushed, as far as readers let. True if that is all there is. */
  #copy(): boolean {
    this.#withoutFlushes("PRAGMA wal_checkpoint(PASSIVE)");
    // Asked again, it copies nothing, and tells.
    const { log, checkpointed } = this.#database.prepare("PRAGMA wal_checkpoint(PASSIVE)").get() as {
      log: number;
      checkpointed: number;
    };
    return log === checkpointed;
  }

  /** In one call, so that a thread that is ended in between does not close the database without a flush. */
  #withoutFlushes(...statements: string[]): void {
    // What this adds to the WAL is beyond what the reader lets SQLite copy.
    this.#commit();
    this.#database.exec(
      ["PRAGMA synchronous = OFF", ...statements, "PRAGMA synchronous = NORMAL"].join("; "),
    );
  }

  #hold(): void {
    this.#pin ??= new DatabaseSync(this.#path, { readOnly: true });
    this.#pin.exec("PRAGMA cache_size = 1; BEGIN; SELECT name FROM meta LIMIT 1");
  }

  #letGo(): void {
    if (this.#pin?.isTransaction === true) this.#pin.exec("COMMIT");
  }

  #openFiles(): { wal: FlushedFile; database: FlushedFile } {
    this.#files ??= { wal: this.#open(`${this.#path}-wal`), database: this.#open(this.#path) };
    return this.#files;
  }

  #closeFiles(): void {
    this.#files?.wal.close();
    this.#files?.database.close();
    this.#files = undefined;
  }
}

const countLife =
  "INSERT INTO meta (name, value) VALUES ('walLife', '1') " +
  "ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)";

function openFile(path: string): FlushedFile {
  const descriptor = openSync(path, constants.O_RDWR);
  return {
    get sizeBytes() {
      return fstatSync(descriptor).size;
    },
    flush: () =>
      new Promise((resolve, reject) => {
        fdatasync(descriptor, (error) => (error === null ? resolve() : reject(error)));
      }),
    close: () => closeSync(descriptor),
  };
}
