/**
 * The server half of a backend session: carries out what the client asks of a `Backend`. Answers always leave: a client
 * has only so many calls under way. The watches of one that does not take in what it is sent pause
 * (`served-watch.ts`), and go on from where they were once it does.
 */

import type { Backend, WatchEvent, WatchRequest } from "#base/backend.ts";
import { runLeaseCall } from "#base/leases.ts";
import {
  readRangeRequest,
  readTransaction,
  readWatchRequest,
  writeRangeResult,
  writeTransactionResult,
  writeWatchEvent,
} from "#store/backend-records.ts";
import { ByteReader, ByteWriter } from "#store/bytes.ts";
import type { SessionLink } from "./backend-session.ts";
import { Outbox, toClient, toServer } from "./backend-session.ts";
import { writeError } from "../peers/frames.ts";
import { readLeaseCall } from "../peers/peer-json.ts";
import { SendWindow } from "./send-window.ts";
import { ServedWatch } from "./served-watch.ts";

/** Used within one call only. */
const bodyScratch = new ByteWriter(4096);

export class BackendServer {
  readonly #backend: Backend;
  readonly #outbox: Outbox;
  readonly #window: SendWindow;
  readonly #watches = new Map<number, ServedWatch>();
  #stopLeadership: (() => void) | undefined;
  #received = 0;
  #closed = false;
  /** What the last "events" had, for a client that understands "same". */
  #lastEvents: { events: readonly WatchEvent[] | undefined; revision: number } | undefined;

  constructor(backend: Backend, link: SessionLink, windowBytes?: number) {
    this.#backend = backend;
    this.#window = new SendWindow(windowBytes);
    this.#outbox = new Outbox(
      {
        send: (message) => {
          this.#window.sent(message.length);
          return link.send(message);
        },
        later: (flush) => link.later(flush),
      },
      () => this.close(),
    );
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Throws MalformedError, and has ended then. */
  receive(message: Uint8Array): void {
    if (this.#closed) return;
    const from = new ByteReader(message);
    if (from.integer() !== ++this.#received) {
      this.close();
      return;
    }
    try {
      while (!from.done) this.#part(from);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopLeadership?.();
    for (const watch of this.#watches.values()) watch.cancel();
    this.#watches.clear();
  }

  #part(from: ByteReader): void {
    const type = toServer[from.byte()];
    const backend = this.#backend;
    switch (type) {
      case "range": {
        const id = from.integer();
        const request = readRangeRequest(from);
        void this.#answer(id, backend.range(request), writeRangeResult);
        return;
      }
      case "transact": {
        const id = from.integer();
        const transaction = readTransaction(from);
        void this.#answer(id, backend.transact(transaction), writeTransactionResult);
        return;
      }
      case "readRevision":
        void this.#answer(
          from.integer(),
          backend.readRevision(),
          (out, revision) => void out.integer(revision),
        );
        return;
      case "compact": {
        const id = from.integer();
        void this.#answer(id, backend.compact(from.integer()), () => undefined);
        return;
      }
      case "status":
        void this.#answer(
          from.integer(),
          backend.status(),
          (out, status) => void out.text(JSON.stringify(status)),
        );
        return;
      case "lease": {
        const id = from.integer();
        const call = readLeaseCall(from.text());
        void this.#answer(
          id,
          runLeaseCall(backend.leases, call),
          (out, result) => void out.text(JSON.stringify(result)),
        );
        return;
      }
      case "watch":
        this.#watch(from.integer(), readWatchRequest(from));
        return;
      case "cancel":
        this.#watches.get(from.integer())?.cancel();
        return;
      case "leadership":
        this.#stopLeadership ??= backend.onLeadership(({ leading, term }) => {
          if (!this.#closed)
            this.#outbox.open().byte(toClient.indexOf("leadership")).boolean(leading).integer(term);
        });
        return;
      case "acknowledges":
        this.#window.keep();
        return;
      case "understandsSame":
        this.#lastEvents = { events: undefined, revision: 0 };
        return;
      case "acknowledged":
        this.#window.acknowledged();
        if (this.#window.hasRoom) for (const watch of this.#watches.values()) watch.resume();
        return;
      default:
        this.#outbox.open().byte(toClient.indexOf("pong"));
    }
  }

  #watch(id: number, request: WatchRequest): void {
    const watch = new ServedWatch(this.#backend, request, {
      isFull: (events, revision) =>
        !this.#isSame(events, revision) && this.#window.isFull(this.#outbox.gatheredBytes),
      onEvents: (events, revision) => this.#sendEvents(id, events, revision),
      onEnd: (error) => {
        this.#watches.delete(id);
        if (error !== undefined) this.#send("end", id, (out) => writeError(out, error));
      },
    });
    this.#watches.set(id, watch);
    watch.resume();
  }

  /** Watches that get the same are told one after the other, and get the very same array. */
  #sendEvents(id: number, events: readonly WatchEvent[], revision: number): void {
    if (this.#isSame(events, revision)) {
      this.#outbox.open().byte(toClient.indexOf("same")).integer(id);
      return;
    }
    if (this.#lastEvents !== undefined) this.#lastEvents = { events, revision };
    this.#send("events", id, (out) => {
      out.list(events, (event) => writeWatchEvent(out, event)).integer(revision);
    });
  }

  #isSame(events: readonly WatchEvent[], revision: number): boolean {
    return this.#lastEvents?.events === events && this.#lastEvents.revision === revision;
  }

  async #answer<T>(id: number, work: Promise<T>, write: (out: ByteWriter, value: T) => void): Promise<void> {
    try {
      const value = await work;
      this.#send("result", id, (out) => write(out, value));
    } catch (error) {
      this.#send("error", id, (out) => writeError(out, error as Error));
    }
  }

  #send(type: (typeof toClient)[number], id: number, write: (out: ByteWriter) => void): void {
    if (this.#closed) return;
    write(bodyScratch.restart());
    this.#outbox.open().byte(toClient.indexOf(type)).integer(id).bytes(bodyScratch.view());
  }
}
