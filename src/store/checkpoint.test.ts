/**
 * Checkpoints and power cuts. The files are real; what a power cut leaves of them is made up after each flush
 * and each copy: of the sectors that were written since a file's last flush, any may be there or not.
 */

import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { DatabaseSync } from "node:sqlite";
import type { FlushedFile } from "./checkpoint.ts";
import { Checkpointer } from "./checkpoint.ts";
import { SnapshotReader } from "./snapshot.ts";
import { Store } from "./store.ts";
import { openDatabase } from "./tables.ts";

const directory = mkdtempSync(join(tmpdir(), "trivet-checkpoint-"));
after(() => rmSync(directory, { recursive: true }));
const sectorBytes = 512;
const files = ["state.db", "state.db-wal"];

/** A disk of which only what was flushed is certain. */
class UncertainDisk {
  readonly path: string;
  #durable = new Map<string, Buffer>();
  #seed: number;
  flushes = 0;
  beforeFlush: () => void = () => undefined;

  constructor(name: string, seed: number) {
    this.path = join(directory, name);
    mkdirSync(this.path);
    this.#seed = seed;
  }

  open = (path: string): FlushedFile => ({
    get sizeBytes() {
      return existsSync(path) ? readFileSync(path).length : 0;
    },
    flush: async () => {
      const image = readFileSync(path);
      this.beforeFlush();
      // What is written while the flush is under way is not certain after it.
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      this.#durable.set(path, image);
      this.flushes++;
      this.beforeFlush();
    },
    close: () => undefined,
  });

  /** All of it, as after a clean end. */
  settle(): void {
    for (const name of files) {
      const path = join(this.path, name);
      if (existsSync(path)) this.#durable.set(path, readFileSync(path));
    }
  }

  /** A copy of the directory as a power cut may leave it now. */
  afterPowerCut(): string {
    const copy = mkdtempSync(join(directory, "cut-"));
    for (const name of files) {
      const path = join(this.path, name);
      const durable = this.#durable.get(path) ?? Buffer.alloc(0);
      const present = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
      writeFileSync(join(copy, name), this.#left(durable, present));
    }
    return copy;
  }

  #left(durable: Buffer, present: Buffer): Buffer {
    // A file that was emptied and begun anew has new sectors: they never hold what the old ones did.
    const isNew = present.length < durable.length;
    if (isNew && this.#chance()) return durable;
    const before = isNew ? Buffer.alloc(0) : durable;
    // A file system changes the size of a file at once, or not at all.
    const left = Buffer.alloc(this.#chance() ? present.length : before.length);
    for (let at = 0; at < left.length; at += sectorBytes) {
      const end = Math.min(at + sectorBytes, left.length);
      const source = this.#chance() ? before : present;
      if (at < source.length) source.copy(left, at, at, Math.min(end, source.length));
    }
    return left;
  }

  #chance(): boolean {
    this.#seed = (this.#seed * 48_271) % 2_147_483_647;
    return this.#seed % 2 === 0;
  }
}

function putSome(store: Store, count: number): void {
  for (let at = 0; at < count; at++) {
    const { index } = store.position;
    const value = new Uint8Array(300 + (index % 500)).fill(index % 256);
    store.batch(() =>
      store.apply(index + 1, 1, {
        type: "transact",
        timeMs: 0,
        transaction: {
          compare: [],
          success: [{ type: "put", key: `k${(index * 7) % 50}`, value }],
          failure: [],
        },
      }),
    );
    store.commit();
  }
}

/** What the state is at each index: how a copy is known to be whole. */
class Expected {
  readonly #images = new Map<number, string>();

  note(store: Store): void {
    this.#images.set(store.position.index, imageOf(store));
  }

