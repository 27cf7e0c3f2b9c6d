/** The watch service as a gRPC client sees it, where etcdctl shows too little. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { Backend } from "#base/backend.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import { createAuthority, issue } from "#cluster/certificates.ts";
import { EtcdConnection } from "./client-connection.ts";
import { serveApi } from "./etcd-api.fixture.ts";
import type { ServedApi } from "./etcd-api.fixture.ts";
import { splitEvents } from "./watch-fragments.ts";

interface Answer {
  header: { revision: string };
  watch_id: string;
  created: boolean;
  canceled: boolean;
  compact_revision: string;
  cancel_reason: string;
  fragment: boolean;
  events: { type: string; kv: { key: Buffer; mod_revision: string }; prev_kv: { value: Buffer } | null }[];
}

describe("watch streams", () => {
  const backend: Backend = new MemoryBackend();
  let api: ServedApi;
  let connection: EtcdConnection;
  before(async () => {
    const authority = await createAuthority("test", 1);
    const leaf = await issue(authority, {
      commonName: "etcd",
      hosts: ["127.0.0.1"],
      usages: ["server", "client"],
      validDays: 1,
    });
    const tls = { ca: authority.certificate, cert: leaf.certificate, key: leaf.key };
    api = await serveApi(backend, tls, { progressIntervalMs: 100 });
    connection = new EtcdConnection([`https://127.0.0.1:${api.port}`], tls);
  });
  after(async () => {
    connection.close();
    await api.close();
  });

  class Stream {
    readonly answers: Answer[] = [];
    readonly #stream: ClientDuplexStream<object, unknown> = connection.stream("Watch", "Watch");
    #wake: () => void = () => undefined;

    constructor() {
      this.#stream.on("data", (answer: Answer) => {
        this.answers.push(answer);
        this.#wake();
      });
      this.#stream.on("error", () => undefined);
    }

    send(request: object): void {
      this.#stream.write(request);
    }

    create(request: object): void {
      this.send({ create_request: { key: Buffer.from("a"), ...request } });
    }

    async until(condition: (answers: Answer[]) => boolean): Promise<Answer[]> {
      const deadline = Date.now() + 10_000;
      while (!condition(this.answers)) {
        if (Date.now() > deadline) throw new Error(`only: ${JSON.stringify(this.answers)}`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 1000);
          this.#wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      return this.answers;
    }

    end(): void {
      this.#stream.cancel();
    }
  }

  async function put(key: string, value = "x"): Promise<number> {
    const operation = { type: "put" as const, key, value: Buffer.from(value) };
    return (await backend.transact({ compare: [], success: [operation], failure: [] })).revision;
  }

  test("ids are given from 0 on, or chosen; one that is taken and an empty range are refused", async () => {
    const stream = new Stream();
    for (const request of [{}, { watch_id: 7 }, {}, { watch_id: 7 }, { range_end: Buffer.from("a") }])
      stream.create(request);
    const answers = await stream.until((all) => all.length === 5);
    assert.deepEqual(
      answers.map((each) => [each.watch_id, each.created, each.canceled, each.cancel_reason]),
      [
        ["0", true, false, ""],
        ["7", true, false, ""],
        ["1", true, false, ""],
        ["-1", true, true, "mvcc: duplicate watch ID provided on the WatchStream"],
        ["-1", true, true, "mvcc: watcher range is empty"],
      ],
    );
    stream.send({ cancel_request: { watch_id: 7 } });
    const last = (await stream.until((all) => all.length === 6)).at(-1);
    assert.deepEqual([last?.watch_id, last?.canceled], ["7", true]);
    stream.end();
  });

  test("filters leave out what is not wanted; previous values come when asked for", async () => {
    const stream = new Stream();
    stream.create({ filters: ["NOPUT"], prev_kv: true });
    stream.create({ filters: ["NODELETE"] });
    await stream.until((all) => all.length === 2);
    await put("a", "old");
    await backend.transact({ compare: [], success: [{ type: "delete", key: "a" }], failure: [] });
    const answers = await stream.until((all) => all.length === 4);
    const seen = answers.slice(2).map(({ watch_id: id, events: [event] }) => {
      return `${id} ${event?.type} ${event?.prev_kv?.value.toString() ?? "-"}`;
    });
    assert.deepEqual(seen.toSorted(), ["0 DELETE old", "1 PUT -"]);
    stream.end();
  });

  test("progress: on request once all is told, and now and then where it was asked for", async () => {
    const stream = new Stream();
    stream.create({ progress_notify: true });
    await stream.until((all) => all.length === 1);
    const revision = await put("elsewhere");
    stream.send({ progress_request: {} });
    const answers = await stream.until((all) => all.some((each) => each.watch_id === "-1"));
    assert.equal(answers.find((each) => each.watch_id === "-1")?.header.revision, String(revision));
    await stream.until((all) =>
      all.some((each) => each.watch_id === "0" && !each.created && each.header.revision === String(revision)),
    );
    stream.end();
  });

  test("a compacted start ends the watch and names the revision from which it could begin", async () => {
    await put("a");
    const revision = await put("a");
    await backend.compact(revision);
    const stream = new Stream();
    stream.create({ start_revision: 2 });
    const [created, ended] = await stream.until((all) => all.length === 2);
    assert.equal(created?.created, true);
    assert.deepEqual([ended?.canceled, ended?.compact_revision], [true, String(revision)]);
    stream.end();
  });

  test("a large answer comes in fragments, and as one where they are not wanted", async () => {
    const [pieces, whole] = [new Stream(), new Stream()];
    pieces.create({ range_end: Buffer.from("b"), fragment: true });
    whole.create({ range_end: Buffer.from("b") });
    await pieces.until((all) => all.length === 1);
    await whole.until((all) => all.length === 1);
    const success = Array.from({ length: 5 }, (_, at) => ({
      type: "put" as const,
      key: `a${at}`,
      value: Buffer.alloc(1_000_000),
    }));
    await backend.transact({ compare: [], success, failure: [] });
    const answers = await pieces.until((all) => all.length > 1 && all.at(-1)?.fragment === false);
    assert.deepEqual(
      answers.slice(1).map(({ fragment, events }) => [fragment, events.length]),
      [
        [true, 2],
        [true, 2],
        [false, 1],
      ],
    );
    assert.equal((await whole.until((all) => all.length === 2))[1]?.events.length, 5);
    pieces.end();
    whole.end();
  });
});

test("fragments keep the order and never cut an event", () => {
  const event = (sizeBytes: number) => ({
    type: "put" as const,
    kv: {
      key: "k",
      value: Buffer.alloc(sizeBytes),
      createRevision: 1,
      modRevision: 1,
      version: 1,
      lease: "0",
    },
  });
  const sizes = (pieces: ReturnType<typeof splitEvents>) =>
    pieces.map((piece) => piece.map(({ kv }) => kv.value.length));
  assert.deepEqual(sizes(splitEvents([event(10), event(900), event(10), event(2000), event(1)], 1100)), [
    [10, 900],
    [10],
    [2000],
    [1],
  ]);
});
