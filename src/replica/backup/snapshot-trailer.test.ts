/** A backup that came through "etcdctl snapshot save" is read as what it is; a changed trailer is not. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { verifyBackup, writeBackup } from "./backup-file.ts";

const header = {
  trivet: "1",
  clusterId: "c",
  node: "n",
  timeMs: 1,
  revision: 2,
  compactRevision: 0,
  index: 2,
  term: 1,
  confirmed: true,
  members: [],
  settings: {},
};

async function saved(): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeBackup(header, {}, once(Buffer.alloc(5000, 7)))) pieces.push(piece);
  const backup = Buffer.concat(pieces);
  const padded = Buffer.concat([backup, Buffer.alloc(512 - (backup.length % 512))]);
  return Buffer.concat([padded, createHash("sha256").update(padded).digest()]);
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

test("with zeros and the right checksum behind it", async () => {
  await verifyBackup(once(await saved()));
});

test("anything else behind it is refused", async () => {
  const good = await saved();
  for (const at of [good.length - 1, good.length - 33]) {
    const bad = Buffer.from(good);
    bad[at] = (bad[at] ?? 0) ^ 1;
    await assert.rejects(verifyBackup(once(bad)), /goes on behind its end/);
  }
  await assert.rejects(verifyBackup(once(good.subarray(0, -1))), /goes on behind its end/);
  await assert.rejects(verifyBackup(once(Buffer.concat([good, Buffer.alloc(1)]))), /goes on behind its end/);
});
