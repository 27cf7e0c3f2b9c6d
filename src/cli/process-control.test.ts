/** A node in the background without systemd: a small program in the place of the node, the real supervisor. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { NodeProcess, Restarts } from "./process-control.ts";
import { findNode, findSupervisor, isStarted, readRestarts, startNode, stopNode } from "./process-control.ts";
import { restartsSeen, silenceReason } from "./restarts.ts";

/** Does what a node does for its supervisor: leaves its process id, and ends with 0 when it is asked to. */
const lasting = `#!/bin/sh
read -r stat < /proc/$$/stat
set -- \${stat##*) }
shift 19
echo "{\\"pid\\":$$,\\"startTicks\\":\\"$1\\"}" > "$TRIVET_TEST_DATA/trivet.pid"
trap 'exit 0' TERM
while :; do sleep 0.1; done
`;
const failing = `#!/bin/sh
echo "trivet: the disk has vanished"
exit 7
`;

test("a node that is killed is started again within seconds, and stop stops it", async (t) => {
  const { dataDir, launcher } = background(t, lasting);
  assert.equal(startNode(dataDir, launcher), "started");
  const first = await until("the node", () => findNode(dataDir));
  assert.equal(startNode(dataDir, launcher), "running");
  process.kill(first.pid, "SIGKILL");
  const second = await until("the node again", () => {
    const found = findNode(dataDir);
    return found?.pid === first.pid ? undefined : found;
  });
  assert.deepEqual(pick(readRestarts(dataDir)), { ends: 1, code: 137, pauseSeconds: 1 });
  assert.equal(restartsSeen(dataDir)?.count, 1);
  const supervisor = findSupervisor(dataDir);
  assert.ok(supervisor !== undefined);
  assert.ok(ownMemoryKiB(supervisor) < 1024, `${ownMemoryKiB(supervisor)} KiB for the supervisor`);
  assert.equal(await stopNode(dataDir, 5_000), "stopped");
  assert.equal(isStarted(dataDir), false);
  assert.throws(() => process.kill(second.pid, 0), { code: "ESRCH" });
  assert.equal(readRestarts(dataDir), undefined);
  assert.equal(await stopNode(dataDir, 5_000), "not running");
});

test("a node that ends again and again is started more and more seldom, and can be stopped meanwhile", async (t) => {
  const { dataDir, launcher } = background(t, failing);
  startNode(dataDir, launcher);
  await until("the second end", () => readRestarts(dataDir)?.ends === 2 || undefined);
  assert.deepEqual(pick(readRestarts(dataDir)), { ends: 2, code: 7, pauseSeconds: 2 });
  assert.match(
    silenceReason(dataDir),
    /2 times in a row, exit code 7\) and is started again 2 s after that.*the disk has vanished/,
  );
  assert.equal(await stopNode(dataDir, 1_000), "stopped");
  assert.equal(isStarted(dataDir), false);
  assert.equal(silenceReason(dataDir), "the node is not running");
});

test("a node that was asked to end itself is not started again", async (t) => {
  const { dataDir, launcher } = background(t, lasting);
  startNode(dataDir, launcher);
  const node = await until("the node", () => findNode(dataDir));
  process.kill(node.pid, "SIGTERM");
  await until("the supervisor's end", () => (findSupervisor(dataDir) === undefined ? true : undefined));
  assert.equal(readRestarts(dataDir), undefined);
});

function background(t: TestContext, program: string): { dataDir: string; launcher: string } {
  const dataDir = mkdtempSync(join(tmpdir(), "trivet-process-"));
  const launcher = join(dataDir, "launcher");
  writeFileSync(launcher, program);
  chmodSync(launcher, 0o700);
  process.env["TRIVET_TEST_DATA"] = dataDir;
  t.after(async () => {
    await stopNode(dataDir, 1_000);
    rmSync(dataDir, { recursive: true });
  });
  return { dataDir, launcher };
}

function pick(restarts: Restarts | undefined): Omit<Restarts, "atSeconds"> | undefined {
  if (restarts === undefined) return undefined;
  const { ends, code, pauseSeconds } = restarts;
  return { ends, code, pauseSeconds };
}

/** Of no other process: what the machine would have back without it. */
function ownMemoryKiB({ pid }: NodeProcess): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const fields = [...rollup.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm)];
  assert.equal(fields.length, 2);
  return fields.reduce((sum, [, size]) => sum + Number(size), 0);
}

async function until<T>(what: string, look: () => T | undefined): Promise<T> {
  const deadlineMs = Date.now() + 10_000;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (Date.now() > deadlineMs) throw new Error(`waited in vain for ${what}`);
    await delay(20);
  }
}
