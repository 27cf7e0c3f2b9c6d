import assert from "node:assert/strict";
import test from "node:test";
import { TestCluster } from "./testing/cluster.ts";
import type { ConfChange, Entry } from "./types.ts";

const addLearner = (nodeId: number): ConfChange => ({
  transition: "auto",
  changes: [{ type: "addLearner", nodeId }],
  context: new Uint8Array(0),
});

const proposed = (confChange: ConfChange): Entry => ({
  index: 0,
  term: 0,
  type: "confChange",
  data: new Uint8Array(0),
  confChange,
});

test("of two changes in one forwarded message only the first enters the log", () => {
  const cluster = new TestCluster([1, 2, 3]);
  const { node } = cluster.elect(1);
  const entries = [proposed(addLearner(4)), proposed(addLearner(5))];
  node.step({ type: "propose", from: 2, to: 1, entries });
  assert.deepEqual(
    node.raft.log.slice(2, 4, Infinity).map(({ type }) => type),
    ["confChange", "normal"],
  );
  cluster.settle();
  assert.deepEqual(node.status().confState.learners, [4]);
});

test("a change that did not fit into the log holds up no later change", () => {
  const cluster = new TestCluster([1, 2, 3], { config: { maxUncommittedBytes: 20 } });
  const { node } = cluster.elect(1);
  cluster.delivers = () => false;
  node.propose(Buffer.alloc(20));
  assert.throws(() => node.proposeConfChange(addLearner(4)), /too much uncommitted/);
  cluster.delivers = () => true;
  cluster.tick(1);
  node.proposeConfChange(addLearner(4));
  cluster.settle();
  assert.deepEqual(node.status().confState.learners, [4]);
});

test("a leader that was removed and does not step down takes no proposals, but commits what it has", () => {
  const cluster = new TestCluster([1, 2, 3]);
  const { node } = cluster.elect(1);
  node.proposeConfChange({ ...addLearner(0), changes: [{ type: "remove", nodeId: 1 }] });
  cluster.settle();
  assert.equal(node.raft.role, "leader");
  assert.throws(() => node.propose(Buffer.from("x")), /has been removed/);
  assert.deepEqual(cluster.get(2).node.status().confState.voters, [2, 3]);
});
