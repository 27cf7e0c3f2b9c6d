/** The durable log: what is found again, what may be cut, what must be refused. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FatalError } from "#base/errors.ts";
import type { Entry } from "#raft/types.ts";
import { testLogger } from "../cluster.fixture.ts";
import type { LogWrite } from "./log.ts";
import { ReplicaLog } from "./log.ts";
import { MemoryDisk } from "./memory-disk.fixture.ts";

function entry(index: number, term = 1, size = 100): Entry {
  return { index, term, type: "normal", data: new Uint8Array(size).fill(index % 256) };
}

interface Opened {
  log: ReplicaLog;
  fatal: Error[];
  full: boolean[];
  retries: (() => void)[];
}

function open(disk: MemoryDisk, segmentBytes = 4096): Opened {
  const opened: Omit<Opened, "log"> = { fatal: [], full: [], retries: [] };
  const log = new ReplicaLog({
    disk,
    logger: testLogger("log"),
    segmentBytes,
    onFatal: (error) => opened.fatal.push(error),
    onFull: (full) => opened.full.push(full),
    retryLater: (retry) => opened.retries.push(retry),
  });
  return { log, ...opened };
}

function write(log: ReplicaLog, what: Partial<LogWrite>): Promise<void> {
  return new Promise((resolve) => {
    log.write({ entries: [], ...what, done: resolve });
  });
}

const hard = (term: number, vote = 1, commit = 0) => ({ term, vote, commit });

test("entries, term and vote are found again, over many segments", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk);
  assert.ok(log.isEmpty);
  for (let index = 1; index <= 200; index++) await write(log, { entries: [entry(index)] });
  await write(log, { hardState: hard(7, 3, 150), entries: [entry(201, 7)] });
  disk.powerCut();
  const { log: again } = open(disk);
  assert.deepEqual(again.hardState, hard(7, 3, 150));
  assert.equal(again.lastIndex, 201);
  assert.equal(again.term(201), 7);
  assert.deepEqual(again.entries(1, 202, 1e9), log.entries(1, 202, 1e9));
});

for (const end of ["a kill", "a power cut", "a power cut that spares what was written"] as const) {
  test(`${end} before any operation of the disk, while segments come and go, loses nothing`, async () => {
    for (let operations = 0; ; operations++) {
      const disk = new MemoryDisk();
      const acknowledged = await writeUntilDeath(disk, operations);
      if (acknowledged === undefined) return;
      if (end === "a power cut") disk.powerCut();
      if (end === "a power cut that spares what was written") disk.powerCut("written back");
      const { log: again } = open(disk);
      assert.ok(again.lastIndex >= acknowledged, `${operations}: ${again.lastIndex} of ${acknowledged}`);
      const lastIndex = again.lastIndex + 1;
      await write(again, { entries: [entry(lastIndex)] });
      disk.powerCut();
      assert.equal(open(disk).log.lastIndex, lastIndex, `the ${operations}th`);
    }
  });
}

/** The last entry that was acknowledged when the process died, before one of its disk's operations; undefined: it did not. */
async function writeUntilDeath(disk: MemoryDisk, operations: number): Promise<number | undefined> {
  let left = operations;
  const mortal = (operation: (...args: never[]) => unknown) =>
    function (this: unknown, ...args: never[]) {
      if (left-- <= 0) throw new Error("killed");
      return operation.apply(this, args);
    };
  const right = disk.open.bind(disk);
  const methods = { flushNames: disk.flushNames, rename: disk.rename, remove: disk.remove };
  for (const [name, method] of Object.entries(methods)) Object.assign(disk, { [name]: mortal(method) });
  disk.open = (name) => Object.assign(Object.create(right(name)), { write: mortal(right(name).write) });
  const { log } = open(disk, 1024);
  let acknowledged = 0;
  for (let index = 1; index <= 40 && left >= 0; index++) {
    const compact = { compact: { index: index - 4, term: 1 } };
    log.write({
      entries: [entry(index)],
      ...(index % 5 === 0 ? compact : {}),
      done: () => {
        if (left >= 0) acknowledged = index;
      },
    });
    await new Promise(setImmediate);
  }
  for (const name of [...Object.keys(methods), "open"]) Reflect.deleteProperty(disk, name);
  return left >= 0 ? undefined : acknowledged;
}

test("what was written over is gone", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk);
  await write(log, { entries: [entry(1), entry(2), entry(3)] });
  await write(log, { entries: [entry(2, 2)] });
  disk.powerCut();
  const { log: again } = open(disk);
  assert.equal(again.lastIndex, 2);
  assert.equal(again.term(2), 2);
});

