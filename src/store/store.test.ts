/** The state machine: determinism, batches that fail, compaction in steps, snapshots, agreement with the memory backend. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import type { Transaction, WatchEvent } from "#base/backend.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { Command } from "./command.ts";
import { decodeCommand, encodeCommand } from "./command.ts";
import { SnapshotReader } from "./snapshot.ts";
import { FileStateDirectory, MemoryStateDirectory } from "./state-directory.ts";
import { Store } from "./store.ts";

const directory = mkdtempSync(join(tmpdir(), "trivet-store-"));
after(() => rmSync(directory, { recursive: true }));

const bytes = (text: string) => new TextEncoder().encode(text);
const putOf = (key: string, text: string): Transaction => ({
  compare: [],
  success: [{ type: "put", key, value: bytes(text) }],
  failure: [],
});

/** Applies transactions as entries that follow the last one. */
function commandOf(transaction: Transaction): Command {
  return { type: "transact", timeMs: 0, transaction };
}

function applyAll(store: Store, transactions: Transaction[]): WatchEvent[] {
  return store.batch(() =>
    transactions.flatMap((transaction) => {
      const command = decodeCommand(encodeCommand({ type: "transact", timeMs: 0, transaction }));
      return store.apply(store.position.index + 1, 1, command).events;
    }),
  );
}

function compactAll(store: Store, revision: number, step = 3): void {
  store.batch(() => store.apply(store.position.index + 1, 1, { type: "compact", timeMs: 0, revision }));
  while (store.compactionPending) store.compactStep(step);
}

const keyArbitrary = fc.constantFrom("a", "b", "b\0", "c/1", "c/2", "d\xff");
const operationArbitrary: fc.Arbitrary<Transaction["success"][number]> = fc.oneof(
  fc.record({
    type: fc.constant("put" as const),
    key: keyArbitrary,
    value: fc.uint8Array({ maxLength: 4 }),
    previous: fc.boolean(),
  }),
  fc.record({
    type: fc.constant("delete" as const),
    key: keyArbitrary,
    end: fc.constantFrom("b", "d", "\0"),
    previous: fc.boolean(),
  }),
  fc.record({ type: fc.constant("delete" as const), key: keyArbitrary }),
  fc.record({
    type: fc.constant("range" as const),
    request: fc.record({ key: keyArbitrary, end: fc.constant("\0"), limit: fc.nat(3) }),
  }),
);
const transactionArbitrary: fc.Arbitrary<Transaction> = fc.record({
  compare: fc.array(
    fc.record({
      key: keyArbitrary,
      target: fc.constantFrom("version" as const, "mod" as const, "create" as const),
      operator: fc.constantFrom("=" as const, "!=" as const, "<" as const, ">" as const),
      number: fc.nat(4),
    }),
    { maxLength: 1 },
  ),
  success: fc.array(operationArbitrary, { maxLength: 2 }),
  failure: fc.array(operationArbitrary, { maxLength: 1 }),
});

test("the store and the memory backend agree on every transaction, event, past range and compaction", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(transactionArbitrary, { maxLength: 12 }),
      fc.nat(12),
      async (list, compactAt) => {
        const store = new Store(":memory:");
        const memory = new MemoryBackend();
        const expected: WatchEvent[] = [];
        memory.watch(
          { key: "\0", end: "\0", fromRevision: 2 },
          { onEvents: (events) => void expected.push(...events), onEnd: () => undefined },
        );
        const seen: WatchEvent[] = [];
        for (const transaction of list) {
          const wanted = await memory.transact(transaction).catch((error: unknown) => error as Error);
          if (wanted instanceof Error) continue;
          const { result, events } = store.batch(() =>
            store.apply(store.position.index + 1, 1, { type: "transact", timeMs: 0, transaction }),
          );
          seen.push(...events);
          assert.deepEqual(normalize(result), normalize(wanted));
        }
        await new Promise((resolve) => setImmediate(resolve));
        assert.deepEqual(normalize(seen), normalize(expected));
        const history = store.events({ key: "\0", end: "\0" }, 2, 1e6).events;
        assert.deepEqual(normalize(history), normalize(expected));
        const compact = Math.min(compactAt, store.revision);
        if (compact > 0) {
          await memory.compact(compact);
          compactAll(store, compact);
        }
        for (let revision = compact; revision <= store.revision; revision++) {
          const request = { key: "\0", end: "\0", revision };
          assert.deepEqual(normalize(store.read(request)), normalize(await memory.range(request)));
        }
        store.close();
      },
    ),
    { numRuns: 150 },
  );
});

