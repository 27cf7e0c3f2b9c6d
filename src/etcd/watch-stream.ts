/** One gRPC watch stream of the etcd API: many watches, each with an id, over one `Backend`. */
import type * as grpc from "@grpc/grpc-js";
import type { Backend, Watch, WatchEvent } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { toByteString } from "./messages.ts";
import { grpcError } from "./rpc-errors.ts";
import type { StatusMemory } from "./status-memory.ts";
import type { EncodedAnswer, EventForm, WatchEncoder } from "./watch-encoding.ts";

interface WireCreate extends EventForm {
  key: Buffer;
  range_end: Buffer;
  start_revision: string;
  progress_notify: boolean;
  watch_id: string;
}

interface WireWatchRequest {
  create_request?: WireCreate;
  cancel_request?: { watch_id: string };
  progress_request?: object;
}

export type WatchStream = grpc.ServerDuplexStream<WireWatchRequest, unknown>;

interface Watching {
  watch: Watch;
  /** It has been told everything up to here. */
  seen: number;
  wantsProgress: boolean;
  /** Nothing was sent since the last notice of progress was due. */
  idle: boolean;
}

/** What a client may leave unread before its stream is ended; it watches again from where it was. */
const maxUnsentBytes = 64 << 20;

export function serveWatchStream(
  backend: Backend,
  status: StatusMemory,
  encoder: WatchEncoder,
  stream: WatchStream,
  progressIntervalMs: number,
): void {
  new ServedStream(backend, status, encoder, stream).start(progressIntervalMs);
}

class ServedStream {
  readonly #backend: Backend;
  readonly #status: StatusMemory;
  readonly #encoder: WatchEncoder;
  readonly #stream: WatchStream;
  readonly #watches = new Map<string, Watching>();
  /** Revisions that the client wants to hear of once every watch has got there. */
  #progressAt: number[] = [];
  #nextId = 0;
  #unsentBytes = 0;
  #ended = false;
  /** Requests are taken one after the other; so are answers, though each first asks for its header. */
  #requests: Promise<void> = Promise.resolve();
  #answers: Promise<void> = Promise.resolve();

  constructor(backend: Backend, status: StatusMemory, encoder: WatchEncoder, stream: WatchStream) {
    this.#backend = backend;
    this.#status = status;
    this.#encoder = encoder;
    this.#stream = stream;
  }

