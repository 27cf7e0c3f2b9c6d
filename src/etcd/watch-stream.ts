/** One gRPC watch stream of the etcd API: many watches, each with an id, over one `Backend`. */
import type * as grpc from "@grpc/grpc-js";
import type { Backend, Watch } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { header, toByteString, wireEvent } from "./messages.ts";
import type { StatusMemory } from "./status-memory.ts";

interface WireWatchRequest {
  create_request?: {
    key: Buffer;
    range_end: Buffer;
    start_revision: string;
    filters: ("NOPUT" | "NODELETE")[];
    prev_kv: boolean;
    watch_id: string;
  };
  cancel_request?: { watch_id: string };
  progress_request?: object;
}

export type WatchStream = grpc.ServerDuplexStream<WireWatchRequest, unknown>;

export function serveWatchStream(backend: Backend, status: StatusMemory, stream: WatchStream): void {
  const watches = new Map<string, Watch>();
  let nextId = 1;
  const send = async (revision: number, response: object): Promise<void> => {
    stream.write({ header: header(await status.get(), revision), ...response });
  };
  // Answers leave in the order in which they were made, though each first asks for its header.
  let last: Promise<void> = Promise.resolve();
  const enqueue = (revision: number, response: object): void => {
    last = last
      .then(() => send(revision, response))
      .catch((error: unknown) => void stream.destroy(error as Error));
  };

  function create(request: NonNullable<WireWatchRequest["create_request"]>): void {
    const id = request.watch_id === "0" ? String(nextId++) : request.watch_id;
    if (watches.has(id)) {
      enqueue(0, {
        watch_id: "-1",
        created: true,
        canceled: true,
        cancel_reason: "etcdserver: watch ID already exists",
      });
      return;
    }
    const from = Number(request.start_revision);
    const filtered = { put: request.filters.includes("NOPUT"), delete: request.filters.includes("NODELETE") };
    enqueue(0, { watch_id: id, created: true });
    const watch = backend.watch(
      {
        key: toByteString(request.key),
        ...(request.range_end.length === 0 ? {} : { end: toByteString(request.range_end) }),
        ...(from > 0 ? { fromRevision: from } : {}),
      },
      {
        onEvents: (events, revision) => {
          const wanted = events.filter((each) => !filtered[each.type]);
          if (wanted.length > 0)
            enqueue(revision, {
              watch_id: id,
              events: wanted.map((each) => wireEvent(each, request.prev_kv)),
            });
        },
        onEnd: (error) => {
          watches.delete(id);
          if (error === undefined) enqueue(0, { watch_id: id, canceled: true });
          else void endWithError(id, error);
        },
      },
    );
    watches.set(id, watch);
  }

  async function endWithError(id: string, error: Error): Promise<void> {
    const compacted = error instanceof StatusError && error.reason === "Expired";
    const compactRevision = compacted ? (await backend.status()).compactRevision : 0;
    enqueue(0, {
      watch_id: id,
      canceled: true,
      compact_revision: String(compactRevision),
      cancel_reason: compacted ? "etcdserver: mvcc: required revision has been compacted" : error.message,
    });
  }

  stream.on("data", (request: WireWatchRequest) => {
    if (request.create_request !== undefined) create(request.create_request);
    else if (request.cancel_request !== undefined) watches.get(request.cancel_request.watch_id)?.cancel();
    else
      backend.readRevision().then(
        (revision) => enqueue(revision, { watch_id: "-1" }),
        (error: unknown) => void stream.destroy(error as Error),
      );
  });
  const cancelAll = (): void => {
    for (const watch of watches.values()) watch.cancel();
  };
  stream.on("end", () => {
    cancelAll();
    void last.then(() => stream.end());
  });
  stream.on("cancelled", cancelAll);
  stream.on("error", cancelAll);
}