test("the checksum depends on what was applied, not on the batches", () => {
  const transactions = Array.from({ length: 20 }, (_, at) => putOf(`k${at % 7}`, String(at)));
  const one = new Store(":memory:");
  applyAll(one, transactions);
  const many = new Store(":memory:");
  for (const transaction of transactions) applyAll(many, [transaction]);
  assert.equal(one.position.checksum, many.position.checksum);
  applyAll(many, [putOf("other", "")]);
  applyAll(one, [putOf("another", "")]);
  assert.notEqual(one.position.checksum, many.position.checksum);
});

test("a batch that fails leaves nothing behind and can be repeated", () => {
  const store = new Store(":memory:");
  applyAll(store, [putOf("a", "1")]);
  const before = { ...store.position };
  assert.throws(
    () =>
      store.batch(() => {
        store.apply(2, 1, { type: "transact", timeMs: 0, transaction: putOf("a", "2") });
        throw new Error("database or disk is full");
      }),
    /full/,
  );
  assert.deepEqual(store.position, before);
  assert.equal(store.read({ key: "a" }).kvs[0]?.modRevision, 2);
  assert.equal(applyAll(store, [putOf("a", "2")])[0]?.kv.modRevision, 3);
});

test("physical compaction removes what is superseded, in small steps, and deleted keys altogether", () => {
  const store = new Store(":memory:");
  for (let round = 0; round < 10; round++) {
    applyAll(
      store,
      Array.from({ length: 5 }, (_, at) => putOf(`k${at}`, `${round}`)),
    );
  }
  applyAll(store, [{ compare: [], success: [{ type: "delete", key: "k0" }], failure: [] }]);
  applyAll(store, [putOf("last", "")]);
  compactAll(store, store.revision);
  const reader = new SnapshotReader(store);
  const left = countRows(reader);
  reader.close();
  assert.equal(left, 5, "four keys of five and the last one");
});

describe("snapshots", () => {
  for (const [name, open] of [
    ["file", (at: string) => new FileStateDirectory(join(directory, at))],
    ["memory", () => new MemoryStateDirectory()],
  ] as const) {
    test(`${name}: notes that are longer than a chunk leave no rows behind`, () => {
      const source = open(`${name}-noted`).open();
      applyAll(source, [putOf("a", "1"), putOf("b", "2")]);
      source.batch(() => source.setNote("members", "long ".repeat(100)));
      const reader = new SnapshotReader(source);
      const target = open(`${name}-noted-target`);
      target.open().close();
      const writer = target.receive();
      let at = 0;
      do {
        const chunk = reader.chunk(at, 100);
        writer.add(chunk.bytes);
        at = chunk.next ?? 0;
      } while (at !== 0);
      assert.equal(target.adopt(writer).read({ key: "\0", end: "\0" }).count, 2);
    });

    test(`${name}: a snapshot holds the state of its moment while writes go on`, () => {
      const source = open(`${name}-source`).open();
      applyAll(
        source,
        Array.from({ length: 300 }, (_, at) => putOf(`k${at % 200}`, `value ${at}`)),
      );
      applyAll(source, [{ compare: [], success: [{ type: "delete", key: "k1", end: "k11" }], failure: [] }]);
      source.batch(() => source.setNote("members", "[]"));
      const expected = source.read({ key: "\0", end: "\0" });
      const reader = new SnapshotReader(source);
      const target = open(`${name}-target`);
      const old = target.open();
      applyAll(old, [putOf("stale", "")]);
      const writer = target.receive();
      let chunks = 0;
      for (let at: number | undefined = 0; at !== undefined; chunks++) {
        const chunk = reader.chunk(at, 1000);
        writer.add(chunk.bytes);
        at = chunk.next;
        applyAll(source, [putOf(`late${chunks}`, "")]);
      }
      assert.ok(chunks > 5);
      old.close();
      const restored = target.adopt(writer);
      assert.deepEqual(normalize(restored.read({ key: "\0", end: "\0" })), normalize(expected));
      assert.deepEqual(restored.position, reader.position);
      assert.equal(restored.note("members"), "[]");
      reader.close();
      restored.close();
      const again = target.open();
      assert.equal(again.revision, expected.revision);
      again.close();
      source.close();
    });
  }

  test("a damaged chunk is refused", () => {
    const source = new Store(":memory:");
    applyAll(source, [putOf("a", "1")]);
    const reader = new SnapshotReader(source);
    const { bytes: chunk } = reader.chunk(0, 1000);
    chunk[chunk.length - 1] = (chunk.at(-1) ?? 0) ^ 1;
    assert.throws(() => new MemoryStateDirectory().receive().add(chunk), /checksum/);
    reader.close();
  });
});

