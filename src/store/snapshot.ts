/**
 * A state on its way to another replica: read as it was at one index while writes go on, in chunks of
 * bounded size with a checksum each, and written beside the receiver's state until it is complete.
 * A chunk is asked for by the row after which it begins, so a transfer can be taken up again.
 */

import { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { ByteReader, ByteWriter, MalformedError } from "./bytes.ts";
import { checkFormat, supportedFormats } from "./format.ts";
import { rowChecksum } from "./row-checksum.ts";
import type { Store, StorePosition } from "./store.ts";
import type { HistoryRow, Statements } from "./tables.ts";
import { openDatabase, prepareStatements } from "./tables.ts";

const rowsPerRead = 64;
/** Of the chunks themselves; the cluster's format is among the notes. */
const chunkFormat = 1;

export interface SnapshotChunk {
  bytes: Uint8Array;
  /** Where the next chunk begins; undefined after the last one. */
  next: number | undefined;
}

/** A state frozen at one index. Made while there is room for a commit (`Store.tryCommit`). Holds a read transaction: close it soon, or the WAL grows. */
export class SnapshotReader {
  readonly position: StorePosition;
  readonly #store: Store;
  readonly #database: DatabaseSync;
  readonly #statements: Statements;

  constructor(store: Store) {
    this.#store = store;
    store.commit();
    if (store.path === ":memory:") {
      this.#database = new DatabaseSync(":memory:");
      this.#database.deserialize(store.serialize());
    } else {
      this.#database = new DatabaseSync(store.path, { readOnly: true });
    }
    this.#statements = prepareStatements(this.#database);
    this.#database.exec("BEGIN");
    this.position = JSON.parse(this.note("position") ?? "") as StorePosition;
  }

  note(name: string): string | undefined {
    const row = this.#statements.getMeta.get(name) as { value: string } | undefined;
    return row?.value;
  }

  /** Rows after the row `after` (0: from the start), about `sizeBytes` of them; throws as `Store.range` does. The first chunk holds the notes too. */
  chunk(after: number, sizeBytes: number): SnapshotChunk {
    const out = new ByteWriter(sizeBytes + 4096);
    const notes = after === 0 ? (this.#statements.allMeta.all() as { name: string; value: string }[]) : [];
    out.list(notes, ({ name, value }) => out.text(name).text(value));
    let last = after;
    let ended = false;
    // At least one row, however long the notes are: the place after no row at all would mean the end.
    do {
      const rows = this.#statements.rowsAfter.all(last, rowsPerRead) as unknown as HistoryRow[];
      ended = rows.length < rowsPerRead;
      for (const row of rows) {
        writeRow(out, this.#store.checked(row));
        last = row.id;
        if (out.length >= sizeBytes) {
          ended &&= row === rows.at(-1);
          break;
        }
      }
    } while (!ended && out.length < sizeBytes);
    const body = out.finish();
    const framed = new ByteWriter(body.length + 16)
      .integer(chunkFormat)
      .integer(crc32(body))
      .bytes(body)
      .finish();
    return { bytes: framed, next: ended ? undefined : last };
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }
}

/** Takes the chunks of a snapshot, in order, into a database of its own. */
export class SnapshotWriter {
  readonly database: DatabaseSync;
  readonly #statements: Statements;

  constructor(path: string) {
    this.database = openDatabase(path);
    this.#statements = prepareStatements(this.database);
  }

  /** Throws MalformedError for a damaged chunk; nothing of it is kept then. */
  add(chunk: Uint8Array): void {
    const framed = new ByteReader(chunk);
    checkFormat(framed.integer(), supportedFormats, "a snapshot that another node sends");
    const sum = framed.integer();
    const body = framed.bytes();
    if (crc32(body) !== sum) throw new MalformedError("snapshot chunk with a wrong checksum");
    const from = new ByteReader(body);
    this.database.exec("BEGIN IMMEDIATE");
    try {
      from.list(() => this.#statements.setMeta.run(from.text(), from.text()));
      while (!from.done) this.#addRow(readRow(from));
      this.database.exec("COMMIT");
    } catch (error) {
      if (this.database.isTransaction) this.database.exec("ROLLBACK");
      throw error;
    }
  }

  /** The state's, once all chunks are here. */
  get position(): StorePosition {
    const row = this.#statements.getMeta.get("position") as { value: string } | undefined;
    if (row === undefined) throw new MalformedError("a snapshot without a position");
    return JSON.parse(row.value) as StorePosition;
  }

  /** A named value beside the keys, in place of the one that came. */
  setNote(name: string, value: string): void {
    this.#statements.setMeta.run(name, value);
  }

  /** Brings all of it from the WAL into the file, durably. Throws SQLite's errors for want of room. */
  flush(): void {
    this.database.exec("PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE)");
  }

  close(): void {
    if (this.database.isOpen) this.database.close();
  }

  #addRow(row: SentRow): void {
    const { id, key, revision, create_revision: created, version, lease, value } = row;
    const checksum = rowChecksum(row);
    this.#statements.insertRow.run(id, key, revision, created, version, lease, value, checksum);
    if (version > 0) this.#statements.setCurrent.run(key, id);
    else this.#statements.removeCurrent.run(key);
  }
}

type SentRow = Omit<HistoryRow, "checksum">;

function writeRow(out: ByteWriter, row: SentRow): void {
  out.integer(row.id).key(row.key).integer(row.revision).integer(row.create_revision);
  out.integer(row.version).key(row.lease).bytes(row.value);
}

function readRow(from: ByteReader): SentRow {
  return {
    id: from.integer(),
    key: from.key(),
    revision: from.integer(),
    create_revision: from.integer(),
    version: from.integer(),
    lease: from.key(),
    value: from.bytes(),
  };
}
