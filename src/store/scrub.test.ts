/** What a walk through the state finds, of what no reader has come upon. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "./store.ts";
import { openDatabase } from "./tables.ts";

const value = Buffer.from("some value that will be damaged");

/** 20 keys with 3 versions each, of which the last is gone. */
function made(): { store: Store; run: (sql: string) => void; told: Error[] } {
  const database = openDatabase(":memory:");
  const store = new Store(":memory:", { database });
  store.batch(() => {
    for (let at = 0; at < 60; at++) {
      const put = { type: "put", key: `/k${at % 20}`, value } as const;
      const transaction = { compare: [], success: [put], failure: [] };
      store.apply(at + 1, 1, { type: "transact", timeMs: 0, transaction });
    }
    const gone = { type: "delete", key: "/k19" } as const;
    const transaction = { compare: [], success: [gone], failure: [] };
    store.apply(61, 1, { type: "transact", timeMs: 0, transaction });
  });
  store.commit();
  const told: Error[] = [];
  store.onDamage = (error) => told.push(error);
  return { store, run: (sql) => database.exec(sql), told };
}

const wide = { rows: 1000, bytes: 1 << 20 };

test("steps are bounded, follow each other, and end", () => {
  const { store } = made();
  const rows: number[] = [];
  let after: number | undefined = 0;
  while (after !== undefined) {
    const step = store.scrub(after, { rows: 7, bytes: 1 << 20 });
    assert.deepEqual(step.damage, []);
    rows.push(step.rows);
    after = step.next;
  }
  assert.deepEqual(rows, [7, 7, 7, 7, 7, 7, 7, 7, 5]);
  assert.equal(store.scrub(0, { rows: 1000, bytes: value.length + 1 }).rows, 2);
  assert.equal(store.scrub(0, { rows: 1000, bytes: 1 }).rows, 1, "at least one");
});

test("what was compacted, in part or as a whole, is no damage", () => {
  const { store } = made();
  store.batch(() => store.apply(62, 1, { type: "compact", timeMs: 0, revision: 62 }));
  while (store.compactionPending) {
    store.compactStep(3);
    assert.deepEqual(store.scrub(0, wide).damage, []);
  }
});

const damages = {
  "a value": "UPDATE history SET value = x'72' || substr(value, 2) WHERE id = 5",
  "the value of a past version": "UPDATE history SET value = x'' WHERE id = 25",
  "the row that stands for a key": "UPDATE current SET id = 1 WHERE key = '/k3'",
  "a key that is missing among those that exist": "DELETE FROM current WHERE key = '/k3'",
  "a key that exists though it was deleted": "INSERT INTO current VALUES ('/k19', 61)",
};

for (const [what, sql] of Object.entries(damages)) {
  test(`${what} is found, once, and without a reader's alarm`, () => {
    const { store, run, told } = made();
    run(sql);
    const { damage, rows } = store.scrub(0, wide);
    assert.equal(rows, 61);
    assert.equal(damage.length, 1, damage.map(({ message }) => message).join("\n"));
    assert.match(damage[0]?.message ?? "", /the datastore's state is damaged/);
    assert.equal(damage[0]?.kind, "corrupt");
    assert.deepEqual(told, []);
  });
}

for (const name of ["history_by_key", "history_by_revision", "current"]) {
  test(`a bit that flips within ${name} is found`, () => {
    const { store } = made();
    const bytes = Buffer.from(store.serialize());
    const database = openDatabase(":memory:");
    database.deserialize(bytes);
    const { page } = database
      .prepare("SELECT rootpage - 1 AS page FROM sqlite_schema WHERE name = ?")
      .get(name) as { page: number };
    const place = page * 4096 + firstFieldOfLeaf(bytes.subarray(page * 4096));
    bytes[place] = (bytes[place] ?? 0) ^ 0x40;
    database.deserialize(bytes);
    assert.ok(new Store(":memory:", { database }).scrub(0, wide).damage.length > 0);
  });
}

/** Where the first field of a page's first cell begins, by SQLite's file format: sizes of payload and head, types, fields. */
function firstFieldOfLeaf(page: Buffer): number {
  assert.equal(page[0], 0x0a, "a leaf of an index");
  const cell = page.readUInt16BE(8);
  return cell + 1 + (page[cell + 1] ?? 0);
}
