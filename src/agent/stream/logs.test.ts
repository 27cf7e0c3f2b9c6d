import assert from "node:assert/strict";
import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readLog } from "./logs.ts";
import type { LogRequest } from "./logs.ts";

let dir: string;
let path: string;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "logs-"));
  path = join(dir, "0.log");
});

after(() => rm(dir, { recursive: true }));

const line = (second: number, text: string, flag = "F") =>
  `2026-01-01T00:00:0${second}.000000000Z stdout ${flag} ${text}\n`;

function request(more: Partial<LogRequest> = {}): LogRequest {
  return {
    path,
    follow: false,
    tailLines: undefined,
    limitBytes: undefined,
    timestamps: false,
    sinceMs: undefined,
    running: () => false,
    signal: new AbortController().signal,
    ...more,
  };
}

async function read(more: Partial<LogRequest> = {}): Promise<string> {
  let text = "";
  for await (const chunk of readLog(request(more))) text += chunk.toString();
  return text;
}

test("whole, tail, since, timestamps, limit, parts of lines", async () => {
  await writeFile(path, line(1, "one") + line(2, "tw", "P") + line(2, "o") + line(3, "three"));
  assert.equal(await read(), "one\ntwo\nthree\n");
  assert.equal(await read({ tailLines: 1 }), "three\n");
  assert.equal(await read({ tailLines: 0 }), "");
  assert.equal(await read({ tailLines: 99 }), "one\ntwo\nthree\n");
  assert.equal(await read({ sinceMs: Date.parse("2026-01-01T00:00:03Z") }), "three\n");
  assert.equal(await read({ tailLines: 1, timestamps: true }), "2026-01-01T00:00:03.000000000Z three\n");
  assert.equal(await read({ limitBytes: 5 }), "one\nt");
});

test("following sees new lines, a rotation, and ends with the container", async () => {
  await writeFile(path, line(1, "one"));
  let running = true;
  const seen: string[] = [];
  for await (const chunk of readLog(request({ follow: true, running: () => running }))) {
    seen.push(chunk.toString());
    if (seen.length === 1) await appendFile(path, line(2, "two"));
    if (seen.length === 2) {
      await rename(path, join(dir, "old.log"));
      await writeFile(path, line(3, "three"));
    }
    if (seen.length === 3) {
      await appendFile(path, line(4, "four"));
      running = false;
    }
  }
  assert.deepEqual(seen, ["one\n", "two\n", "three\n", "four\n"]);
});
