/**
 * Looks through the state for damage that no reader has come upon: each row against its checksum, and against what
 * leads to it (the newest row of each key that exists, the two indexes). SQLite notices damage to the structure of its
 * pages, not a bit that flips within a key of an index.
 */

import { FatalError } from "#base/errors.ts";
import { damageOf } from "./row-checksum.ts";
import type { HistoryRow, Statements } from "./tables.ts";

export interface ScrubLimits {
  rows: number;
  /** About so much is read, at least one row. */
  bytes: number;
}

export interface ScrubStep {
  /** How many were looked at. */
  rows: number;
  /** Where the next step begins; undefined: these were the last rows. */
  next: number | undefined;
  damage: FatalError[];
}

type ScrubbedRow = HistoryRow & {
  /** The row's number as its key and revision lead to it. */
  by_key: number | null;
  by_revision: number | null;
  /** The newest row of its key. */
  newest: number | null;
  /** The row that stands for its key; null: the key does not exist. */
  current: number | null;
};

/** Rows after the row `after` (0: from the start), in order. */
export function scrubRows(statements: Statements, after: number, limits: ScrubLimits): ScrubStep {
  const step: ScrubStep = { rows: 0, next: undefined, damage: [] };
  let bytes = 0;
  for (const each of statements.scrub.iterate(after)) {
    if (step.rows >= limits.rows || bytes >= limits.bytes) return step;
    const row = each as unknown as ScrubbedRow;
    const damage = damageOf(row) ?? lostPlace(row);
    if (damage !== undefined) step.damage.push(damage);
    step.rows++;
    bytes += row.value.length;
    step.next = row.id;
  }
  return { ...step, next: undefined };
}

/** Undefined where everything that should lead to the row does. */
function lostPlace(row: ScrubbedRow): FatalError | undefined {
  const { id, key, version, by_key: byKey, by_revision: byRevision, newest, current } = row;
  const standsForKey = newest === id && version > 0;
  if (byKey === id && byRevision === id && (current === id) === standsForKey) return undefined;
  return new FatalError(
    "corrupt",
    `the datastore's state is damaged: what leads to row ${id}, of the key ${JSON.stringify(key)}, is not as it was written`,
  );
}
