/** A session between a backend and one who may not come to reading, over a link that the test turns. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Backend, WatchEvent } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import { BackendClient } from "./backend-client.ts";
import { BackendServer } from "./backend-server.ts";

const windowBytes = 256 << 10;
const valueBytes = 8 << 10;

/** The client's side gets what was sent to it only when the test says so. */
class SlowSession {
  readonly client: BackendClient;
  readonly server: BackendServer;
  readonly waiting: Uint8Array[] = [];
  /** Messages to the client can't be sent. */
  isFull = false;

  constructor(backend: Backend, acknowledges = true) {
    this.server = new BackendServer(
      backend,
      {
        send: (message) => {
          if (!this.isFull) this.waiting.push(message);
          return !this.isFull;
        },
        later: queueMicrotask,
      },
      windowBytes,
    );
    let sent = 0;
    this.client = new BackendClient(
      {
        send: (message) => {
          // A client of an earlier release does not say what it can: its messages lack those first two parts.
          const first = sent++ === 0 && !acknowledges;
          this.server.receive(first ? Uint8Array.of(1, ...message.subarray(3)) : message);
          return true;
        },
        later: queueMicrotask,
      },
      () => performance.now(),
    );
  }

  get waitingBytes(): number {
    return this.waiting.reduce((sum, { length }) => sum + length, 0);
  }

  /** The client comes to reading, until nothing more comes. */
  async read(): Promise<void> {
    for (;;) {
      await settle();
      const message = this.waiting.shift();
      if (message === undefined) return;
      this.client.receive(message);
    }
  }
}

interface Watched {
  events: WatchEvent[];
  revisions: number[];
  end: Error | undefined;
}

function watch(client: BackendClient, fromRevision?: number): Watched {
  const watched: Watched = { events: [], revisions: [], end: undefined };
  client.watch(
    { key: "/", end: "0", ...(fromRevision === undefined ? {} : { fromRevision }) },
    {
      onEvents(events, revision) {
        watched.events.push(...events);
        watched.revisions.push(revision);
      },
      onEnd: (error) => (watched.end = error),
    },
  );
  return watched;
}

async function write(backend: Backend, count: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    const value = new Uint8Array(valueBytes).fill(at % 256);
    await backend.transact({ compare: [], success: [{ type: "put", key: `/k${at}`, value }], failure: [] });
    await settle();
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

test("a client that does not come to reading costs a window of memory, and misses nothing", async () => {
  const backend = new MemoryBackend();
  const session = new SlowSession(backend);
  const [first, second] = [watch(session.client), watch(session.client, 1)];
  await session.read();
  await write(backend, 500);
  assert.ok(session.waitingBytes <= windowBytes + 4 * valueBytes, `${session.waitingBytes} bytes wait`);
  assert.ok(session.waitingBytes >= windowBytes / 2);
  await session.read();
  for (const watched of [first, second]) {
    assert.equal(watched.end, undefined);
    assert.deepEqual(
      watched.events.map(({ kv }) => kv.modRevision),
      Array.from({ length: 500 }, (_, at) => at + 2),
    );
    assert.deepEqual(
      watched.revisions,
      watched.revisions.toSorted((a, b) => a - b),
    );
  }
  await write(backend, 3);
  await session.read();
  assert.equal(first.events.length, 503, "and it goes on");
});

test("one that reads on is never held up", async () => {
  const backend = new MemoryBackend();
  const session = new SlowSession(backend);
  const watched = watch(session.client);
  for (let round = 0; round < 20; round++) {
    await session.read();
    await write(backend, 20);
    assert.ok(session.waitingBytes > 20 * valueBytes, "all of it is on its way");
  }
  await session.read();
  assert.equal(watched.events.length, 400);
});

test("a watch that stood still for longer than there is history ends, and says why", async () => {
  const backend = new MemoryBackend();
  const session = new SlowSession(backend);
  const watched = watch(session.client);
  await session.read();
  await write(backend, 200);
  await backend.compact(150);
  await session.read();
  assert.ok(watched.end instanceof StatusError && watched.end.reason === "Expired");
  assert.ok(watched.events.length < 200);
  const again = watch(session.client, 151);
  await session.read();
  assert.equal(again.events.at(-1)?.kv.modRevision, 201);
});

test("a watch of a revision that is still to come does not begin earlier for having been held up", async () => {
  const backend = new MemoryBackend();
  const session = new SlowSession(backend);
  const filler = watch(session.client);
  const watched = watch(session.client, 150);
  await session.read();
  await write(backend, 200);
  await session.read();
  assert.equal(filler.events.length, 200);
  assert.deepEqual([watched.events[0]?.kv.modRevision, watched.events.length], [150, 52]);
});

test("answers leave also while watches wait", async () => {
  const backend = new MemoryBackend();
  const session = new SlowSession(backend);
  watch(session.client);
  await session.read();
  await write(backend, 100);
  const before = session.waiting.length;
  void session.client.readRevision();
  await settle();
  await settle();
  assert.equal(session.waiting.length, before + 1);
});

test("a client of an earlier release, which acknowledges nothing, is sent everything", async () => {
  const backend = new MemoryBackend();
  const session = new SlowSession(backend, false);
  const watched = watch(session.client);
  await session.read();
  await write(backend, 100);
  assert.ok(session.waitingBytes > 100 * valueBytes);
  await session.read();
  assert.equal(watched.events.length, 100);
});

test("a message that can't be sent ends the session: its watches are given up", async () => {
  const backend = new MemoryBackend();
  const session = new SlowSession(backend);
  watch(session.client);
  await session.read();
  session.isFull = true;
  await write(backend, 1);
  assert.ok(session.server.closed);
});

test("what many watch alike is sent once, and to one of an earlier release as often as before", async () => {
  for (const knowsMore of [true, false]) {
    const backend = new MemoryBackend();
    const session = new SlowSession(backend, knowsMore);
    const watchers = Array.from({ length: 10 }, (_, at) => watch(session.client, at < 5 ? undefined : 1));
    await session.read();
    await write(backend, 10);
    const copies = session.waitingBytes / (10 * valueBytes);
    assert.ok(knowsMore ? copies < 1.1 : copies > 10, `${copies} copies`);
    await session.read();
    for (const { events, end } of watchers) {
      assert.equal(end, undefined);
      assert.deepEqual(
        events.map(({ kv }) => [kv.key, kv.value[0], kv.modRevision]),
        Array.from({ length: 10 }, (_, at) => [`/k${at}`, at, at + 2]),
      );
    }
  }
});

test("watches that stood still go on together, with one look into history for all of them", async () => {
  const backend = new MemoryBackend();
  const session = new SlowSession(backend);
  const watchers = Array.from({ length: 20 }, () => watch(session.client));
  await session.read();
  await write(backend, 200);
  let readBytes = 0;
  const receive = session.client.receive.bind(session.client);
  session.client.receive = (message) => {
    readBytes += message.length;
    receive(message);
  };
  await session.read();
  assert.ok(readBytes < 3 * 200 * valueBytes, `${readBytes} bytes for ${200 * valueBytes}`);
  for (const { events } of watchers) assert.equal(events.length, 200);
});
