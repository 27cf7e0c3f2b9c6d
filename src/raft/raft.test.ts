import assert from "node:assert/strict";
import test from "node:test";
import { RawNode } from "./raw-node.ts";
import { TestCluster } from "./testing/cluster.ts";
import { emptyConfState, MemoryStorage } from "./testing/memory-storage.ts";
import { testConfig } from "./testing/test-config.ts";
import { localAppendThread, localApplyThread, ProposalDroppedError } from "./types.ts";
import type { ConfChange, Message } from "./types.ts";

const production = { preVote: true, checkQuorum: true };

test("a single voter flushes before it acknowledges", () => {
  const cluster = new TestCluster([1]);
  const leader = cluster.elect(1);
  const before = leader.applied.length;
  leader.holdsAppends = true;
  leader.node.propose(Buffer.from("x"));
  cluster.settle();
  assert.equal(leader.pendingAppends.length, 1);
  assert.equal(leader.applied.length, before, "nothing is applied, so nothing is acknowledged");
  leader.holdsAppends = false;
  cluster.settle();
  assert.equal(text(leader.applied.at(-1)?.data), "x");
});

test("a leader counts its own log only after its own flush", () => {
  const cluster = new TestCluster([1, 2, 3]);
  const leader = cluster.elect(1);
  const committed = leader.node.raft.log.committed;
  leader.holdsAppends = true;
  cluster.delivers = (message) => message.to !== 3 && message.from !== 3;
  leader.node.propose(Buffer.from("x"));
  cluster.settle();
  assert.equal(
    leader.node.raft.log.committed,
    committed,
    "one follower and an unflushed leader are no majority",
  );
  leader.holdsAppends = false;
  cluster.settle();
  assert.equal(leader.node.raft.log.committed, committed + 1);
});

test("two followers commit without the leader's disk", () => {
  const cluster = new TestCluster([1, 2, 3]);
  const leader = cluster.elect(1);
  const committed = leader.node.raft.log.committed;
  leader.holdsAppends = true;
  leader.node.propose(Buffer.from("x"));
  cluster.settle();
  assert.equal(leader.node.raft.log.committed, committed + 1);
  assert.notEqual(text(leader.applied.at(-1)?.data), "x", "but it applies only what its own disk has");
  assert.equal(text(cluster.get(2).applied.at(-1)?.data), "x");
});

test("entries of older terms are committed only together with one of the own term", () => {
  // The Raft paper's figure 8.
  const cluster = new TestCluster([1, 2, 3, 4, 5]);
  cluster.elect(1);
  const start = cluster.get(1).node.raft.log.committed;
  isolateExcept(cluster, [1, 2]);
  cluster.get(1).node.propose(Buffer.from("old"));
  cluster.settle();
  cluster.delivers = () => false;
  cluster.get(5).node.campaign();
  cluster.settle();
  // 1 leads again, and replicates the old entry (but not yet its own) to a majority.
  cluster.delivers = (message) => !(message.entries ?? []).some((entry) => entry.data.length === 0);
  cluster.get(1).node.step({ type: "appendResponse", from: 5, to: 1, term: 2 });
  cluster.get(1).node.campaign();
  cluster.settle();
  const leader = cluster.get(1).node.raft;
  assert.equal(leader.role, "leader");
  for (const id of [3, 4]) {
    leader.step({ type: "appendResponse", from: id, to: 1, term: leader.term, index: start + 1 });
  }
  assert.equal(leader.log.committed, start, "on a majority, and yet not committed");
  for (const id of [3, 4]) {
    leader.step({ type: "appendResponse", from: id, to: 1, term: leader.term, index: start + 2 });
  }
  cluster.settle();
  assert.equal(leader.log.committed, start + 2);
});