test("a power cut takes the state back to the last flush, kill -9 to the last commit", () => {
  const state = new MemoryStateDirectory();
  const store = state.open();
  applyAll(store, [putOf("a", "1")]);
  assert.equal(store.flush(), 1);
  applyAll(store, [putOf("a", "2")]);
  store.commit();
  applyAll(store, [putOf("a", "3")]);
  assert.equal(store.read({ key: "a" }).kvs[0]?.version, 3, "who reads here sees what is not committed");
  assert.equal(state.open().position.index, 2);
  state.loseUnflushed();
  assert.equal(state.open().position.index, 1);
});

test("a batch that fails takes nothing of the earlier ones along that were not committed", () => {
  const store = new MemoryStateDirectory().open();
  const other = new MemoryStateDirectory().open();
  const commands = [putOf("a", "1"), putOf("b", "2"), putOf("a", "3")];
  applyAll(other, commands);
  applyAll(store, commands.slice(0, 2));
  const before = store.position.checksum;
  assert.throws(() => {
    store.batch(() => {
      store.apply(3, 1, commandOf(putOf("c", "x")));
      throw new Error("no room");
    });
  }, /no room/);
  assert.equal(store.position.checksum, before);
  assert.equal(store.read({ key: "c" }).count, 0);
  store.batch(() => store.apply(3, 1, commandOf(putOf("a", "3"))));
  assert.deepEqual(store.position, other.position);
  assert.deepEqual(store.read({ key: "\0", end: "\0" }), other.read({ key: "\0", end: "\0" }));
  // A copy is one of what was committed; taking it changes nothing.
  assert.equal(new SnapshotReader(store).position.index, 3);
});

test("without room nothing is committed, nothing is lost, and reads go on", () => {
  const state = new MemoryStateDirectory();
  const store = state.open();
  store.flush();
  state.full = true;
  let applied = 0;
  const big = "x".repeat(3000);
  assert.throws(() => {
    for (let at = 1; at < 100; at++) {
      store.batch(() => store.apply(at, 1, commandOf(putOf(`k${at}`, big))));
      applied = at;
    }
  }, /full/);
  assert.equal(store.position.index, applied);
  assert.equal(store.read({ key: "k", end: "l" }).count, applied);
  state.full = false;
  store.batch(() => store.apply(applied + 1, 1, commandOf(putOf("z", big))));
  store.commit();
  assert.equal(state.open().position.index, applied + 1);
});

test("a commit is due after so many entries, and takes notes along", () => {
  const state = new MemoryStateDirectory();
  const store = state.open();
  store.batch(() => {
    store.apply(1, 1, undefined);
    store.setNote("confState", "{}");
  });
  for (let index = 2; index < 500; index++) {
    assert.equal(store.commitDue, false);
    store.batch(() => store.apply(index, 1, commandOf(putOf("b", "1"))));
  }
  assert.equal(store.commitDue, true);
  store.commit();
  assert.equal(store.commitDue, false);
  const again = state.open();
  assert.equal(again.position.index, 499);
  assert.equal(again.note("confState"), "{}");
});

function countRows(reader: SnapshotReader): number {
  const target = new MemoryStateDirectory();
  const writer = target.receive();
  for (let at: number | undefined = 0; at !== undefined;) {
    const chunk = reader.chunk(at, 1000);
    writer.add(chunk.bytes);
    at = chunk.next;
  }
  const row = writer.database.prepare("SELECT count(*) AS count FROM history").get() as { count: number };
  return row.count;
}

/** Without the difference between Buffer and Uint8Array. */
function normalize(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, each: unknown) => (each instanceof Uint8Array ? [...each] : each)),
  ) as unknown;
}

test("a step through the history of large values is short, and ends with a whole revision", () => {
  const store = new MemoryStateDirectory().open();
  const two = (at: number): Transaction => ({
    compare: [],
    success: ["a", "b"].map((key) => ({ type: "put", key: `${key}${at}`, value: new Uint8Array(300_000) })),
    failure: [],
  });
  applyAll(
    store,
    Array.from({ length: 20 }, (_, at) => two(at)),
  );
  const all = { key: "\0", end: "\0" };
  let [next, steps, seen] = [2, 0, 0];
  for (; next <= store.revision; steps++) {
    const { events, upTo } = store.events(all, next, 1000);
    assert.ok(events.length <= 4, `${events.length} events of 300 kB`);
    assert.ok(events.every(({ kv }) => kv.modRevision >= next && kv.modRevision <= upTo));
    seen += events.length;
    next = upTo + 1;
  }
  assert.equal(seen, 40);
  assert.equal(steps, 10);
});
