/**
 * One client's watch on a backend. While the client takes in nothing more, the backend is not watched: what happens
 * meanwhile stays in the history, and the watch goes on from there. If the history has been compacted by then,
 * the watch ends with that error. So a client that is too slow costs no memory, and misses nothing in silence.
 */

import type { Backend, Watch, WatchEvent, WatchRequest, WatchSink } from "#base/backend.ts";

interface WatchOutlet extends WatchSink {
  /** The client has enough for now, and these are not what others of its watches have just been told. */
  isFull(events: readonly WatchEvent[], revision: number): boolean;
}

interface Feed {
  watch?: Watch;
}

export class ServedWatch {
  readonly #backend: Backend;
  readonly #outlet: WatchOutlet;
  /** From where it goes on. */
  #request: WatchRequest;
  /** What a feed says after it was given up is not listened to. Undefined: it pauses. */
  #feed: Feed | undefined;
  #ended = false;

  /** It begins with `resume`. */
  constructor(backend: Backend, request: WatchRequest, outlet: WatchOutlet) {
    this.#backend = backend;
    this.#request = request;
    this.#outlet = outlet;
  }

  /** Does nothing while it goes on. */
  resume(): void {
    if (this.#ended || this.#feed !== undefined) return;
    const feed: Feed = {};
    this.#feed = feed;
    try {
      feed.watch = this.#backend.watch(this.#request, this.#sink(feed));
    } catch (error) {
      this.#end(error as Error);
    }
  }

  cancel(): void {
    if (!this.#ended) this.#end(undefined);
  }

  #sink(feed: Feed): WatchSink {
    return {
      onEvents: (events, revision) => {
        if (this.#feed !== feed) return;
        if (this.#outlet.isFull(events, revision)) {
          this.#giveUpFeed();
          return;
        }
        // One from a revision that is still to come is told of earlier ones, without events.
        const fromRevision = Math.max(revision + 1, this.#request.fromRevision ?? 0);
        this.#request = { ...this.#request, fromRevision };
        this.#outlet.onEvents(events, revision);
      },
      onEnd: (error) => {
        if (this.#feed === feed) this.#end(error);
      },
    };
  }

  #giveUpFeed(): void {
    const feed = this.#feed;
    this.#feed = undefined;
    feed?.watch?.cancel();
  }

  #end(error: Error | undefined): void {
    this.#ended = true;
    this.#giveUpFeed();
    this.#outlet.onEnd(error);
  }
}
