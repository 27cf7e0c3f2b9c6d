/**
 * A watch from a revision that is no longer in memory: it reads the etcd's own history up to where the feed can
 * take over. The end of history is a revision at which something below the prefix is known to have changed.
 */
import type { Watch, WatchRequest, WatchSink } from "#base/backend.ts";
import { inKeyRange } from "#base/key-range.ts";
import { compactedError } from "#base/transaction.ts";
import type { EtcdConnection } from "./client-connection.ts";
import { clientError } from "./client-errors.ts";
import type { WireWatchResponse } from "./client-feed.ts";
import { watchRequest } from "./client-feed.ts";
import type { KeySpace, WireEvent } from "./client-messages.ts";

/** `join` takes the watch over behind the given revision, or says that history must be read on, up to another one. */
export function watchPast(
  options: {
    connection: EtcdConnection;
    keys: KeySpace;
    request: WatchRequest & { fromRevision: number };
    upTo: number;
    join(next: number): Watch | { upTo: number };
  },
  sink: WatchSink,
): Watch {
  const { connection, keys, request } = options;
  let { upTo } = options;
  let joined: Watch | undefined;
  let ended = false;
  let partial: WireEvent[] = [];
  const end = (error: Error | undefined): void => {
    if (ended) return;
    ended = true;
    stream.cancel();
    sink.onEnd(error);
  };
  const stream = connection.stream("Watch", "Watch");
  stream.on("error", (error) => {
    if (joined === undefined) end(clientError(error, "read"));
  });
  stream.on("end", () => {
    if (joined === undefined) end(clientError(new Error("the external datastore ended a watch"), "read"));
  });
  stream.on("data", (response: WireWatchResponse) => {
    if (ended || joined !== undefined) return;
    if (response.canceled) {
      end(response.compact_revision === "0" ? new Error(response.cancel_reason) : compactedError());
      return;
    }
    partial.push(...response.events);
    if (response.fragment || partial.length === 0) return;
    const wire = partial;
    partial = [];
    const revision = Number(wire.at(-1)?.kv.mod_revision);
    const events = wire
      .filter(({ kv }) => keys.key(kv.key) !== undefined)
      .map((each) => keys.event(each))
      .filter(({ kv }) => inKeyRange(kv.key, request.key, request.end));
    if (events.length > 0 || revision >= upTo) sink.onEvents(events, revision);
    if (ended || revision < upTo) return;
    const next = options.join(revision + 1);
    if ("upTo" in next) upTo = next.upTo;
    else {
      joined = next;
      stream.cancel();
    }
  });
  stream.write(watchRequest(keys, request.fromRevision));
  return {
    cancel: () => {
      if (joined === undefined) end(undefined);
      else joined.cancel();
    },
  };
}
