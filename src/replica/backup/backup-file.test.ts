/** The backup format: what was written is read again, and nothing else is. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#base/errors.ts";
import type { BackupHeader, BackupRecord } from "./backup-file.ts";
import { readBackup, verifyBackup, writeBackup } from "./backup-file.ts";

const header: BackupHeader = {
  trivet: "1.2.3",
  clusterId: "c1",
  node: "n1",
  timeMs: 1000,
  revision: 7,
  compactRevision: 2,
  index: 9,
  term: 3,
  confirmed: true,
  members: [],
  settings: { a: 1 },
};
const chunks = [Buffer.alloc(300_000, 1), Buffer.from("two"), Buffer.alloc(0)];

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function written(): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeBackup(header, { key: "secret" }, each(chunks))) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** In pieces of a size that fits nothing. */
function* pieces(bytes: Buffer, sizeBytes = 1013): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += sizeBytes) yield bytes.subarray(at, at + sizeBytes);
}

test("what was written is read again", async () => {
  const found: BackupRecord[] = [];
  for await (const record of readBackup(each(pieces(await written())))) found.push(record);
  const [first, second, ...rest] = found;
  assert.deepEqual(first, { type: "header", header });
  assert.deepEqual(second, { type: "secrets", secrets: { key: "secret" } });
  const end = rest.pop();
  assert.equal(end?.type, "end");
  assert.deepEqual(
    rest.map((record) => (record.type === "chunk" ? record.chunk.length : -1)),
    chunks.map(({ length }) => length),
  );
});

test("cut anywhere: one typed error", async () => {
  const whole = await written();
  const places = [0, 5, 16, 20, 30, 200, 400, 100_000, whole.length - 100, whole.length - 1];
  for (const at of places) await assertRefused(whole.subarray(0, at), /cut off|does not begin/);
});

test("any changed byte: one typed error", async () => {
  const whole = await written();
  for (let at = 0; at < whole.length; at += at < 700 || at > whole.length - 400 ? 1 : 9973) {
    const other = Buffer.from(whole);
    other[at] = (other[at] ?? 0) ^ 0x20;
    await assertRefused(other, /can't be used/);
  }
});

test("records that are whole but not those that were written are refused", async () => {
  const whole = await written();
  await assertRefused(Buffer.concat([whole, Buffer.from("x")]), /goes on behind its end/);
  const start = whole.indexOf("two") - 9;
  const without = Buffer.concat([whole.subarray(0, start), whole.subarray(start + 12)]);
  await assertRefused(without, /changed/);
});

test("foreign and future files say what they are", async () => {
  await assertRefused(Buffer.from("SQLite format 3\0and more"), /does not begin as a backup of Trivet/);
  await assertRefused(Buffer.from("trivet-backup 2\nwhatever"), /later version of Trivet \(format 2/);
});

async function assertRefused(bytes: Buffer, message: RegExp): Promise<void> {
  await assert.rejects(verifyBackup(each(pieces(bytes))), (error: unknown) => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.reason, "BadRequest");
    assert.match(error.message, message);
    return true;
  });
}