test("a new leader changes no membership before it has committed what it took over", () => {
  const cluster = new TestCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.delivers = (message) => message.type !== "append";
  cluster.get(1).node.propose(Buffer.from("tail"));
  cluster.settle();
  cluster.delivers = (message) => message.type !== "append" && message.type !== "appendResponse";
  cluster.get(1).node.step({ type: "appendResponse", from: 2, to: 1, term: 5 });
  cluster.get(1).node.campaign();
  cluster.settle();
  const leader = cluster.get(1);
  assert.equal(leader.node.raft.role, "leader");
  const add: ConfChange = change("addVoter", 4);
  assert.throws(() => leader.node.proposeConfChange(add), {
    name: "ProposalDroppedError",
    message: /possible unapplied conf change/,
  });
  cluster.delivers = () => true;
  cluster.tick(2);
  leader.node.proposeConfChange(add);
  cluster.settle();
  assert.deepEqual(leader.node.status().confState.voters, [1, 2, 3, 4]);
});

test("one membership change at a time, and none that can't be applied", () => {
  const cluster = new TestCluster([1, 2, 3]);
  const { node } = cluster.elect(1);
  assert.throws(() => node.proposeConfChange(change("explicit")), /not in joint state/);
  const all: ConfChange = { ...change("remove", 1), transition: "explicit" };
  all.changes.push({ type: "remove", nodeId: 2 }, { type: "remove", nodeId: 3 });
  assert.throws(() => node.proposeConfChange(all), /removed all voters/);
  node.proposeConfChange(change("addLearner", 4));
  assert.throws(() => node.proposeConfChange(change("addLearner", 5)), /possible unapplied/);
  cluster.settle();
  node.proposeConfChange({ ...change("addVoter", 4), transition: "explicit" });
  cluster.settle();
  assert.throws(() => node.proposeConfChange(change("addLearner", 5)), /must transition out of joint/);
  node.proposeConfChange(change("explicit"));
  cluster.settle();
  assert.deepEqual(node.status().confState.voters, [1, 2, 3, 4]);
});

test("a learner grants votes when asked", () => {
  const cluster = new TestCluster([1, 2], { learners: [3] });
  const learner = cluster.get(3).node;
  learner.step({ type: "vote", from: 2, to: 3, term: 5, index: 9, logTerm: 4 });
  cluster.settle();
  const answer = cluster.sent.find((message) => message.type === "voteResponse" && message.from === 3);
  assert.equal(answer?.reject ?? false, false);
  assert.equal(cluster.get(3).storage.hardState.vote, 2, "and the vote is durable");
  learner.campaign();
  assert.equal(learner.raft.role, "follower", "but it does not campaign");
});

test("a vote is sent only once it is durable", () => {
  const cluster = new TestCluster([1, 2, 3]);
  cluster.get(2).holdsAppends = true;
  cluster.get(2).node.step({ type: "vote", from: 1, to: 2, term: 1, index: 0, logTerm: 0 });
  cluster.settle();
  assert.equal(cluster.sent.length, 0);
  cluster.get(2).holdsAppends = false;
  cluster.settle();
  assert.equal(cluster.sent[0]?.type, "voteResponse");
});

test("a transfer's target votes for itself, durably, before it counts that vote", () => {
  const cluster = new TestCluster([1, 2]);
  cluster.elect(1);
  cluster.get(2).holdsAppends = true;
  cluster.get(1).node.transferLeadership(2);
  cluster.settle();
  assert.equal(cluster.get(2).node.raft.role, "candidate", "with the old leader's vote, but not its own");
  cluster.get(2).holdsAppends = false;
  cluster.settle();
  assert.deepEqual(cluster.leaders(), [2]);
  assert.deepEqual([cluster.get(2).storage.hardState.term, cluster.get(2).storage.hardState.vote], [2, 2]);
});

