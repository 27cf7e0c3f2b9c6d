/**
 * A `Backend` from afar: the client half implements it, the server half carries it out. Used between the
 * threads of a node and between a spare and a member. Messages that are made in one turn travel together.
 * They are numbered, so a lost one is noticed; then, or when the other side falls silent, everything that
 * waits ends with an error and every watch ends loudly.
 */

import type {
  Backend,
  BackendStatus,
  Leadership,
  RangeRequest,
  RangeResult,
  Transaction,
  TransactionResult,
  Watch,
  WatchRequest,
  WatchSink,
} from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { LeaseCall, Leases } from "#base/leases.ts";
import { remoteLeases, runLeaseCall } from "#base/leases.ts";
import {
  readRangeRequest,
  readRangeResult,
  readTransaction,
  readTransactionResult,
  readWatchEvent,
  readWatchRequest,
  writeRangeRequest,
  writeRangeResult,
  writeTransaction,
  writeTransactionResult,
  writeWatchEvent,
  writeWatchRequest,
} from "#store/backend-records.ts";
import { ByteReader, ByteWriter } from "#store/bytes.ts";
import { overloadError, timeoutError } from "./errors.ts";
import { readError, writeError } from "./frames.ts";

/** One side's way to the other. `send` returns false when the message was dropped. */
export interface SessionLink {
  send(message: Uint8Array<ArrayBuffer>): boolean;
  /** Calls back at the end of the present turn. */
  later(flush: () => void): void;
}

const toServer = [
  "range",
  "transact",
  "readRevision",
  "compact",
  "status",
  "watch",
  "cancel",
  "leadership",
  "ping",
  "lease",
] as const;
const toClient = ["result", "error", "events", "end", "leadership", "pong"] as const;

/** Gathers parts and sends them as one numbered message. */
class Outbox {
  readonly #link: SessionLink;
  readonly #onDropped: () => void;
  #out: ByteWriter | undefined;
  #number = 0;

  constructor(link: SessionLink, onDropped: () => void) {
    this.#link = link;
    this.#onDropped = onDropped;
  }

  /** The writer for the next part of the present message. */
  open(): ByteWriter {
    if (this.#out === undefined) {
      this.#out = new ByteWriter(1024).integer(++this.#number);
      this.#link.later(() => this.flush());
    }
    return this.#out;
  }

  flush(): void {
    const out = this.#out;
    this.#out = undefined;
    if (out !== undefined && !this.#link.send(out.finish())) this.#onDropped();
  }
}

interface Call {
  deadlineMs: number;
  isWrite: boolean;
  resolve(from: ByteReader): void;
  reject(error: Error): void;
}

const maxCalls = 16384;

export class BackendClient implements Backend {
  readonly #outbox: Outbox;
  readonly #nowMs: () => number;
  readonly #timeoutMs: number;
  readonly #calls = new Map<number, Call>();
  readonly #watches = new Map<number, WatchSink>();
  readonly #leadershipCallbacks = new Set<(leadership: Leadership) => void>();
  #leadership: Leadership | undefined;
  #leadershipAsked = false;
  #lastId = 0;
  #received = 0;
  #heardMs: number;
  #failure: Error | undefined;
  readonly leases: Leases = remoteLeases((call) =>
    this.#call(
      "lease",
      (out) => void out.text(JSON.stringify(call)),
      (from) => JSON.parse(from.text()) as unknown,
    ),
  );

  /** `nowMs` is monotonic. `timeoutMs`: after how long a call ends although the server should have ended it. */
  constructor(link: SessionLink, nowMs: () => number, timeoutMs = 12_000) {
    this.#outbox = new Outbox(link, () => this.fail(lostError()));
    this.#nowMs = nowMs;
    this.#timeoutMs = timeoutMs;
    this.#heardMs = nowMs();
  }

