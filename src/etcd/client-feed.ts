/**
 * All that changes below the prefix, by one watch on the etcd that is taken up again where it broke. The latest
 * events are kept, so that most watches of the node are fed from memory; older history is `client-past.ts`'s
 * business. When the watch can't be taken up again, the owner ends every watch loudly.
 */
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { WatchEvent, WatchRequest } from "#base/backend.ts";
import { inKeyRange, prefixEnd } from "#base/key-range.ts";
import type { WatchHistory } from "#base/watch-hub.ts";
import type { EtcdConnection } from "./client-connection.ts";
import type { KeySpace, WireEvent } from "./client-messages.ts";
import { fromByteString, toByteString } from "./messages.ts";

export interface WireWatchResponse {
  created: boolean;
  canceled: boolean;
  compact_revision: string;
  cancel_reason: string;
  fragment: boolean;
  events: WireEvent[];
}

export interface FeedEvents {
  /** Changes up to and including this revision; notes are not among them. */
  onChanges(events: WatchEvent[], revision: number): void;
  /** A note was put (with its text and create revision) or deleted. */
  onNote(name: string, value: { text: string; createRevision: number } | undefined): void;
  /** The feed has a hole: what happened in between was compacted. It goes on once `start` is called again. */
  onLost(reason: string): void;
  /** It has not been restored for long. */
  onSilent(): void;
}

const keptEvents = 20_000;
const keptBytes = 32 << 20;
const silentMs = 10_000;

export class Feed implements WatchHistory {
  readonly #connection: EtcdConnection;
  readonly #keys: KeySpace;
  readonly #events: FeedEvents;
  #stream: ClientDuplexStream<object, unknown> | undefined;
  #kept: WatchEvent[] = [];
  #keptBytes = 0;
  /** First revision of which everything is kept. */
  #oldest = 1;
  #revision = 0;
  #partial: WireEvent[] = [];
  #brokenMs: number | undefined;
  #retries = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** What this node knows to be compacted. */
  compactRevision = 0;

  constructor(connection: EtcdConnection, keys: KeySpace, events: FeedEvents) {
    this.#connection = connection;
    this.#keys = keys;
    this.#events = events;
  }

  /** Everything up to here has been handed out. */
  get revision(): number {
    return this.#revision;
  }

  /** Everything from here on is in memory. */
  get oldest(): number {
    return this.#oldest;
  }

  start(revision: number): void {
    this.#revision = revision;
    this.#oldest = revision + 1;
    this.#kept = [];
    this.#keptBytes = 0;
    this.#open();
  }

  /** The watch says nothing although something happened: begin it anew at another endpoint. */
  restart(): void {
    this.#connection.leave();
    this.#open();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#stream?.cancel();
  }

  events(request: WatchRequest, fromRevision: number, limit: number) {
    const events: WatchEvent[] = [];
    for (const event of this.#kept) {
      const at = event.kv.modRevision;
      if (at < fromRevision || !inKeyRange(event.kv.key, request.key, request.end)) continue;
      const last = events.at(-1)?.kv.modRevision;
      if (events.length >= limit && last !== undefined && last !== at) return { events, upTo: last };
      events.push(event);
    }
    return { events, upTo: this.#revision };
  }

  #open(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    const old = this.#stream;
    this.#partial = [];
    const stream = this.#connection.stream("Watch", "Watch");
    this.#stream = stream;
    old?.cancel();
    stream.on("data", (response: WireWatchResponse) => {
      if (stream === this.#stream) this.#take(response);
    });
    const broken = (): void => {
      if (stream === this.#stream) this.#onBroken();
    };
    stream.on("error", broken);
    stream.on("end", broken);
    stream.write(watchRequest(this.#keys, this.#revision + 1));
  }

  #take(response: WireWatchResponse): void {
    if (response.created) {
      this.#brokenMs = undefined;
      this.#retries = 0;
    }
    if (response.canceled) {
      this.#stream?.cancel();
      this.#stream = undefined;
      if (response.compact_revision !== "0") this.#events.onLost("its history was compacted meanwhile");
      else this.#onBroken();
      return;
    }
    this.#partial.push(...response.events);
    if (response.fragment || this.#partial.length === 0) return;
    const wire = this.#partial;
    this.#partial = [];
    this.#handOut(wire);
  }

  #handOut(wire: WireEvent[]): void {
    const changes: WatchEvent[] = [];
    for (const each of wire) {
      if (this.#keys.key(each.kv.key) === undefined) this.#note(each);
      else changes.push(this.#keys.event(each));
    }
    const revision = Number(wire.at(-1)?.kv.mod_revision);
    this.#keep(changes);
    this.#revision = revision;
    this.#events.onChanges(changes, revision);
  }

  #note({ type, kv }: WireEvent): void {
    const name = toByteString(kv.key).slice(this.#keys.note("").length);
    const createRevision = Number(kv.create_revision);
    this.#events.onNote(
      name,
      type === "PUT" ? { text: kv.value.toString("utf8"), createRevision } : undefined,
    );
  }

  #keep(changes: WatchEvent[]): void {
    for (const event of changes) {
      this.#kept.push(event);
      this.#keptBytes += cost(event);
    }
    let drop = 0;
    while (
      this.#kept.length - drop > keptEvents ||
      (this.#keptBytes > keptBytes && drop < this.#kept.length)
    ) {
      const event = this.#kept[drop++] as WatchEvent;
      this.#keptBytes -= cost(event);
      this.#oldest = event.kv.modRevision + 1;
    }
    if (drop > 0) this.#kept = this.#kept.filter((each) => each.kv.modRevision >= this.#oldest);
  }

  #onBroken(): void {
    this.#stream = undefined;
    if (this.#closed) return;
    const now = performance.now();
    if (this.#brokenMs === undefined) this.#brokenMs = now;
    else if (now - this.#brokenMs > silentMs) {
      this.#brokenMs = now;
      this.#events.onSilent();
    }
    this.#connection.leave();
    this.#timer = setTimeout(() => this.#open(), Math.min(50 * 2 ** this.#retries++, 1000));
  }
}

/** A watch on everything below the prefix. */
export function watchRequest(keys: KeySpace, fromRevision: number): object {
  return {
    create_request: {
      key: fromByteString(keys.prefix),
      range_end: fromByteString(prefixEnd(keys.prefix)),
      start_revision: fromRevision,
      prev_kv: true,
      fragment: true,
    },
  };
}

function cost({ kv, previous }: WatchEvent): number {
  return kv.key.length + kv.value.length + (previous?.value.length ?? 0) + 200;
}
