import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, readlink, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { writeFilesAtomically } from "./atomic-writer.ts";

const filesOf = (files: Record<string, string>) =>
  new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode: 0o640 }]));

test("a change swaps all files at once and leaves nothing of the old", async () => {
  const dir = await mkdtemp(join(tmpdir(), "atomic-"));
  assert.equal(await writeFilesAtomically(dir, filesOf({ a: "1", "deep/b": "2" }), undefined), true);
  assert.equal(await readFile(join(dir, "deep/b"), "utf8"), "2");
  assert.equal((await stat(join(dir, "a"))).mode & 0o777, 0o640);
  const first = await readlink(join(dir, "..data"));
  assert.equal(await writeFilesAtomically(dir, filesOf({ a: "1", "deep/b": "2" }), undefined), false);
  assert.equal(await readlink(join(dir, "..data")), first);
  assert.equal(await writeFilesAtomically(dir, filesOf({ a: "3", c: "4" }), undefined), true);
  assert.equal(await readFile(join(dir, "a"), "utf8"), "3");
  const names = (await readdir(dir)).filter((name) => !name.startsWith("..2"));
  assert.deepEqual(names.sort(), ["..data", "a", "c"]);
  assert.equal((await readdir(dir)).length, 4);
  await rm(dir, { recursive: true });
});
