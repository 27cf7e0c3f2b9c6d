import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeStatus } from "kubernetes-types/core/v1.js";
import { nodeEvents } from "./node-events.ts";

function status(bootID: string, ready: string, disk = "False"): NodeStatus {
  const conditions = [
    { type: "DiskPressure", status: disk },
    { type: "Ready", status: ready },
  ];
  return { nodeInfo: { bootID }, conditions } as NodeStatus;
}

function reasons(before: NodeStatus | undefined, after: NodeStatus): string[] {
  return nodeEvents("a", before, after).map(({ type, reason }) => `${type} ${reason}`);
}

test("a node's events: what has changed since the API was told last", () => {
  assert.deepEqual(reasons(undefined, status("1", "False")), ["Normal NodeHasNoDiskPressure"]);
  assert.deepEqual(reasons(undefined, status("1", "True")), [
    "Normal NodeHasNoDiskPressure",
    "Normal NodeReady",
  ]);
  assert.deepEqual(reasons(status("1", "True"), status("1", "True")), []);
  assert.deepEqual(reasons(status("1", "Unknown"), status("2", "True")), [
    "Warning Rebooted",
    "Normal NodeReady",
  ]);
  assert.deepEqual(reasons(status("1", "True"), status("1", "False", "True")), [
    "Normal NodeHasDiskPressure",
    "Normal NodeNotReady",
  ]);
  assert.equal(
    nodeEvents("a", status("1", "True"), status("2", "True"))[0]?.message,
    "Node a has been rebooted, boot id: 2",
  );
});
