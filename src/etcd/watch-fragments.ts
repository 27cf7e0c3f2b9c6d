/** Large answers of a watch in pieces, for clients that asked for fragments. Pure. */
import type { WatchEvent } from "#base/backend.ts";

/** What etcd allows for one message to a watcher. */
const maxFragmentBytes = 2 << 20;

/** The events in order, in pieces of at most about `maxBytes`; one event is never cut. */
export function splitEvents(events: readonly WatchEvent[], maxBytes = maxFragmentBytes): WatchEvent[][] {
  const pieces: WatchEvent[][] = [];
  let piece: WatchEvent[] = [];
  let sizeBytes = 0;
  for (const event of events) {
    const { kv, previous } = event;
    const cost = kv.key.length + kv.value.length + (previous?.value.length ?? 0) + 64;
    if (piece.length > 0 && sizeBytes + cost > maxBytes) {
      pieces.push(piece);
      piece = [];
      sizeBytes = 0;
    }
    piece.push(event);
    sizeBytes += cost;
  }
  pieces.push(piece);
  return pieces;
}
