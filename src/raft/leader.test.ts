import assert from "node:assert/strict";
import test from "node:test";
import { TestCluster } from "./testing/cluster.ts";

test("an acknowledgement of entries that the leader does not have counts for nothing", () => {
  const cluster = new TestCluster([1, 2, 3]);
  const { node } = cluster.elect(1);
  cluster.delivers = () => false;
  node.propose(Buffer.from("x"));
  cluster.settle();
  node.step({ type: "appendResponse", from: 2, to: 1, term: 1, index: 1000 });
  cluster.settle();
  assert.equal(node.raft.log.committed, 1, "no follower can have it");
  assert.equal(node.status().progress.get(2)?.match, 1);
  cluster.delivers = () => true;
  cluster.tick(1);
  assert.equal(node.raft.log.committed, 2, "and the follower is still sent to");
});

test("an empty proposal from a peer is dropped", () => {
  const cluster = new TestCluster([1, 2, 3]);
  const { node } = cluster.elect(1);
  node.step({ type: "propose", from: 2, to: 1 });
  cluster.settle();
  assert.equal(node.raft.log.lastIndex(), 1);
});

test("a transfer to a learner, to a stranger or to itself changes nothing", () => {
  const cluster = new TestCluster([1, 2], { learners: [3] });
  const { node } = cluster.elect(1);
  for (const target of [3, 9, 1]) {
    node.transferLeadership(target);
    assert.equal(node.status().leadTransferee, 0);
    node.propose(Buffer.from("x"));
  }
  cluster.settle();
  assert.equal(node.raft.log.committed, 4);
});

test("a second transfer replaces the first", () => {
  const cluster = new TestCluster([1, 2, 3]);
  const { node } = cluster.elect(1);
  cluster.delivers = ({ type }) => type !== "timeoutNow";
  node.transferLeadership(2);
  node.transferLeadership(3);
  assert.equal(node.status().leadTransferee, 3);
  cluster.delivers = () => true;
  cluster.settle();
  assert.equal(cluster.leaders().length, 1);
});
