import assert from "node:assert/strict";
import test from "node:test";
import { TestCluster } from "./testing/cluster.ts";

const production = { preVote: true, checkQuorum: true };

test("a read that waits for a voter's answer is answered when that voter is removed", () => {
  const cluster = new TestCluster([1, 2], { config: production });
  const { node } = cluster.elect(1);
  cluster.delivers = ({ type }) => type !== "heartbeat" && type !== "heartbeatResponse";
  node.readIndex("before");
  cluster.settle();
  node.proposeConfChange({
    transition: "auto",
    changes: [{ type: "remove", nodeId: 2 }],
    context: new Uint8Array(0),
  });
  cluster.settle();
  assert.deepEqual(node.status().confState.voters, [1]);
  cluster.tick(1);
  node.readIndex("after");
  cluster.settle();
  assert.deepEqual(
    cluster.get(1).reads.map(({ context }) => context),
    ["before", "after"],
  );
});

test("reads beyond the bound are dropped, and those below it are answered", () => {
  const cluster = new TestCluster([1, 2, 3], { config: production });
  const { node } = cluster.elect(1);
  cluster.delivers = ({ type }) => type !== "heartbeatResponse";
  for (let read = 0; read < 10_050; read++) node.readIndex(`${read}`);
  cluster.settle();
  cluster.delivers = () => true;
  cluster.tick(2);
  assert.equal(cluster.get(1).reads.length, 10_000);
});