test("leadership is transferred while the old leader is heard, and proposals wait", () => {
  const cluster = new TestCluster([1, 2, 3], { config: production });
  const leader = cluster.elect(1);
  cluster.delivers = (message) => message.type !== "timeoutNow";
  leader.node.transferLeadership(3);
  cluster.settle();
  assert.throws(() => leader.node.propose(Buffer.from("x")), ProposalDroppedError);
  cluster.tick(10);
  leader.node.propose(Buffer.from("given up, so it goes on"));
  cluster.delivers = () => true;
  cluster.settle();
  leader.node.transferLeadership(3);
  cluster.settle();
  assert.deepEqual(cluster.leaders(), [3]);
});

test("an answer to an old heartbeat confirms no new read, even if the id is used twice", () => {
  const cluster = new TestCluster([1, 2, 3], { config: production });
  const leader = cluster.elect(1);
  leader.node.readIndex("same");
  cluster.settle();
  assert.equal(leader.reads.length, 1);
  const late = cluster.sent.filter((message) => message.type === "heartbeatResponse");
  assert.ok(late.length > 0);
  cluster.delivers = () => false;
  leader.node.readIndex("same");
  cluster.settle();
  for (const message of late) leader.node.step(message);
  cluster.settle();
  assert.equal(leader.reads.length, 1);
});

test("reads that come during a round share the next one", () => {
  const cluster = new TestCluster([1, 2, 3], { config: production });
  const leader = cluster.elect(1);
  const held: Message[] = [];
  cluster.delivers = (message) => message.type !== "heartbeatResponse" || held.push(message) === 0;
  for (let read = 0; read < 100; read++) leader.node.readIndex(`read ${read}`);
  cluster.settle();
  cluster.delivers = () => true;
  for (const message of held) leader.node.step(message);
  cluster.settle();
  assert.equal(leader.reads.length, 100);
  const heartbeats = cluster.sent.filter((message) => message.type === "heartbeat");
  assert.equal(heartbeats.length, 4, "two rounds to two followers");
});

test("a read on a follower is answered by the leader, and waits for the leader's first commit", () => {
  const cluster = new TestCluster([1, 2, 3]);
  cluster.delivers = (message) => message.type !== "append";
  cluster.get(1).node.campaign();
  cluster.settle();
  cluster.get(2).node.raft.leader = 1;
  cluster.get(2).node.readIndex("early");
  cluster.settle();
  assert.deepEqual(cluster.get(2).reads, []);
  cluster.delivers = () => true;
  cluster.tick(2);
  assert.deepEqual(cluster.get(2).reads, [{ index: 1, context: "early" }]);
});

test("one broken link among three members causes no elections", () => {
  for (const cut of [
    (message: Message) => [1, 2].includes(message.from) && [1, 2].includes(message.to),
    (message: Message) => message.from === 1 && message.to === 2,
    (message: Message) => message.from === 2 && message.to === 1,
  ]) {
    const cluster = new TestCluster([1, 2, 3], { config: production });
    cluster.elect(1);
    cluster.delivers = (message) => !cut(message);
    cluster.tick(300);
    const terms = [...cluster.members.values()].map(({ node }) => node.raft.term);
    assert.deepEqual(terms, [1, 1, 1]);
    assert.deepEqual(cluster.leaders(), [1]);
  }
});

test("a leader that hears nobody steps down, and another is elected once", () => {
  const cluster = new TestCluster([1, 2, 3], { config: production });
  cluster.elect(1);
  // It can be heard, which alone would keep the others quiet forever.
  cluster.delivers = (message) => message.to !== 1;
  cluster.tick(300);
  assert.equal(cluster.leaders().length, 1);
  assert.notEqual(cluster.leaders()[0], 1);
  assert.equal(cluster.get(2).node.raft.term, 2);
});

test("a leader that stepped down is elected again by those who have just heard it", () => {
  const cluster = new TestCluster([1, 2, 3], { config: production });
  const { node } = cluster.elect(1);
  const { term } = node.raft;
  // As when its machine stood still for a while: it counts nobody as active, and asks for votes at once.
  node.raft.becomeFollower(term, 0);
  assert.equal(cluster.get(2).node.raft.leader, 1);
  node.campaign();
  cluster.settle();
  assert.equal(node.raft.role, "leader");
  assert.equal(node.raft.term, term + 1);
});

