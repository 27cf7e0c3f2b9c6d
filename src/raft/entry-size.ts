/** How large entries count for the limits on messages, memory and work in flight. All sizes in bytes. */

import type { Entry } from "./types.ts";

const entryOverheadBytes = 24;
const changeBytes = 10;

/**
 * What the application proposed. Zero for the entries that raft makes by itself (the empty entry of a
 * new leader, the automatic end of a joint configuration), which no limit may hold back.
 */
export function payloadBytes(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += payloadOf(entry);
  return bytes;
}

/** What the entries take in a message or in the log. */
export function entriesBytes(entries: readonly Entry[]): number {
  return payloadBytes(entries) + entries.length * entryOverheadBytes;
}

/** The longest prefix within `maxBytes`, but at least one entry if there is any. */
export function limitEntries(entries: Entry[], maxBytes: number): Entry[] {
  let bytes = 0;
  for (const [position, entry] of entries.entries()) {
    bytes += payloadOf(entry) + entryOverheadBytes;
    if (bytes > maxBytes && position > 0) return entries.slice(0, position);
  }
  return entries;
}

function payloadOf(entry: Entry): number {
  const change = entry.confChange;
  const changes = change === undefined ? 0 : change.changes.length * changeBytes + change.context.length;
  return entry.data.length + changes;
}
