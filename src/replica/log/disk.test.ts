import assert from "node:assert/strict";
import fs, { mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FileDisk } from "./disk.ts";

const directory = mkdtempSync(join(tmpdir(), "trivet-disk-"));
after(() => rmSync(directory, { recursive: true }));

test("a directory that is made is made for good: its name is flushed, once", (t) => {
  const flushed: string[] = [];
  const { fsyncSync } = fs;
  t.mock.method(fs, "fsyncSync", (descriptor: number) => {
    flushed.push(readlinkSync(`/proc/self/fd/${descriptor}`));
    fsyncSync(descriptor);
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const log = join(directory, "log");
  const disk = new FileDisk(log);
  assert.deepEqual(flushed, [directory]);
  disk.open("a").close();
  disk.flushNames();
  assert.deepEqual(new FileDisk(log).list(), ["a"]);
  assert.deepEqual(flushed, [directory, log]);
});
