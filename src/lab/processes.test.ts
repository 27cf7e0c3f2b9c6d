import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

import { childrenOf, execute, identify, isAlive, must, signal, waitForExit } from "./processes.ts";

test("a process is known by its pid and start time", async () => {
  const child = spawn("sleep", ["1000"], { stdio: "ignore" });
  await once(child, "spawn");
  const id = identify(child.pid!)!;
  assert.ok(isAlive(id));
  assert.ok(!isAlive({ ...id, startTicks: id.startTicks + 1 }), "another one with the same pid");
  assert.ok(childrenOf(process.pid).some(({ pid }) => pid === child.pid));
  signal(id, "SIGKILL");
  assert.ok(await waitForExit(id, 5_000));
  signal(id, "SIGKILL");
});

test("commands give their words and exit codes", async () => {
  assert.deepEqual(await execute("sh", ["-c", "cat; echo no >&2; exit 3"], { input: "yes" }), {
    code: 3,
    stdout: "yes",
    stderr: "no\n",
  });
  assert.equal((await execute("sleep", ["9"], { timeoutMs: 50 })).code, -1);
  await assert.rejects(must("sh", ["-c", "echo broken >&2; exit 1"]), /broken/);
  assert.equal((await execute("/no/such/program", [])).code, -1);
});
