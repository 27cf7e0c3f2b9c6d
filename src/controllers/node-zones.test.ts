import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "./kubernetes.ts";
import { disruptionOf, isEverythingLost } from "./node-zones.ts";

function zone(name: string, ready: number, lost: number): Node[] {
  return Array.from({ length: ready + lost }, (_, index) => ({
    metadata: { name: `${name}${index}`, labels: { "topology.kubernetes.io/zone": name } },
    status: { conditions: [{ type: "Ready", status: index < ready ? "True" : "Unknown" }] },
  })) as unknown as Node[];
}

test("how fast a zone's lost nodes are evicted", () => {
  const others = zone("b", 1, 0);
  const pause = (ready: number, lost: number, rest: Node[] = []): number =>
    disruptionOf("/a", [...zone("a", ready, lost), ...rest]).pauseMs;
  assert.equal(pause(1, 1), 10_000, "one of two");
  assert.equal(pause(1, 2), 10_000, "two of three: too few to mean more");
  assert.equal(pause(2, 3), Infinity, "most of a small zone");
  assert.equal(pause(20, 40), 100_000, "most of a large zone");
  assert.equal(pause(0, 3), Infinity, "everything");
  assert.equal(pause(0, 3, others), 10_000, "a whole zone, but not the only one");
});

test("everything is lost only when no zone has a ready node", () => {
  assert.equal(isEverythingLost([...zone("a", 0, 1), ...zone("b", 0, 2)]), true);
  assert.equal(isEverythingLost([...zone("a", 0, 1), ...zone("b", 1, 2)]), false);
  assert.equal(isEverythingLost([]), false);
});
