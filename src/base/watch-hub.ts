/**
 * Who watches what. A watch first catches up from history, in bounded steps, then follows what is
 * published; it never sees a revision twice and never misses one. The hub does no IO and has no clock:
 * its owner publishes after each change and calls `advance` while there is something to catch up.
 */

import { assert } from "#base/assert.ts";
import type { Watch, WatchEvent, WatchRequest, WatchSink } from "#base/backend.ts";
import { inKeyRange } from "#base/key-range.ts";
import { compactedError } from "#base/transaction.ts";

/** The past changes of a store. */
export interface WatchHistory {
  /** Newest revision that the hub's owner has published or will publish next. */
  readonly revision: number;
  readonly compactRevision: number;
  /**
   * Events of [key, end) from `fromRevision` on, in revision order, whole revisions only. It may stop early:
   * `upTo` is the last revision that the answer covers completely, at least `fromRevision`.
   */
  events(request: WatchRequest, fromRevision: number, limit: number): { events: WatchEvent[]; upTo: number };
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
    for (const watcher of this.#behind) this.#advanceOne(watcher, eventsPerWatch);
    return this.#behind.size > 0;
  }

  /** Ends every watch: the feed is broken and nobody may be left waiting in silence. */
  fail(error: Error | undefined): void {
    for (const watcher of [...this.#live, ...this.#behind]) this.#end(watcher, error);
  }

  #advanceOne(watcher: Watcher, limit: number): void {
    const { revision, compactRevision } = this.#history;
    if (watcher.next < compactRevision) {
      this.#end(watcher, compactedError());
      return;
    }
    if (watcher.next <= revision) {
      const step = this.#stepOf(watcher, limit);
      if (step === undefined) return;
      const { events, upTo } = step;
      assert(upTo >= watcher.next && upTo <= revision, "a step through history goes forward");
      watcher.next = upTo + 1;
      if (events.length > 0 || upTo === revision) {
        watcher.started = true;
        watcher.sink.onEvents(events, upTo);
      }
    }
    if (!watcher.ended && watcher.next > revision) this.#goLive(watcher, revision);
  }

  /** Undefined: the history can't be read there, and the watch has ended with the reason. */
  #stepOf(watcher: Watcher, limit: number): { events: WatchEvent[]; upTo: number } | undefined {
    try {
      return this.#history.events(watcher.request, watcher.next, limit);
    } catch (error) {
      this.#end(watcher, error as Error);
      return undefined;
    }
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

/** A watch from a future revision skips what lies before it. */
function eventsFor(watcher: Watcher, events: WatchEvent[]): WatchEvent[] {
  const { key, end } = watcher.request;
  return events.filter((event) => event.kv.modRevision >= watcher.next && inKeyRange(event.kv.key, key, end));
}
