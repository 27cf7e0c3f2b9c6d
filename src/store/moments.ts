/**
 * When revisions were made, by the leader's clock: at most one sample a second, kept for as long as the history
 * it dates. Samples are notes beside the keys, so that snapshots and backups need no word about them.
 */

import type { DatabaseSync } from "node:sqlite";
import type { Statements } from "./tables.ts";

export interface Moment {
  revision: number;
  /** Milliseconds since the epoch at which it was made. Never less than that of the sample before. */
  timeMs: number;
}

const prefix = "moment/";
const prefixEnd = "moment0";
const sampleMs = 1000;

/** The samples of one store. Deterministic: what is kept depends on the entries alone. */
export class Moments {
  readonly #statements: Statements;
  #lastMs = 0;

  constructor(statements: Statements) {
    this.#statements = statements;
    this.reload();
  }

  /** A batch was rolled back. */
  reload(): void {
    this.#lastMs = this.#all().at(-1)?.timeMs ?? 0;
  }

  /**
   * Notes that the revision was made now, unless a sample is fresh enough. The first revision that is made after
   * the sample's second stands for itself: a sample is the first revision of its time, never a later one.
   */
  note(revision: number, timeMs: number): void {
    if (timeMs < this.#lastMs + sampleMs) return;
    this.#statements.setMeta.run(nameOf(revision), String(timeMs));
    this.#lastMs = timeMs;
  }

  /** Forgets the samples of what was compacted but for the last, which dates the oldest content that can be read. */
  compact(revision: number): void {
    const old = this.#all().filter((moment) => moment.revision <= revision);
    for (const moment of old.slice(0, -1)) this.#statements.removeMeta.run(nameOf(moment.revision));
  }

  #all(): Moment[] {
    return toMoments(this.#statements.metaFrom.all(prefix, prefixEnd) as unknown as MetaRow[]);
  }
}

/** All samples of a state, the oldest first. */
export function readMoments(database: DatabaseSync): Moment[] {
  const rows = database.prepare("SELECT name, value FROM meta WHERE name >= ? AND name < ? ORDER BY name");
  return toMoments(rows.all(prefix, prefixEnd) as unknown as MetaRow[]);
}

export function removeMomentsAfter(database: DatabaseSync, revision: number): void {
  database.prepare("DELETE FROM meta WHERE name > ? AND name < ?").run(nameOf(revision), prefixEnd);
}

/**
 * The last revision that is known to have been made by this time: the one before the first sample after it, since
 * a sample is the first revision of its time. Undefined when the time is before all samples.
 */
export function lastRevisionAt(
  moments: readonly Moment[],
  timeMs: number,
  newest: number,
): number | undefined {
  const next = moments.findIndex((moment) => moment.timeMs > timeMs);
  if (next === 0 || moments.length === 0) return undefined;
  return next < 0 ? newest : (moments[next] as Moment).revision - 1;
}

interface MetaRow {
  name: string;
  value: string;
}

function toMoments(rows: MetaRow[]): Moment[] {
  return rows.map(({ name, value }) => ({
    revision: Number(name.slice(prefix.length)),
    timeMs: Number(value),
  }));
}

/** In the order of revisions, which are safe integers. */
function nameOf(revision: number): string {
  return prefix + String(revision).padStart(16, "0");
}
