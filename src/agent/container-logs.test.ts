import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { removeLog, rotateLogs } from "./container-logs.ts";
import { AgentPaths } from "./paths.ts";
import { instance, sandbox } from "./plan/pod-fixture.test-support.ts";

test("a large log is turned over, the oldest files go", async () => {
  const dir = await mkdtemp(join(tmpdir(), "rotate-"));
  const paths = new AgentPaths(dir, dir);
  const logs = join(paths.podLogs("shop", "web", "u-1"), "main");
  await mkdir(logs, { recursive: true });
  const reopened: string[] = [];
  const pod = {
    uid: "u-1",
    name: "web",
    namespace: "shop",
    sandboxes: [sandbox()],
    containers: [instance("main")],
  };
  const context = {
    paths,
    cache: { all: () => [pod] },
    runtime: {
      // The runtime makes the file anew.
      async reopenLog(id: string) {
        reopened.push(id);
        await writeFile(join(logs, "0.log"), "");
      },
    },
  };
  const limits = { maximumBytes: 10, maximumFiles: 3 };
  await writeFile(join(logs, "0.log"), "short");
  await rotateLogs(context, 0, limits);
  assert.deepEqual(reopened, []);
  for (let day = 1; day <= 4; day++) {
    await writeFile(join(logs, "0.log"), "long enough to be turned over");
    await rotateLogs(context, Date.UTC(2026, 0, day, 3, 4, 5), limits);
  }
  assert.equal(reopened.length, 4);
  assert.deepEqual((await readdir(logs)).sort(), ["0.log", "0.log.20260103-030405", "0.log.20260104-030405"]);
  await removeLog(join(logs, "0.log"));
  assert.deepEqual(await readdir(logs), []);
  await rm(dir, { recursive: true });
});