test("one flush is under way, all others wait and share the next", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk, 1 << 20);
  await write(log, { entries: [entry(1)] });
  disk.flushes = 0;
  disk.held = [];
  const order: number[] = [];
  for (let index = 2; index <= 20; index++) {
    log.write({ entries: [entry(index)], done: () => order.push(index) });
  }
  assert.equal(disk.flushes, 1);
  assert.equal(log.lastIndex, 1, "nothing counts before its flush");
  disk.held.shift()?.();
  assert.deepEqual(order, [2]);
  assert.equal(disk.flushes, 2);
  disk.held.shift()?.();
  assert.deepEqual(
    order,
    Array.from({ length: 19 }, (_, at) => at + 2),
  );
  assert.equal(disk.flushes, 2);
});

test("compaction gives segments back and is remembered", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk);
  for (let index = 1; index <= 200; index++) await write(log, { entries: [entry(index)] });
  const before = disk.files.size;
  await write(log, { compact: { index: 150, term: 1 } });
  assert.ok(disk.files.size < before);
  assert.equal(log.firstIndex, 151);
  assert.equal(log.term(150), 1);
  assert.throws(() => log.entries(150, 151, 1), { name: "CompactedError" });
  for (let index = 201; index <= 260; index++) await write(log, { entries: [entry(index)] });
  disk.powerCut();
  const { log: again } = open(disk);
  assert.deepEqual([again.firstIndex, again.lastIndex], [151, 260]);
  assert.deepEqual(again.entries(151, 261, 1e9), log.entries(151, 261, 1e9));
});

test("a log that a snapshot overtook begins behind it", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk);
  await write(log, { entries: [entry(1), entry(2)] });
  await write(log, { reset: { index: 100, term: 3 } });
  await write(log, { entries: [entry(101, 3)] });
  disk.powerCut();
  const { log: again } = open(disk);
  assert.deepEqual([again.firstIndex, again.lastIndex, again.term(100)], [101, 101, 3]);
});

test("an older compaction that shares a flush with a snapshot does not bring the beginning back", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk);
  await write(log, { entries: [entry(1), entry(2), entry(3)] });
  disk.held = [];
  const done = [
    write(log, { entries: [entry(4)] }),
    write(log, { reset: { index: 100, term: 3 } }),
    write(log, { compact: { index: 2, term: 1 } }),
    write(log, { entries: [entry(101, 3)] }),
  ];
  while (log.lastIndex < 101) {
    disk.held.shift()?.();
    await new Promise(setImmediate);
  }
  await Promise.all(done);
  disk.powerCut();
  const { log: again } = open(disk);
  assert.deepEqual([again.firstIndex, again.lastIndex, again.term(100)], [101, 101, 3]);
});

test("a power cut at any byte of the last write loses that write and nothing else", async () => {
  for (let torn = 0; torn < 700; torn += 8) {
    const disk = new MemoryDisk();
    const { log } = open(disk, 8192);
    await write(log, { entries: [entry(1), entry(2)], hardState: hard(1) });
    disk.held = [];
    log.write({
      entries: [entry(3), entry(4), entry(5)],
      hardState: hard(2),
      done: () => assert.fail("not durable"),
    });
    const file = disk.files.get("log-000000000001");
    assert.ok(file !== undefined);
    // Some of the write has reached the disk, as whole words in any order: here, all but a hole.
    const changed = [...file.bytes.keys()].filter((at) => file.bytes[at] !== file.durable[at]);
    const start = changed[0] ?? 0;
    file.durable = Buffer.from(file.bytes);
    file.durable.fill(0, start + torn, start + torn + 64);
    disk.held = undefined;
    disk.powerCut();
    const { log: again } = open(disk, 8192);
    const whole = torn > (changed.at(-1) ?? 0) - start;
    if (!whole && again.lastIndex === 5) continue;
    assert.ok(again.lastIndex === 2 || again.lastIndex === 5, `last index ${again.lastIndex}`);
    assert.equal(again.hardState.term, again.lastIndex === 2 ? 1 : 2);
    await write(again, { entries: [entry(again.lastIndex + 1, 9)] });
    disk.powerCut();
    assert.equal(open(disk, 8192).log.term(again.lastIndex), 9);
  }
});

test("damage before durable records is refused, in whichever segment", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk);
  for (let index = 1; index <= 100; index++) await write(log, { entries: [entry(index)] });
  const names = disk.list().toSorted();
  for (const [name, at] of [
    [names[0], 100],
    [names[0], 3000],
    [names.at(-1), 40],
  ] as const) {
    const damaged = new MemoryDisk();
    for (const [each, file] of disk.files) {
      damaged.files.set(each, { bytes: Buffer.from(file.bytes), durable: Buffer.from(file.bytes) });
    }
    const bytes = damaged.files.get(name ?? "")?.bytes;
    assert.ok(bytes !== undefined);
    bytes[at] = (bytes[at] ?? 0) ^ 0x10;
    assert.throws(
      () => open(damaged),
      (error) => error instanceof FatalError && error.kind === "corrupt",
      `${name} at ${at}`,
    );
  }
});