  start(progressIntervalMs: number): void {
    const timer = setInterval(() => this.#notifyProgress(), progressIntervalMs);
    const close = (): void => {
      clearInterval(timer);
      this.#close();
    };
    this.#stream.on("data", (request: WireWatchRequest) => {
      this.#requests = this.#requests
        .then(() => this.#take(request))
        .catch((error: unknown) => this.#fail(error));
    });
    this.#stream.on("end", () => {
      close();
      void this.#answers.then(() => this.#stream.end());
    });
    this.#stream.on("cancelled", close);
    this.#stream.on("error", close);
  }

  async #take(request: WireWatchRequest): Promise<void> {
    if (this.#ended) return;
    if (request.create_request !== undefined) await this.#create(request.create_request);
    else if (request.cancel_request !== undefined) this.#cancel(request.cancel_request.watch_id);
    else await this.#promiseProgress();
  }

  async #create(request: WireCreate): Promise<void> {
    const revision = await this.#backend.readRevision();
    if (this.#ended) return;
    const key = request.key.length === 0 ? "\0" : toByteString(request.key);
    const end = request.range_end.length === 0 ? undefined : toByteString(request.range_end);
    const refusal = this.#refusal(request.watch_id, key, end);
    if (refusal !== undefined) {
      this.#send(revision, { watch_id: "-1", created: true, canceled: true, cancel_reason: refusal });
      return;
    }
    const id = request.watch_id === "0" ? this.#freeId() : request.watch_id;
    const from = Number(request.start_revision) > 0 ? Number(request.start_revision) : revision + 1;
    this.#send(revision, { watch_id: id, created: true });
    const watching: Watching = {
      watch: { cancel: () => undefined },
      seen: from - 1,
      wantsProgress: request.progress_notify,
      idle: true,
    };
    this.#watches.set(id, watching);
    watching.watch = this.#backend.watch(
      { key, ...(end === undefined ? {} : { end }), fromRevision: from },
      {
        onEvents: (events, seen) => this.#onEvents(id, watching, request, events, seen),
        onEnd: (error) => this.#onEnd(id, watching, error),
      },
    );
  }

  #refusal(id: string, key: string, end: string | undefined): string | undefined {
    if (end !== undefined && end !== "\0" && key >= end) return "mvcc: watcher range is empty";
    if (id !== "0" && this.#watches.has(id)) return "mvcc: duplicate watch ID provided on the WatchStream";
    return undefined;
  }

  #freeId(): string {
    while (this.#watches.has(String(this.#nextId))) this.#nextId++;
    return String(this.#nextId++);
  }

  #cancel(id: string): void {
    const watching = this.#watches.get(id);
    if (watching === undefined) return;
    this.#watches.delete(id);
    watching.watch.cancel();
    this.#send(watching.seen, { watch_id: id, canceled: true });
    this.#tellProgress();
  }

  #onEvents(
    id: string,
    watching: Watching,
    form: EventForm,
    events: readonly WatchEvent[],
    seen: number,
  ): void {
    watching.seen = Math.max(watching.seen, seen);
    const pieces = this.#encoder.encode(events, form);
    for (const [at, encodedEvents] of pieces.entries()) {
      watching.idle = false;
      this.#send(seen, { watch_id: id, fragment: at < pieces.length - 1, encodedEvents });
    }
    this.#tellProgress();
  }

  #onEnd(id: string, watching: Watching, error: Error | undefined): void {
    if (error === undefined || this.#watches.get(id) !== watching) return;
    this.#watches.delete(id);
    if (error instanceof StatusError && error.reason === "Expired") void this.#endCompacted(id, error);
    // A broken feed ends the stream: clients then watch again from the revision after the last that they saw.
    else this.#fail(error);
  }

  async #endCompacted(id: string, error: Error): Promise<void> {
    try {
      const { compactRevision, revision } = await this.#backend.status();
      this.#send(revision, {
        watch_id: id,
        canceled: true,
        compact_revision: String(compactRevision),
        cancel_reason: error.message,
      });
    } catch (failure) {
      this.#fail(failure);
    }
  }

  /** The answer leaves once every watch of this stream has been told everything up to the present revision. */
  async #promiseProgress(): Promise<void> {
    this.#progressAt.push(await this.#backend.readRevision());
    this.#tellProgress();
  }

  #tellProgress(): void {
    if (this.#progressAt.length === 0) return;
    const seen = Math.min(...[...this.#watches.values()].map((each) => each.seen));
    const due = this.#progressAt.filter((revision) => revision <= seen);
    this.#progressAt = this.#progressAt.filter((revision) => revision > seen);
    for (const revision of due) this.#send(revision, { watch_id: "-1" });
  }

  #notifyProgress(): void {
    for (const [id, watching] of this.#watches) {
      if (watching.wantsProgress && watching.idle && watching.seen > 0)
        this.#send(watching.seen, { watch_id: id });
      watching.idle = true;
    }
  }

  #send(revision: number, response: EncodedAnswer & { watch_id: string; [field: string]: unknown }): void {
    const cost = (response.encodedEvents?.length ?? 0) + 64;
    this.#unsentBytes += cost;
    if (this.#unsentBytes > maxUnsentBytes) {
      this.#fail(new StatusError("ServiceUnavailable", "trivet: the client reads its watches too slowly"));
      return;
    }
    this.#answers = this.#answers
      .then(async () => {
        const header = await this.#status.header(revision);
        this.#stream.write({ header, ...response }, () => (this.#unsentBytes -= cost));
      })
      .catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#close();
    this.#stream.emit("error", grpcError(error));
  }

  #close(): void {
    this.#ended = true;
    for (const { watch } of this.#watches.values()) watch.cancel();
    this.#watches.clear();
  }
}
