/** The client half of a backend session: a `Backend` that lives in another thread or on another node. */

import type {
  Backend,
  BackendStatus,
  Leadership,
  RangeRequest,
  RangeResult,
  Transaction,
  TransactionResult,
  Watch,
  WatchEvent,
  WatchRequest,
  WatchSink,
} from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { Leases } from "#base/leases.ts";
import { remoteLeases } from "#base/leases.ts";
import {
  readRangeResult,
  readTransactionResult,
  readWatchEvent,
  writeRangeRequest,
  writeTransaction,
  writeWatchRequest,
} from "#store/backend-records.ts";
import type { ByteWriter } from "#store/bytes.ts";
import { ByteReader } from "#store/bytes.ts";
import type { SessionLink } from "./backend-session.ts";
import { acknowledgedBytes, lostError, Outbox, toClient, toServer } from "./backend-session.ts";
import { overloadError, timeoutError } from "../errors.ts";
import { readError } from "../peers/frames.ts";
import { parseJson } from "../peers/peer-json.ts";

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
  /** Of all watches together, for "same". */
  #lastEvents: { events: readonly WatchEvent[]; revision: number } = { events: [], revision: 0 };
  /** Not acknowledged yet. */
  #receivedBytes = 0;
  #heardMs: number;
  #failure: Error | undefined;
  readonly leases: Leases = remoteLeases((call) =>
    this.#call(
      "lease",
      (out) => void out.text(JSON.stringify(call)),
      (from) => parseJson(from.text(), "answer"),
    ),
  );

  /** `nowMs` is monotonic. `timeoutMs`: after how long a call ends although the server should have ended it. */
  constructor(link: SessionLink, nowMs: () => number, timeoutMs = 12_000) {
    this.#outbox = new Outbox(link, () => this.fail(lostError()));
    this.#nowMs = nowMs;
    this.#timeoutMs = timeoutMs;
    this.#heardMs = nowMs();
    this.#outbox.open().byte(toServer.indexOf("acknowledges"));
    this.#outbox.open().byte(toServer.indexOf("understandsSame"));
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
      (from) => parseJson(from.text(), "status") as BackendStatus,
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

  /** To be called for each message of the server. Throws MalformedError, and has ended then. */
  receive(message: Uint8Array): void {
    if (this.#failure !== undefined) return;
    this.#heardMs = this.#nowMs();
    const from = new ByteReader(message);
    if (from.integer() !== ++this.#received) {
      this.fail(lostError());
      return;
    }
    try {
      while (!from.done && this.#failure === undefined) this.#part(from);
    } catch (error) {
      this.fail(lostError());
      throw error;
    }
    this.#receivedBytes += message.length;
    for (; this.#receivedBytes >= acknowledgedBytes; this.#receivedBytes -= acknowledgedBytes)
      this.#outbox.open().byte(toServer.indexOf("acknowledged"));
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
    if (type === "same") {
      this.#watches.get(id)?.onEvents(this.#lastEvents.events, this.#lastEvents.revision);
      return;
    }
    // Each part is read whether or not somebody still waits for it: the next one stands behind it.
    const body = new ByteReader(from.bytes());
    if (type === "events") {
      this.#lastEvents = { events: body.list(() => readWatchEvent(body)), revision: body.integer() };
      this.#watches.get(id)?.onEvents(this.#lastEvents.events, this.#lastEvents.revision);
    } else if (type === "end") {
      const error = readError(body);
      const sink = this.#watches.get(id);
      this.#watches.delete(id);
      sink?.onEnd(error);
    } else {
      const call = this.#calls.get(id);
      if (type === "result") call?.resolve(body);
      else call?.reject(readError(body));
      this.#calls.delete(id);
    }
  }

  #tellLeadership(leadership: Leadership): void {
    this.#leadership = leadership;
    for (const callback of this.#leadershipCallbacks) callback(leadership);
  }
}
