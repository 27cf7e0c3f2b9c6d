/**
 * The tables of the state and every SQL statement on them. `history` holds each version of each key in
 * the order of changes; `current` says which row of it is the newest of a key that exists. Only `Store`
 * and the snapshot code use this file; nobody else knows that there is SQL.
 */

import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { checkFormat, supportedFormats } from "./format.ts";

export type Statements = Record<keyof typeof queries, StatementSync>;

/** A row of `history` without its key. A tombstone has version 0 and an empty value. */
export interface HistoryRow {
  id: number;
  key: string;
  revision: number;
  create_revision: number;
  version: number;
  lease: string;
  value: Uint8Array;
  /** See row-checksum.ts. Null where it can't be compared: rows without their values, and those of an older release. */
  checksum: number | null;
}

/**
 * WAL without a flush per commit (synchronous=NORMAL flushes at checkpoints only, which `Store.flush`
 * makes): after a power cut the state is an older one, never a broken one, and the log brings it forward.
 */
export function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  checkLayout(database, path);
  database.exec(`
    PRAGMA page_size = 4096;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -8192;
    PRAGMA cache_spill = OFF;
    PRAGMA temp_store = MEMORY;
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS history (
      id INTEGER PRIMARY KEY,
      key TEXT NOT NULL,
      revision INTEGER NOT NULL,
      create_revision INTEGER NOT NULL,
      version INTEGER NOT NULL,
      lease TEXT NOT NULL,
      value BLOB NOT NULL,
      checksum INTEGER
    );
    CREATE UNIQUE INDEX IF NOT EXISTS history_by_key ON history (key, revision);
    CREATE INDEX IF NOT EXISTS history_by_revision ON history (revision);
    CREATE INDEX IF NOT EXISTS history_by_lease ON history (lease) WHERE lease <> '0';
    CREATE TABLE IF NOT EXISTS current (key TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
  `);
  addChecksums(database);
  return database;
}

/** A state from before there were checksums of rows gets the column, with nothing in it: no other format, a release that knows none of it goes on with it. */
function addChecksums(database: DatabaseSync): void {
  const columns = database.prepare("SELECT name FROM pragma_table_info('history')").all();
  if (!columns.some(({ name }) => name === "checksum"))
    database.exec("ALTER TABLE history ADD COLUMN checksum INTEGER");
}

/** With which the layout came that is written. */
const layoutFormat = 1;

/** The layout of the tables has a number of its own, in SQLite's header: it says whether the rest can be read at all. */
function checkLayout(database: DatabaseSync, path: string): void {
  const { user_version: layout } = database.prepare("PRAGMA user_version").get() as { user_version: number };
  try {
    checkFormat(Math.max(layout, 1), supportedFormats, `the state ${path}`);
  } catch (error) {
    database.close();
    throw error;
  }
  if (layout === 0) database.exec(`PRAGMA user_version = ${layoutFormat}`);
}

export function prepareStatements(database: DatabaseSync): Statements {
  return Object.fromEntries(
    Object.entries(queries).map(([name, sql]) => [name, database.prepare(sql)]),
  ) as Statements;
}

const columns = "h.id, h.key, h.revision, h.create_revision, h.version, h.lease, h.value, h.checksum";
const keyColumns =
  "h.id, h.key, h.revision, h.create_revision, h.version, h.lease, x'' AS value, NULL AS checksum";
const newestUpTo =
  "h.revision = (SELECT max(n.revision) FROM history n WHERE n.key = h.key AND n.revision <= ?)";

/** Ranges take (start, end); an open end is bound as `endOfKeys`. Past ones take the revision next. */
const queries = {
  currentOne: `SELECT ${columns} FROM current c JOIN history h ON h.id = c.id WHERE c.key = ?`,
  currentRange: `SELECT ${columns} FROM current c JOIN history h ON h.id = c.id WHERE c.key >= ? AND c.key < ? ORDER BY c.key LIMIT ?`,
  currentKeys: `SELECT ${keyColumns} FROM current c JOIN history h ON h.id = c.id WHERE c.key >= ? AND c.key < ? ORDER BY c.key LIMIT ?`,
  currentCount: "SELECT count(*) AS count FROM current WHERE key >= ? AND key < ?",
  pastRange: `SELECT ${columns} FROM history h WHERE h.key >= ? AND h.key < ? AND ${newestUpTo} AND h.version > 0 ORDER BY h.key LIMIT ?`,
  pastKeys: `SELECT ${keyColumns} FROM history h WHERE h.key >= ? AND h.key < ? AND ${newestUpTo} AND h.version > 0 ORDER BY h.key LIMIT ?`,
  pastCount: `SELECT count(*) AS count FROM history h WHERE h.key >= ? AND h.key < ? AND ${newestUpTo} AND h.version > 0`,
  previous: `SELECT ${columns} FROM history h WHERE h.key = ? AND h.revision < ? ORDER BY h.revision DESC LIMIT 1`,
  changes: `SELECT ${columns} FROM history h WHERE h.revision >= ? AND h.revision <= ? AND h.key >= ? AND h.key < ? ORDER BY h.id`,
  changesOfKey: `SELECT ${columns} FROM history h WHERE h.key = ? AND h.revision >= ? AND h.revision <= ? ORDER BY h.revision`,
  rowsAfter: `SELECT ${columns} FROM history h WHERE h.id > ? ORDER BY h.id LIMIT ?`,
  scrub: `SELECT ${columns},
      (SELECT i.id FROM history i INDEXED BY history_by_key WHERE i.key = h.key AND i.revision = h.revision) AS by_key,
      (SELECT r.id FROM history r INDEXED BY history_by_revision WHERE r.revision = h.revision AND r.id = h.id) AS by_revision,
      (SELECT n.id FROM history n INDEXED BY history_by_key WHERE n.key = h.key ORDER BY n.revision DESC LIMIT 1) AS newest,
      (SELECT c.id FROM current c WHERE c.key = h.key) AS current
    FROM history h WHERE h.id > ? ORDER BY h.id`,
  insertHistory:
    "INSERT INTO history (key, revision, create_revision, version, lease, value, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)",
  insertRow:
    "INSERT INTO history (id, key, revision, create_revision, version, lease, value, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  setCurrent: "INSERT INTO current (key, id) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET id = excluded.id",
  removeCurrent: "DELETE FROM current WHERE key = ?",
  compactCandidates:
    "SELECT id, key, revision, version FROM history WHERE revision >= ? AND revision <= ? AND id > ? ORDER BY revision, id LIMIT ?",
  deleteOlder: "DELETE FROM history WHERE key = ? AND revision < ?",
  deleteRow: "DELETE FROM history WHERE id = ?",
  getMeta: "SELECT value FROM meta WHERE name = ?",
  setMeta:
    "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
  removeMeta: "DELETE FROM meta WHERE name = ?",
  metaFrom: "SELECT name, value FROM meta WHERE name >= ? AND name < ?",
  keysOfLease:
    "SELECT h.key FROM history h JOIN current c ON c.key = h.key AND c.id = h.id WHERE h.lease = ? AND h.lease <> '0' ORDER BY h.key",
  allMeta: "SELECT name, value FROM meta ORDER BY name",
} as const;

/** Sorts after every byte string: keys have characters up to U+00FF only. */
export const endOfKeys = "\u{100}";

/** SQLITE_FULL: nothing is lost, and it may be tried again. */
export function isOutOfRoom(error: unknown): boolean {
  const { errcode } = error as { errcode?: number };
  return errcode !== undefined && (errcode & 0xff) === 13;
}