test("a member that was cut off disturbs nobody when it returns", () => {
  const cluster = new TestCluster([1, 2, 3], { config: production });
  cluster.elect(1);
  isolateExcept(cluster, [1, 2]);
  cluster.tick(200);
  assert.equal(cluster.get(3).node.raft.term, 1, "pre-votes do not raise the term");
  cluster.delivers = () => true;
  cluster.tick(50);
  assert.deepEqual(cluster.leaders(), [1]);
  assert.equal(cluster.get(1).node.raft.term, 1);
});

test("windows of messages and bytes bound what is in flight", () => {
  for (const limit of [{ maxInflightMessages: 3 }, { maxInflightBytes: 30 }]) {
    const cluster = new TestCluster([1, 2], { config: { ...limit, maxSizePerMessageBytes: 1 } });
    const { node } = cluster.elect(1);
    cluster.delivers = (message) => message.type !== "appendResponse";
    const before = cluster.sent.length;
    for (let entry = 0; entry < 10; entry++) node.propose(Buffer.alloc(10));
    cluster.settle();
    assert.equal(cluster.sent.slice(before).filter(({ entries = [] }) => entries.length > 0).length, 3);
    assert.equal(node.status().progress.get(2)?.paused, true);
    cluster.delivers = () => true;
    cluster.tick(2);
    assert.equal(node.status().progress.get(2)?.match, node.raft.log.lastIndex());
  }
});

test("too much uncommitted data is refused, and taken again when it is applied", () => {
  const cluster = new TestCluster([1, 2], { config: { maxUncommittedBytes: 25 } });
  const { node } = cluster.elect(1);
  cluster.delivers = () => false;
  node.propose(Buffer.alloc(100));
  cluster.settle();
  assert.throws(() => node.propose(Buffer.alloc(1)), /too much uncommitted/);
  node.propose(Buffer.alloc(0));
  cluster.delivers = () => true;
  cluster.tick(2);
  assert.equal(node.raft.uncommittedBytes, 0);
  node.propose(Buffer.alloc(1));
});

test("a late report of the disk is not taken for entries that replaced the written ones", () => {
  const storage = new MemoryStorage();
  storage.confState = { ...emptyConfState, voters: [1, 2, 3] };
  const node = new RawNode(testConfig(1, storage, { asyncStorageWrites: true }));
  const appendOf = (term: number, from: number): Message => {
    const entry = { index: 1, term, type: "normal" as const, data: Buffer.from(`${term}`) };
    node.step({ type: "append", from, to: 1, term, index: 0, logTerm: 0, entries: [entry], commit: 0 });
    const work = node.ready().messages.find((message) => message.to === localAppendThread);
    assert.ok(work !== undefined);
    return work;
  };
  const first = appendOf(1, 2);
  const second = appendOf(2, 3);
  for (const response of first.responses ?? []) if (response.to === 1) node.step(response);
  assert.equal(node.raft.log.unstable.entries.length, 1, "the second write is not reported yet");
  for (const response of second.responses ?? []) if (response.to === 1) node.step(response);
  assert.equal(node.raft.log.unstable.entries.length, 0);
});

test("the application is given no more than it can take, and only what is durable here", () => {
  const cluster = new TestCluster([1], { config: { maxCommittedSizePerReadyBytes: 1 } });
  const { node } = cluster.elect(1);
  for (let entry = 0; entry < 3; entry++) node.propose(Buffer.from("x"));
  const applies: number[] = [];
  while (node.hasReady()) {
    for (const message of node.ready().messages) {
      if (message.to === localApplyThread) applies.push(message.entries?.length ?? 0);
      if (message.to === localAppendThread) cluster.get(1).storage.append(message.entries ?? []);
      for (const response of message.responses ?? []) node.step(response);
    }
  }
  assert.deepEqual(applies, [1, 1, 1]);
});

