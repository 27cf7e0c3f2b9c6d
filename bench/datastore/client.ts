/** What the benchmarks ask of a datastore, and a client that asks the replica of its own process. */
import type { Backend } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { prefixEnd } from "#base/key-range.ts";

export interface Client {
  /** Resolves once it is durable on a majority. */
  put(key: string, value: Uint8Array): Promise<void>;
  /** All in one transaction; at most 128, etcd's limit. */
  putAll(keys: string[], value: Uint8Array): Promise<void>;
  /** A linearizable read of one key; rejects when it isn't there. */
  get(key: string): Promise<void>;
  keysBelow(prefix: string): Promise<string[]>;
  /** Values that are put below the prefix from the moment on at which this resolves, in order. Returns how to end it. */
  watch(prefix: string, onValue: (value: Uint8Array) => void): Promise<() => void>;
}

/** Trivet's API server uses its replica like this. */
export function backendClient(backend: Backend): Client {
  return {
    async put(key, value) {
      await backend.transact({ compare: [], success: [{ type: "put", key, value }], failure: [] });
    },
    async putAll(keys, value) {
      const success = keys.map((key) => ({ type: "put" as const, key, value }));
      await backend.transact({ compare: [], success, failure: [] });
    },
    async get(key) {
      if ((await backend.range({ key })).kvs.length !== 1) throw notThere(key);
    },
    async keysBelow(prefix) {
      const { kvs } = await backend.range({ key: prefix, end: prefixEnd(prefix), keysOnly: true });
      return kvs.map(({ key }) => key);
    },
    async watch(prefix, onValue) {
      const fromRevision = (await backend.readRevision()) + 1;
      const watch = backend.watch(
        { key: prefix, end: prefixEnd(prefix), fromRevision },
        {
          onEvents(events) {
            for (const { kv } of events) onValue(kv.value);
          },
          onEnd(error) {
            if (error !== undefined) throw error;
          },
        },
      );
      return () => watch.cancel();
    },
  };
}

export function notThere(key: string): StatusError {
  return new StatusError("NotFound", `${key} is not there`);
}
