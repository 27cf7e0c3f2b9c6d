/** A bit that flips within a row of the state is noticed by whoever reads the row, and never served. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FatalError } from "#base/errors.ts";
import { SnapshotReader, SnapshotWriter } from "./snapshot.ts";
import { Store } from "./store.ts";
import { openDatabase } from "./tables.ts";

const value = Buffer.from("some value that will be damaged");

/** A state with two versions of "/a", and "/b" without damage. */
function made(): { store: Store; run: (sql: string) => void; told: Error[] } {
  const database = openDatabase(":memory:");
  const store = new Store(":memory:", { database });
  store.batch(() => {
    for (const [at, key] of ["/a", "/a", "/b"].entries()) {
      const transaction = { compare: [], success: [{ type: "put", key, value } as const], failure: [] };
      store.apply(at + 1, 1, { type: "transact", timeMs: 0, transaction });
    }
  });
  const told: Error[] = [];
  store.onDamage = (error) => told.push(error);
  return { store, run: (sql) => database.exec(sql), told };
}

const isDamage = (error: unknown) => error instanceof FatalError && error.kind === "corrupt";
const damages = {
  "the value": "value = x'72' || substr(value, 2)",
  "the lease": "lease = '7'",
  "the version": "version = version + 1",
  "the revision of its creation": "create_revision = create_revision + 1",
};

for (const [what, change] of Object.entries(damages)) {
  test(`reads, watches and snapshots notice damage of ${what}`, () => {
    const { store, run, told } = made();
    run(`UPDATE history SET ${change} WHERE key = '/a' AND revision = 3`);
    const reads = [
      () => store.read({ key: "/a" }),
      () => store.read({ key: "/", end: "0" }),
      () => store.read({ key: "/a", revision: 3 }),
      () => store.events({ key: "/a" }, 3, 10),
      () => store.events({ key: "/", end: "0" }, 1, 10),
      () => new SnapshotReader(store).chunk(0, 1000),
    ];
    for (const read of reads) assert.throws(read, isDamage);
    assert.equal(told.length, reads.length);
    assert.equal(store.read({ key: "/b" }).count, 1);
    assert.equal(store.read({ key: "/a", revision: 2 }).count, 1);
  });
}

test("a copy made from a snapshot notices damage of its own", () => {
  const { store } = made();
  const writer = new SnapshotWriter(":memory:");
  writer.add(new SnapshotReader(store).chunk(0, 1000).bytes);
  const copy = new Store(":memory:", { database: writer.database });
  assert.equal(copy.read({ key: "/", end: "0" }).count, 2);
  writer.database.exec("UPDATE history SET value = x'00' WHERE revision = 3");
  assert.throws(() => copy.read({ key: "/a" }), isDamage);
});

test("a state from before there were checksums is opened, and its new rows have them", () => {
  const directory = mkdtempSync(join(tmpdir(), "trivet-checksum-"));
  try {
    const path = join(directory, "state.db");
    const old = openDatabase(path);
    old.exec("ALTER TABLE history DROP COLUMN checksum");
    old.exec("INSERT INTO history VALUES (1, '/old', 2, 2, 1, '0', x'01')");
    old.exec("INSERT INTO current VALUES ('/old', 1)");
    old.close();
    const database = openDatabase(path);
    const store = new Store(path, { database });
    store.batch(() => store.put("/new", value, "0", 3));
    assert.equal(store.range({ key: "/", end: "0" }).count, 2);
    database.exec("UPDATE history SET value = x'00'");
    assert.equal(store.range({ key: "/old" }).count, 1, "nothing is known about it");
    assert.throws(() => store.range({ key: "/new" }), isDamage);
    database.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