  check(store: Store): void {
    assert.equal(imageOf(store), this.#images.get(store.position.index));
  }
}

function imageOf(store: Store): string {
  const rows = store.read({ key: "\0", end: "\0" }).kvs;
  return JSON.stringify([store.position, rows.map((kv) => [kv.key, kv.modRevision, kv.value.length])]);
}

function checkCopy(path: string, durableIndex: number, expected: Expected): void {
  const raw = new DatabaseSync(join(path, "state.db"));
  const { integrity_check: integrity } = raw.prepare("PRAGMA integrity_check").get() as {
    integrity_check: string;
  };
  raw.close();
  assert.equal(integrity, "ok");
  const store = new Store(join(path, "state.db"));
  assert.ok(store.position.index >= durableIndex, `${store.position.index} of ${durableIndex}`);
  expected.check(store);
  store.close();
  rmSync(path, { recursive: true });
}

for (const seed of [1, 2, 3]) {
  test(`a power cut at any step of a checkpoint leaves a whole state that has what was durable (${seed})`, async () => {
    const disk = new UncertainDisk(`disk${seed}`, seed);
    const path = join(disk.path, "state.db");
    const database = openDatabase(path);
    const store = new Store(path, { database });
    const expected = new Expected();
    const step = (count: number) => {
      putSome(store, count);
      expected.note(store);
    };
    step(1);
    store.flush();
    // SQLite begins the WAL anew with this, and flushes its header by itself.
    step(1);
    disk.settle();
    const limits = { walBytes: 200_000, restBytes: 100_000, maxWalBytes: 1_000_000 };
    const checkpointer = new Checkpointer(path, database, () => undefined, limits, disk.open);
    let durableIndex = store.position.index;
    let held = false;
    let cuts = 0;
    let holds = 0;
    const cut = () => {
      cuts++;
      for (let round = 0; round < 3; round++) checkCopy(disk.afterPowerCut(), durableIndex, expected);
    };
    disk.beforeFlush = () => {
      cut();
      if (!held) step(1);
      cut();
    };
    for (let round = 0; round < 6; round++) {
      for (let at = 0; at < 15; at++) step(1);
      const { index } = store.position;
      await checkpointer.run({
        onDurable: () => (durableIndex = Math.max(durableIndex, index)),
        onHold: (now) => {
          held = now;
          if (now) holds++;
          cut();
        },
      });
      assert.equal(held, false);
      assert.ok(durableIndex >= index);
      cut();
    }
    assert.ok(cuts > 50 && holds >= 4, `${cuts} cuts, ${holds} holds`);
    checkpointer.close();
    store.close();
    database.close();
    checkpointer.release();
  });
}

test("the WAL begins anew, writers go on while the file is flushed, and a reader of an older state delays it only", async () => {
  const path = join(directory, "reader.db");
  const database = openDatabase(path);
  const store = new Store(path, { database });
  const limits = { walBytes: 100_000, restBytes: 1 << 20, maxWalBytes: 10 << 20 };
  const checkpointer = new Checkpointer(path, database, () => undefined, limits);
  putSome(store, 60);
  const reader = new SnapshotReader(store);
  const readAt = reader.position.index;
  putSome(store, 60);
  const writes: number[] = [];
  const round = async () => {
    let held = false;
    const done = checkpointer.run({ onDurable: () => undefined, onHold: (now) => (held = now) });
    if (!held) putSome(store, 1);
    writes.push(store.position.index);
    await done;
  };
  assert.ok(checkpointer.due);
  await round();
  assert.ok(checkpointer.due, "the reader holds the WAL");
  assert.equal(reader.position.index, readAt);
  let rows = 0;
  for (let at: number | undefined = 0; at !== undefined; rows++) at = reader.chunk(at, 1000).next;
  assert.ok(rows > 10, "the old state is still read whole");
  reader.close();
  await round();
  assert.ok(!checkpointer.due, "the WAL is small again");
  copyFileSync(path, `${path}.copy`);
  const copy = new Store(`${path}.copy`);
  assert.ok(copy.position.index >= 121, "the file alone has everything but the last writes");
  copy.close();
  checkpointer.close();
  store.close();
  database.close();
  checkpointer.release();
});