test("what was cut off is gone for good: it is no damage once the log goes on in another segment", async () => {
  for (const sizes of [[100], [100, 100, 100]]) {
    const disk = new MemoryDisk();
    const { log } = open(disk);
    await write(log, { entries: [entry(1)] });
    const [file] = disk.files.values();
    const end = file?.bytes.findLastIndex((byte) => byte !== 0) ?? 0;
    await write(log, { entries: sizes.map((size, place) => entry(2 + place, 1, size)) });
    // The first sector of the last write did not reach the disk, or its end did not.
    if (sizes.length > 1) file?.bytes.fill(0, end + 8, end + 200);
    else file?.bytes.fill(0, end + 100);
    const { log: again } = open(disk);
    assert.equal(again.lastIndex, 1);
    await write(again, { entries: [entry(2, 2, 4000)] });
    assert.equal(disk.files.size, 2);
    const { log: last } = open(disk);
    assert.equal(last.lastIndex, 2);
    assert.equal(last.term(2), 2);
  }
});

test("records of a file's earlier life are never taken for new ones", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk);
  for (let index = 1; index <= 100; index++) await write(log, { entries: [entry(index)] });
  await write(log, { compact: { index: 100, term: 1 } });
  assert.ok(disk.files.has("spare"), "a file is kept for reuse");
  for (let index = 101; disk.files.has("spare"); index++) await write(log, { entries: [entry(index)] });
  const { log: again } = open(disk);
  assert.deepEqual(again.entries(101, again.lastIndex + 1, 1e9), log.entries(101, log.lastIndex + 1, 1e9));
});

test("a full disk keeps writes waiting, in order, and says so; room lets them through", async () => {
  const disk = new MemoryDisk();
  const opened = open(disk);
  const { log } = opened;
  await write(log, { entries: [entry(1)] });
  disk.full = true;
  const done: number[] = [];
  for (let index = 2; index <= 80; index++)
    log.write({ entries: [entry(index)], done: () => done.push(index) });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(opened.full, [true]);
  const before = done.length;
  assert.ok(before < 79);
  opened.retries.shift()?.();
  assert.equal(done.length, before, "still full");
  disk.full = false;
  opened.retries.shift()?.();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    done,
    Array.from({ length: 79 }, (_, at) => at + 2),
  );
  assert.equal(opened.full.at(-1), false);
  assert.deepEqual(opened.fatal, []);
});

test("a failed flush is the end: nothing is acknowledged after it", async () => {
  const disk = new MemoryDisk();
  const opened = open(disk);
  disk.failFlushes = true;
  opened.log.write({ entries: [entry(1)], done: () => assert.fail("not durable") });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(opened.fatal.length, 1);
  opened.log.write({ entries: [entry(2)], done: () => assert.fail("not durable") });
  await new Promise((resolve) => setImmediate(resolve));
});

test("a new commit index alone costs no flush", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk);
  await write(log, { entries: [entry(1)], hardState: hard(1) });
  disk.flushes = 0;
  await write(log, { hardState: hard(1, 1, 1) });
  assert.equal(disk.flushes, 0);
});

test("that a membership change is committed is flushed once, and found again", async () => {
  const disk = new MemoryDisk();
  const { log } = open(disk);
  const change = (index: number): Entry => ({
    index,
    term: 1,
    type: "confChange",
    data: new Uint8Array(0),
    confChange: { transition: "auto", changes: [], context: new Uint8Array(0) },
  });
  await write(log, { entries: [entry(1), change(2), entry(3), change(4)], hardState: hard(1) });
  disk.flushes = 0;
  const commits = async (...indexes: number[]) => {
    for (const index of indexes) await write(log, { hardState: hard(1, 1, index) });
    return disk.flushes;
  };
  assert.equal(await commits(1), 0);
  assert.equal(await commits(2, 3), 1);
  // Of the second one only a restart with what had been flushed is told.
  disk.powerCut();
  const { log: again } = open(disk);
  assert.equal(again.hardState.commit, 2);
  disk.flushes = 0;
  await write(again, { hardState: hard(1, 1, 4) });
  assert.equal(disk.flushes, 1);
  disk.powerCut();
  assert.equal(open(disk).log.hardState.commit, 4);
  // One that was written over is no change any more.
  const { log: other } = open(disk);
  await write(other, { entries: [change(5)], hardState: hard(2, 1, 4) });
  await write(other, { entries: [entry(5, 3)], hardState: hard(3, 1, 4) });
  disk.flushes = 0;
  await write(other, { hardState: hard(3, 1, 5) });
  assert.equal(disk.flushes, 0);
});
