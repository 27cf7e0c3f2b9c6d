/** Architecture invariant: blocking the main thread for ten seconds causes no election and no missed heartbeat. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { TestCluster } from "#replica/cluster.fixture.ts";

test("the main thread is blocked for ten seconds: same leader, same term, writes go on", async () => {
  const cluster = await TestCluster.start(3);
  try {
    const before = await cluster.handle(0).status();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
    const started = performance.now();
    await cluster.handle(1).backend.transact({
      compare: [],
      success: [{ type: "put", key: "/after", value: new Uint8Array(1) }],
      failure: [],
    });
    assert.ok(performance.now() - started < 1000);
    const after = await cluster.handle(0).status();
    assert.deepEqual([after.term, after.leaderId], [before.term, before.leaderId]);
  } finally {
    await cluster.close();
  }
});
