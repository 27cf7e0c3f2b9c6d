/** A state that becomes the beginning of another history: point in time, skipped revisions, watches. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { DatabaseSync } from "node:sqlite";
import { StatusError } from "#base/errors.ts";
import { renewState, skippedRevisions } from "./renewal.ts";
import { Store } from "./store.ts";
import { openDatabase } from "./tables.ts";

const startMs = 1_700_000_000_000;

/** /a is written at 0 s, 10 s and 20 s, /b is written at 5 s and deleted at 15 s, /c comes at 25 s: revisions 2 to 7. */
function history(): DatabaseSync {
  const database = openDatabase(":memory:");
  const store = new Store(":memory:", { database });
  let index = 0;
  const write = (seconds: number, key: string, value?: string) =>
    store.batch(() =>
      store.apply(++index, 3, {
        type: "transact",
        timeMs: startMs + seconds * 1000,
        transaction: {
          compare: [],
          success: [
            value === undefined ? { type: "delete", key } : { type: "put", key, value: Buffer.from(value) },
          ],
          failure: [],
        },
      }),
    );
  write(0, "/a", "1");
  write(5, "/b", "1");
  write(10, "/a", "2");
  write(15, "/b");
  write(20, "/a", "3");
  write(25, "/c", "1");
  assert.equal(store.revision, 7);
  store.commit();
  return database;
}

function contentOf(database: DatabaseSync): Record<string, string> {
  const { kvs } = new Store(":memory:", { database }).range({ key: "/", end: "0" });
  return Object.fromEntries(kvs.map(({ key, value }) => [key, Buffer.from(value).toString()]));
}

const notes = () => ({ cluster: "new" });

test("the newest state goes on above all revisions that were ever seen", () => {
  const database = history();
  const { content, position } = renewState(database, { notes, term: 9 });
  assert.equal(content, 7);
  assert.equal(position.revision, 7 + skippedRevisions);
  assert.equal(position.term, 9);
  assert.deepEqual(contentOf(database), { "/a": "3", "/c": "1" });
  const store = new Store(":memory:", { database });
  assert.equal(store.note("received"), String(position.index));
  assert.equal(store.note("cluster"), "new");
  // Nobody can take up a watch or a list where the old history ended, wherever that was.
  for (const revision of [3, 7, 8, 5_000_000]) {
    assert.throws(() => store.read({ key: "/a", revision }), /compacted/);
  }
  assert.equal(store.read({ key: "/a", revision: position.revision }).kvs.length, 1);
  for (let step = 0; step < 10; step++) store.compactStep(2);
  assert.equal(store.compactionPending, false);
  assert.deepEqual(contentOf(database), { "/a": "3", "/c": "1" });
  store.batch(() =>
    store.apply(position.index + 1, 9, {
      type: "transact",
      timeMs: startMs,
      transaction: {
        compare: [],
        success: [{ type: "put", key: "/a", value: Buffer.from("4") }],
        failure: [],
      },
    }),
  );
  const found = store.range({ key: "/a" }).kvs[0];
  assert.deepEqual([found?.version, found?.modRevision], [4, position.revision + 1]);
});

test("back to a revision", () => {
  const expected: [number, Record<string, string>][] = [
    [2, { "/a": "1" }],
    [3, { "/a": "1", "/b": "1" }],
    [4, { "/a": "2", "/b": "1" }],
    [5, { "/a": "2" }],
    [6, { "/a": "3" }],
    [7, { "/a": "3", "/c": "1" }],
  ];
  for (const [revision, content] of expected) {
    const database = history();
    const renewed = renewState(database, { at: { revision }, notes });
    assert.deepEqual(contentOf(database), content, `revision ${revision}`);
    assert.equal(renewed.position.revision, revision + skippedRevisions + 7 - revision);
  }
});

test("back to a time, to within a second", () => {
  const expected: [number, number][] = [
    [0, 2],
    [4, 2],
    [5, 3],
    [14.9, 4],
    [15, 5],
    [24, 6],
    [25, 7],
    [1000, 7],
  ];
  for (const [seconds, revision] of expected) {
    const renewed = renewState(history(), { at: { timeMs: startMs + seconds * 1000 }, notes });
    assert.equal(renewed.content, revision, `${seconds} s`);
  }
});

test("what history does not reach is refused, and nothing has changed", () => {
  const database = history();
  const store = new Store(":memory:", { database });
  store.batch(() => store.apply(7, 3, { type: "compact", timeMs: startMs + 30_000, revision: 4 }));
  store.commit();
  const before = JSON.stringify(database.prepare("SELECT * FROM meta").all());
  for (const at of [{ revision: 3 }, { revision: 8 }, { timeMs: startMs + 4000 }, { timeMs: startMs - 1 }]) {
    assert.throws(
      () => renewState(database, { at, notes }),
      (error: unknown) => error instanceof StatusError && /the history does not reach/.test(error.message),
      JSON.stringify(at),
    );
  }
  assert.equal(JSON.stringify(database.prepare("SELECT * FROM meta").all()), before);
  assert.equal(renewState(database, { at: { timeMs: startMs + 10_000 }, notes }).content, 4);
});

test("samples of time are one a second at most and go with the history that they date", () => {
  const database = openDatabase(":memory:");
  const store = new Store(":memory:", { database });
  for (let at = 1; at <= 50; at++) {
    store.batch(() =>
      store.apply(at, 1, {
        type: "transact",
        timeMs: startMs + at * 100,
        transaction: {
          compare: [],
          success: [{ type: "put", key: "/k", value: Buffer.from("") }],
          failure: [],
        },
      }),
    );
  }
  const count = () =>
    (database.prepare("SELECT count(*) AS n FROM meta WHERE name LIKE 'moment/%'").get() as { n: number }).n;
  assert.equal(count(), 5);
  store.batch(() => store.apply(51, 1, { type: "compact", timeMs: startMs, revision: 40 }));
  assert.equal(count(), 2);
});