  /** Why the session has ended, undefined while it stands. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  range(request: RangeRequest): Promise<RangeResult> {
    return this.#call("range", (out) => writeRangeRequest(out, request), readRangeResult);
  }

  transact(transaction: Transaction): Promise<TransactionResult> {
    return this.#call("transact", (out) => writeTransaction(out, transaction), readTransactionResult);
  }

  readRevision(): Promise<number> {
    return this.#call(
      "readRevision",
      () => undefined,
      (from) => from.integer(),
    );
  }

  compact(revision: number): Promise<void> {
    return this.#call(
      "compact",
      (out) => void out.integer(revision),
      () => undefined,
    );
  }

  status(): Promise<BackendStatus> {
    return this.#call(
      "status",
      () => undefined,
      (from) => JSON.parse(from.text()) as BackendStatus,
    );
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    if (this.#failure !== undefined) throw this.#failure;
    const id = ++this.#lastId;
    this.#watches.set(id, sink);
    const out = this.#outbox.open().byte(toServer.indexOf("watch")).integer(id);
    writeWatchRequest(out, request);
    return { cancel: () => this.#cancel(id) };
  }

  /** The first callback says that nobody leads here, until the server has told better. */
  onLeadership(callback: (leadership: Leadership) => void): () => void {
    this.#leadershipCallbacks.add(callback);
    if (!this.#leadershipAsked && this.#failure === undefined) {
      this.#leadershipAsked = true;
      this.#outbox.open().byte(toServer.indexOf("leadership"));
    }
    callback(this.#leadership ?? { leading: false, term: 0 });
    return () => this.#leadershipCallbacks.delete(callback);
  }

  async close(): Promise<void> {
    this.fail(new StatusError("ServiceUnavailable", "the datastore has been closed"));
  }

  /** To be called for each message of the server. */
  receive(message: Uint8Array): void {
    if (this.#failure !== undefined) return;
    this.#heardMs = this.#nowMs();
    const from = new ByteReader(message);
    if (from.integer() !== ++this.#received) {
      this.fail(lostError());
      return;
    }
    while (!from.done && this.#failure === undefined) this.#part(from);
  }

  /** Now and then: asks whether the server is there, and ends what has waited too long. */
  tick(silenceMs: number): void {
    if (this.#failure !== undefined) return;
    const now = this.#nowMs();
    if (now - this.#heardMs > silenceMs) {
      this.fail(lostError());
      return;
    }
    this.#outbox.open().byte(toServer.indexOf("ping"));
    for (const [id, call] of this.#calls) {
      if (now < call.deadlineMs) continue;
      this.#calls.delete(id);
      call.reject(timeoutError());
    }
  }

  /** The server is gone: nothing is left waiting. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const calls = [...this.#calls.values()];
    const watches = [...this.#watches.values()];
    this.#calls.clear();
    this.#watches.clear();
    // A write that was sent may have taken place all the same.
    for (const call of calls) call.reject(call.isWrite ? timeoutError() : error);
    for (const sink of watches) sink.onEnd(error);
    this.#tellLeadership({ leading: false, term: this.#leadership?.term ?? 0 });
  }

  #call<T>(
    method: (typeof toServer)[number],
    write: (out: ByteWriter) => void,
    read: (from: ByteReader) => T,
  ): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#calls.size >= maxCalls) return Promise.reject(overloadError());
    const id = ++this.#lastId;
    write(this.#outbox.open().byte(toServer.indexOf(method)).integer(id));
    return new Promise((resolve, reject) => {
      this.#calls.set(id, {
        deadlineMs: this.#nowMs() + this.#timeoutMs,
        isWrite: method === "transact" || method === "compact" || method === "lease",
        resolve: (from) => resolve(read(from)),
        reject,
      });
    });
  }

  #cancel(id: number): void {
    const sink = this.#watches.get(id);
    if (sink === undefined) return;
    this.#watches.delete(id);
    this.#outbox.open().byte(toServer.indexOf("cancel")).integer(id);
    sink.onEnd(undefined);
  }

  #part(from: ByteReader): void {
    const type = toClient[from.byte()];
    if (type === "pong") return;
    if (type === "leadership") {
      this.#tellLeadership({ leading: from.boolean(), term: from.integer() });
      return;
    }
    const id = from.integer();
    // Each part is read whether or not somebody still waits for it: the next one stands behind it.
    const body = new ByteReader(from.bytes());
    if (type === "events")
      this.#watches.get(id)?.onEvents(
        body.list(() => readWatchEvent(body)),
        body.integer(),
      );
    else if (type === "end") {
      const sink = this.#watches.get(id);
      this.#watches.delete(id);
      sink?.onEnd(readError(body));
    } else {
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (type === "result") call?.resolve(body);
      else call?.reject(readError(body));
    }
  }

  #tellLeadership(leadership: Leadership): void {
    this.#leadership = leadership;
    for (const callback of this.#leadershipCallbacks) callback(leadership);
  }
}

/** Used within one call only. */
const bodyScratch = new ByteWriter(4096);

export class BackendServer {
  readonly #backend: Backend;
  readonly #outbox: Outbox;
  readonly #watches = new Map<number, Watch>();
  #stopLeadership: (() => void) | undefined;
  #received = 0;
  #closed = false;

  constructor(backend: Backend, link: SessionLink) {
    this.#backend = backend;
    this.#outbox = new Outbox(link, () => this.close());
  }

  get closed(): boolean {
    return this.#closed;
  }

  receive(message: Uint8Array): void {
    if (this.#closed) return;
    const from = new ByteReader(message);
    if (from.integer() !== ++this.#received) {
      this.close();
      return;
    }
    while (!from.done) this.#part(from);
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
        const call = JSON.parse(from.text()) as LeaseCall;
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
      default:
        this.#outbox.open().byte(toClient.indexOf("pong"));
    }
  }

  #watch(id: number, request: WatchRequest): void {
    const sink: WatchSink = {
      onEvents: (events, revision) =>
        this.#send("events", id, (out) => {
          out.list(events, (event) => writeWatchEvent(out, event)).integer(revision);
        }),
      onEnd: (error) => {
        this.#watches.delete(id);
        if (error !== undefined) this.#send("end", id, (out) => writeError(out, error));
      },
    };
    try {
      this.#watches.set(id, this.#backend.watch(request, sink));
    } catch (error) {
      sink.onEnd(error as Error);
    }
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

function lostError(): StatusError {
  return new StatusError("ServiceUnavailable", "the connection to the datastore was lost");
}
