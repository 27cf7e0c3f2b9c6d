import assert from "node:assert/strict";
import { test } from "node:test";
import { EntrySlabs } from "./entry-slabs.ts";

test("small entries share memory, and each keeps what it was", () => {
  const slabs = new EntrySlabs();
  const given = Array.from({ length: 1000 }, (_, at) => new Uint8Array(1 + ((at * 7) % 2000)).fill(at));
  const kept = given.map((bytes) => slabs.keep(bytes));
  for (const bytes of given) bytes.fill(0);
  kept.forEach((bytes, at) => assert.deepEqual(bytes, new Uint8Array(1 + ((at * 7) % 2000)).fill(at)));
  assert.ok(new Set(kept.map(({ buffer }) => buffer)).size < 10);
});

test("a large entry has memory of its own, of just its size", () => {
  const slabs = new EntrySlabs();
  slabs.keep(new Uint8Array(10));
  const large = slabs.keep(new Uint8Array(100 << 10).fill(5));
  assert.deepEqual(large, new Uint8Array(100 << 10).fill(5));
  assert.equal(large.buffer.byteLength, large.length);
  assert.equal(slabs.keep(new Uint8Array(0)).length, 0);
});
