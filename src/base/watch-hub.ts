/**
 * Who watches what. A watch first catches up from history, in bounded steps, then follows what is
 * published; it never sees a revision twice and never misses one. The hub does no IO and has no clock:
 * its owner publishes after each change and calls `advance` while there is something to catch up. Watches that
 * get the same events get the same array of them, so whoever encodes it need do so only once.
 */

import { assert } from "#base/assert.ts";
import type { Watch, WatchEvent, WatchRequest, WatchSink } from "#base/backend.ts";
import { inKeyRange } from "#base/key-range.ts";
import { compactedError } from "#base/transaction.ts";

interface Step {
  events: WatchEvent[];
  upTo: number;
}

/** The past changes of a store. */
export interface WatchHistory {
  /** Newest revision that the hub's owner has published or will publish next. */
  readonly revision: number;
  readonly compactRevision: number;
  /**
   * Events of [key, end) from `fromRevision` on, in revision order, whole revisions only. It may stop early:
   * `upTo` is the last revision that the answer covers completely, at least `fromRevision`.
   */
  events(request: WatchRequest, fromRevision: number, limit: number): Step;
}

interface Watcher {
  request: WatchRequest;
  sink: WatchSink;
  /** First revision that the watcher has not been told about. */
  next: number;
  /** Has the watcher been called at all? The first call tells its owner that the watch stands. */
  started: boolean;
  ended: boolean;
}

export class WatchHub {
  readonly #history: WatchHistory;
  readonly #live = new Set<Watcher>();
  readonly #behind = new Set<Watcher>();
  readonly #needAdvance: () => void;

  /** `needAdvance` is called whenever a watch has to catch up; the owner then calls `advance` soon, not at once. */
  constructor(history: WatchHistory, needAdvance: () => void) {
    this.#history = history;
    this.#needAdvance = needAdvance;
  }

  get size(): number {
    return this.#live.size + this.#behind.size;
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    const next =
      request.fromRevision === undefined || request.fromRevision === 0
        ? this.#history.revision + 1
        : request.fromRevision;
    const watcher: Watcher = { request, sink, next, started: false, ended: false };
    this.#behind.add(watcher);
    this.#needAdvance();
    return { cancel: () => this.#end(watcher, undefined) };
  }

  /** Hands out changes. `events` are all of those after the last published revision up to and including `revision`. */
  publish(events: WatchEvent[], revision: number): void {
    for (const watcher of this.#live) {
      if (watcher.next > revision) continue;
      const mine = eventsFor(watcher, events);
      watcher.next = revision + 1;
      watcher.sink.onEvents(mine, revision);
    }
  }

  /** One step of catching up for every watch that is behind. Returns true when there is more to do. */
  advance(eventsPerWatch = 1000): boolean {
    const alike = Map.groupBy(this.#behind, ({ request, next }) =>
      JSON.stringify([request.key, request.end, next]),
    );
    for (const watchers of alike.values()) this.#advanceAlike(watchers, eventsPerWatch);
    return this.#behind.size > 0;
  }

  /** Ends every watch: the feed is broken and nobody may be left waiting in silence. */
  fail(error: Error | undefined): void {
    for (const watcher of [...this.#live, ...this.#behind]) this.#end(watcher, error);
  }

  /** They watch the same, and have been told of it up to the same revision: history is read once for all. */
  #advanceAlike(watchers: Watcher[], limit: number): void {
    const { revision, compactRevision } = this.#history;
    const [{ request, next }] = watchers as [Watcher];
    if (next < compactRevision) {
      for (const watcher of watchers) this.#end(watcher, compactedError());
      return;
    }
    let step: Step | undefined;
    try {
      if (next <= revision) step = this.#history.events(request, next, limit);
    } catch (error) {
      for (const watcher of watchers) this.#end(watcher, error as Error);
      return;
    }
    assert(
      step === undefined || (step.upTo >= next && step.upTo <= revision),
      "a step through history goes forward",
    );
    for (const watcher of watchers) if (!watcher.ended) this.#advanceOne(watcher, step, revision);
  }

  #advanceOne(watcher: Watcher, step: Step | undefined, revision: number): void {
    if (step !== undefined) {
      const { events, upTo } = step;
      watcher.next = upTo + 1;
      if (events.length > 0 || upTo === revision) {
        watcher.started = true;
        watcher.sink.onEvents(events, upTo);
      }
    }
    if (!watcher.ended && watcher.next > revision) this.#goLive(watcher, revision);
  }

  #goLive(watcher: Watcher, revision: number): void {
    this.#behind.delete(watcher);
    this.#live.add(watcher);
    if (!watcher.started && watcher.next === revision + 1) watcher.sink.onEvents([], revision);
    watcher.started = true;
  }

  #end(watcher: Watcher, error: Error | undefined): void {
    if (watcher.ended) return;
    watcher.ended = true;
    this.#live.delete(watcher);
    this.#behind.delete(watcher);
    watcher.sink.onEnd(error);
  }
}

const nothing: WatchEvent[] = [];

/** A watch from a future revision skips what lies before it. */
function eventsFor(watcher: Watcher, events: WatchEvent[]): WatchEvent[] {
  const { key, end } = watcher.request;
  const isMine = ({ kv }: WatchEvent) => kv.modRevision >= watcher.next && inKeyRange(kv.key, key, end);
  const mine = events.filter(isMine);
  if (mine.length === events.length) return events;
  return mine.length === 0 ? nothing : mine;
}