test("messages that no member may send are ignored", () => {
  const cluster = new TestCluster([1, 2, 3]);
  const { node } = cluster.elect(1);
  node.step({ type: "hup", from: 2, to: 1 });
  node.step({ type: "checkQuorum", from: 2, to: 1 });
  node.step({ type: "appendResponse", from: 77, to: 1, term: 99 });
  node.step({ type: "storageAppendResponse", from: 2, to: 1, index: 1, logTerm: 1 });
  assert.equal(node.raft.role, "leader");
  assert.equal(node.raft.term, 1);
});

test("a removed leader steps down if it is told to", () => {
  const cluster = new TestCluster([1, 2, 3], { config: { ...production, stepDownOnRemoval: true } });
  const { node } = cluster.elect(1);
  node.proposeConfChange(change("remove", 1));
  cluster.settle();
  assert.equal(node.raft.role, "follower");
  assert.throws(() => node.propose(Buffer.from("x")), ProposalDroppedError);
  cluster.tick(60);
  assert.deepEqual(cluster.get(2).node.status().confState.voters, [2, 3]);
  assert.equal(cluster.leaders().length, 1);
});

test("a demoted leader that told nobody of the commit does not block the others", () => {
  // Found by the simulation (seed 405).
  const cluster = new TestCluster([1, 2], { config: { ...production, stepDownOnRemoval: true } });
  const { node } = cluster.elect(1);
  node.proposeConfChange(change("addLearner", 1));
  node.propose(Buffer.from("lost"));
  cluster.delivers = ({ from, entries = [] }) => from === 2 || entries.some((entry) => entry.index === 2);
  cluster.settle();
  assert.deepEqual(node.status().confState.learners, [1]);
  assert.deepEqual(cluster.get(2).node.status().confState.learners, []);
  assert.ok(node.raft.log.lastIndex() > cluster.get(2).node.raft.log.lastIndex());
  cluster.delivers = () => true;
  cluster.tick(60);
  assert.deepEqual(cluster.leaders(), [2]);
});

test("a restart does not need the last commit index, if more has been applied", () => {
  // Found by the simulation (seed 427).
  const storage = new MemoryStorage();
  storage.confState = { ...emptyConfState, voters: [1] };
  storage.append([{ index: 1, term: 1, type: "normal", data: new Uint8Array(0) }]);
  storage.hardState = { term: 1, vote: 1, commit: 0 };
  const node = new RawNode(testConfig(1, storage, { applied: 1 }));
  assert.equal(node.raft.log.committed, 1);
});

test("a swap of members in one joint change leaves the joint configuration by itself", () => {
  const cluster = new TestCluster([1, 2, 3], { learners: [4], config: production });
  const { node } = cluster.elect(1);
  const swap = change("addVoter", 4);
  swap.changes.push({ type: "addLearner", nodeId: 3 });
  node.proposeConfChange(swap);
  cluster.settle();
  for (const { node: member } of cluster.members.values()) {
    const { voters, learners, votersOutgoing } = member.status().confState;
    assert.deepEqual([voters, learners, votersOutgoing], [[1, 2, 4], [3], []]);
  }
});

function change(type: "explicit" | ConfChange["changes"][0]["type"], nodeId = 0): ConfChange {
  if (type === "explicit") return { transition: "auto", changes: [], context: new Uint8Array(0) };
  return { transition: "auto", changes: [{ type, nodeId }], context: new Uint8Array(0) };
}

function isolateExcept(cluster: TestCluster, connected: number[]): void {
  cluster.delivers = ({ from, to }) => connected.includes(from) && connected.includes(to);
}

function text(data: Uint8Array | undefined): string {
  return Buffer.from(data ?? []).toString();
}
