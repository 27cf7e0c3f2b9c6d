/**
 * Making a state the beginning of another cluster's history, after a restore or a forced recovery: back to a
 * past revision if asked, then forward over every revision that a client may have seen, with all history
 * before marked as compacted. So whoever watched the old cluster is told "compacted" and lists anew; no
 * revision ever names two different contents.
 */

import type { DatabaseSync } from "node:sqlite";
import { StatusError } from "#base/errors.ts";
import { lastRevisionAt, readMoments, removeMomentsAfter } from "./moments.ts";
import type { StorePosition } from "./store.ts";
import { prepareStatements } from "./tables.ts";

/** Revisions are skipped by this many: more than a cluster makes between a backup and its restore. */
export const skippedRevisions = 1_000_000_000;

export interface Renewal {
  /** Go back to this revision, or to the last one at this time. Undefined: the newest. */
  at?: { revision: number } | { timeMs: number };
  /** No term that was ever seen: what the old cluster's leaders fenced with stays below it. */
  term?: number;
  /** Notes to set, given the position of the renewed state. */
  notes(position: Readonly<StorePosition>): Record<string, string>;
}

/**
 * One SQLite transaction: all or nothing. Returns the revision whose content the state now has, and its
 * position. Throws StatusError BadRequest when history does not reach as far as `at`.
 */
export function renewState(
  database: DatabaseSync,
  renewal: Renewal,
): { content: number; position: StorePosition } {
  const statements = prepareStatements(database);
  const note = (name: string) => (statements.getMeta.get(name) as { value: string } | undefined)?.value;
  const position = JSON.parse(note("position") ?? "null") as StorePosition | null;
  if (position === null)
    throw new StatusError("BadRequest", "the state is empty: there is nothing to go on with");
  database.exec("BEGIN IMMEDIATE");
  try {
    const content = targetRevision(database, position, renewal.at);
    if (content < position.revision) goBack(database, content);
    position.revision += skippedRevisions;
    position.compactRevision = position.revision;
    position.compactCursor = 0;
    position.term = Math.max(position.term, renewal.term ?? 0);
    statements.setMeta.run("position", JSON.stringify(position));
    // The log begins behind the state, as after a snapshot.
    statements.setMeta.run("received", String(position.index));
    for (const [name, value] of Object.entries(renewal.notes(position))) statements.setMeta.run(name, value);
    database.exec("COMMIT");
    return { content, position };
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

function targetRevision(database: DatabaseSync, position: StorePosition, at: Renewal["at"]): number {
  if (at === undefined) return position.revision;
  const { revision: newest, compactRevision: oldest } = position;
  if ("revision" in at) {
    if (at.revision >= Math.max(oldest, 1) && at.revision <= newest) return at.revision;
    throw unreachable(`revision ${at.revision}`, `revisions ${Math.max(oldest, 1)} to ${newest}`);
  }
  const moments = readMoments(database);
  const found = lastRevisionAt(moments, at.timeMs, newest);
  if (found !== undefined && found >= oldest) return found;
  const from = moments.find(({ revision }) => revision > oldest) ?? moments.at(-1);
  throw unreachable(
    iso(at.timeMs),
    from === undefined
      ? `no time (but revisions ${oldest} to ${newest})`
      : `times from ${iso(from.timeMs)} on`,
  );
}

/** Forgets every change after the revision. */
function goBack(database: DatabaseSync, revision: number): void {
  const run = (sql: string, ...values: (number | string)[]) => database.prepare(sql).run(...values);
  database.exec("CREATE TEMP TABLE undone (key TEXT PRIMARY KEY) WITHOUT ROWID");
  run("INSERT INTO undone SELECT DISTINCT key FROM history WHERE revision > ?", revision);
  run("DELETE FROM current WHERE key IN (SELECT key FROM undone)");
  run("DELETE FROM history WHERE revision > ?", revision);
  run(`INSERT INTO current SELECT h.key, h.id FROM history h JOIN undone u ON u.key = h.key
    WHERE h.version > 0 AND h.revision = (SELECT max(n.revision) FROM history n WHERE n.key = h.key)`);
  removeMomentsAfter(database, revision);
  database.exec("DROP TABLE undone");
}

function unreachable(what: string, reach: string): StatusError {
  return new StatusError("BadRequest", `the history does not reach ${what}: it has ${reach}`);
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
