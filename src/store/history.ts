/**
 * Rows as the rest of the house knows them, and the history that watches catch up from. It reads only, and gives out no
 * row that is not as it was written.
 */

import type { KeyValue, WatchEvent, WatchRequest } from "#base/backend.ts";
import type { HistoryRow, Statements } from "./tables.ts";
import { endOfKeys } from "./tables.ts";

/** At most this many revisions are looked through in one step. */
const historySpan = 10_000;
/** Such a step ends after the revision with which its values come to this. */
const historyStepBytes = 1 << 20;

export class History {
  readonly #statements: Statements;
  readonly #checked: (row: HistoryRow) => HistoryRow;

  /** `checked` throws for a damaged row, and gives back any other. */
  constructor(statements: Statements, checked: (row: HistoryRow) => HistoryRow) {
    this.#statements = statements;
    this.#checked = checked;
  }

  /**
   * What happened from a revision on, as far as `upTo`: up to the newest revision at most, and in whole revisions. About
   * `limit` events.
   */
  events(
    request: WatchRequest,
    fromRevision: number,
    newestRevision: number,
    limit: number,
  ): { events: WatchEvent[]; upTo: number } {
    let upTo = Math.min(newestRevision, fromRevision + historySpan - 1);
    const rows = this.#changes(request, fromRevision, upTo);
    const events: WatchEvent[] = [];
    let bytes = 0;
    for (const row of rows) {
      const last = events.at(-1)?.kv.modRevision;
      const isEnough = events.length >= limit || bytes >= historyStepBytes;
      if (isEnough && last !== undefined && row.revision !== last) {
        upTo = last;
        break;
      }
      const event = this.#toEvent(row);
      bytes += event.kv.value.length + (event.previous?.value.length ?? 0);
      events.push(event);
    }
    return { events, upTo };
  }

  toKeyValue(row: HistoryRow): KeyValue {
    return toKeyValue(this.#checked(row));
  }

  #changes(request: WatchRequest, from: number, upTo: number): Iterable<HistoryRow> {
    const rows =
      request.end === undefined
        ? this.#statements.changesOfKey.iterate(request.key, from, upTo)
        : this.#statements.changes.iterate(from, upTo, request.key, endOf(request));
    return rows as unknown as Iterable<HistoryRow>;
  }

  #toEvent(row: HistoryRow): WatchEvent {
    this.#checked(row);
    const kv = row.version === 0 ? tombstone(row.key, row.revision) : toKeyValue(row);
    const type = row.version === 0 ? "delete" : "put";
    if (row.version === 1) return { type, kv };
    const previous = this.#statements.previous.get(row.key, row.revision) as HistoryRow | undefined;
    return previous === undefined || previous.version === 0
      ? { type, kv }
      : { type, kv, previous: this.toKeyValue(previous) };
  }
}

/** Where a range ends, as the tables are asked for it. */
export function endOf(range: { key: string; end?: string }): string {
  if (range.end === undefined) return `${range.key}\0`;
  return range.end === "\0" ? endOfKeys : range.end;
}

/** What stands for a key from the revision on with which it was deleted. */
export function tombstone(key: string, revision: number): KeyValue {
  return {
    key,
    value: new Uint8Array(0),
    createRevision: 0,
    modRevision: revision,
    version: 0,
    lease: "0",
  };
}

function toKeyValue(row: HistoryRow): KeyValue {
  return {
    key: row.key,
    value: row.value,
    createRevision: row.create_revision,
    modRevision: row.revision,
    version: row.version,
    lease: row.lease,
  };
}
