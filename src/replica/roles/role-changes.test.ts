/** Roles as whole replicas carry them out, under a clock that the test turns. The decisions alone are in roles.test.ts. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Transaction } from "#base/backend.ts";
import { ManualWorld } from "../manual-world.fixture.ts";
import type { MemberRecord } from "../types.ts";

const put = (key: string): Transaction => ({
  compare: [],
  success: [{ type: "put", key, value: new Uint8Array(10) }],
  failure: [],
});

/** One machine per record, once it is `roles`. */
async function world(members: Partial<MemberRecord>[], roles: string, seed = 11): Promise<ManualWorld> {
  const made = new ManualWorld(seed);
  made.bootstrap(members[0]);
  await made.until(() => made.leader() === 0, "the first leader");
  for (const member of members.slice(1)) {
    await made.join(member);
    await made.run(3000);
  }
  await made.until(() => made.leader() >= 0 && made.roles() === roles, `the roles ${roles}`);
  return made;
}

function reasons(made: ManualWorld): (string | undefined)[] {
  return made
    .node(made.leader())
    .status()
    .decisions.map(({ reason }) => reason);
}

function id(made: ManualWorld, at: number): string {
  return made.machines[at]?.member.id ?? "";
}

/** Stops in order, as SIGTERM does. */
async function stop(made: ManualWorld, at: number): Promise<void> {
  await made.during(made.node(at).stop());
  const machine = made.machines[at];
  if (machine !== undefined) Object.assign(machine, { node: undefined, events: undefined });
}

const nobody: Partial<MemberRecord> = {};
const witness: Partial<MemberRecord> = { witness: true };

test("a leader that stops in order hands over: one term further, no election timeout", async () => {
  const made = await world([nobody, nobody, nobody], "voter voter voter");
  const old = made.leader();
  const other = (old + 1) % 3;
  const { term } = made.node(old).status();
  let longestGapMs = 0;
  let lastMs = made.clock.monotonicMs();
  let going = true;
  const writing = (async () => {
    for (let at = 0; going; at++) {
      await made.node(other).backend.transact(put(`/gap/${at}`));
      longestGapMs = Math.max(longestGapMs, made.clock.monotonicMs() - lastMs);
      lastMs = made.clock.monotonicMs();
    }
  })();
  await made.run(100);
  await stop(made, old);
  await made.run(500);
  going = false;
  await made.during(writing);
  assert.equal(made.node(made.leader()).status().term, term + 1);
  assert.ok(longestGapMs <= 100, `a gap of ${longestGapMs} ms`);
});

test("there is always a successor while the others answer: an idle leader can hand over at any moment", async () => {
  const made = await world([nobody, nobody, nobody], "voter voter voter");
  const { replica } = made.node(made.leader());
  for (let passed = 0; passed < 2000; passed += 10) {
    await made.run(10);
    assert.notEqual(replica.bestSuccessor(), undefined, `after ${passed} ms`);
  }
});

test("of two nodes, the voter stops in order: the other is the only voter then, and the first comes back as its standby", async () => {
  const made = await world([nobody, nobody], "voter standby");
  await made.run(2000);
  await stop(made, 0);
  await made.until(() => made.leader() === 1, "the other leads", 2000);
  assert.deepEqual(made.node(1).replica.confState.voters.length, 1);
  await made.during(made.node(1).backend.transact(put("/alone")));
  assert.ok(reasons(made).includes("HandedOver"));
  made.start(0);
  await made.run(5000);
  assert.equal(made.roles(), "standby voter");
});

test("of two nodes, the only voter leaves", async () => {
  const made = await world([nobody, nobody], "voter standby");
  await made.run(2000);
  await made.during(made.node(1).admin("removeMember", id(made, 0)));
  made.kill(0);
  await made.during(made.node(1).backend.transact(put("/left")));
  const { members } = made.node(1).status();
  assert.deepEqual(
    members.map(({ name, role }) => [name, role]),
    [["n1", "voter"]],
  );
});

test("the only voter can't leave while nobody can take over", async () => {
  const made = await world([nobody, nobody], "voter standby");
  made.kill(1);
  await made.run(5000);
  await assert.rejects(
    made.during(made.node(0).admin("removeMember", id(made, 0))),
    /no other node is ready to take over/,
  );
  await made.during(made.node(0).backend.transact(put("/still")));
});

test("two nodes and a witness survive the loss of either node", async () => {
  for (const victim of [0, 1]) {
    const made = await world([nobody, nobody, witness], "voter voter voter", 20 + victim);
    await made.run(1000);
    made.kill(victim);
    const other = 1 - victim;
    await made.until(() => made.leader() === other, "the other node leads", 10_000);
    await made.during(made.node(other).backend.transact(put("/survived")));
    made.start(victim);
    await made.until(() => made.node(other).status().failuresToQuorumLoss === 1, "all are back");
  }
});

test("a witness that was elected hands over at once, where another can lead", async () => {
  const made = await world([nobody, nobody, witness], "voter voter voter");
  await made.during(made.node(0).admin("transferLeadership", id(made, 2)));
  await made.until(() => [0, 1].includes(made.leader()), "a node leads that is no witness", 1000);
  made.kill(made.leader());
  await made.run(60_000);
  assert.ok([0, 1].includes(made.leader()), "the one that is left leads");
  // Nobody else can: the witness keeps what it can of the cluster.
  made.start([0, 1].find((at) => made.machines[at]?.node === undefined) ?? -1);
  await made.run(5000);
  assert.notEqual(made.leader(), 2);
});

test("witnesses never outnumber the voters that can lead", async () => {
  const made = await world([nobody, witness, witness], "voter standby standby");
  await made.run(40_000);
  assert.equal(made.roles(), "voter standby standby");
  await made.join();
  await made.until(
    () =>
      made
        .roles()
        .split(" ")
        .filter((role) => role === "voter").length === 3,
    "three voters",
  );
  assert.equal(made.roles().split(" ")[3], "voter");
});

test("voters move to another failure domain once a node of it has joined and all has been calm", async () => {
  const made = await world(
    ["a", "a", "b", "c"].map((failureDomain) => ({ failureDomain })),
    "voter voter voter standby",
  );
  const since = made.clock.monotonicMs();
  await made.until(() => made.roles().endsWith("voter"), "the swap", 90_000);
  assert.ok(made.clock.monotonicMs() - since > 15_000, "not in a hurry");
  assert.equal(
    made
      .roles()
      .split(" ")
      .filter((role) => role === "voter").length,
    3,
  );
  assert.equal(made.roles().split(" ")[2], "voter");
  await made.run(1000);
  const decided = reasons(made).length;
  await made.run(300_000);
  assert.equal(reasons(made).length, decided, "and it stays so");
});

test("who comes back victim of its silence is a standby, and one that comes and goes is given nothing", async () => {
  const made = await world([nobody, nobody, nobody, nobody], "voter voter voter standby");
  const flapping = (made.leader() + 1) % 3;
  for (let round = 0; round < 8; round++) {
    made.kill(flapping);
    await made.run(14_000);
    made.start(flapping);
    await made.run(8_000);
  }
  assert.equal(made.roles().split(" ")[flapping], "standby");
  const before = reasons(made);
  assert.equal(before.filter((reason) => reason === "VoterReplaced").length, 1);
  // Another voter dies right after the return: the unreliable one has to prove itself first.
  const leader = made.leader();
  const dying = [0, 1, 2, 3].find((at) => at !== leader && at !== flapping) ?? -1;
  made.kill(dying);
  await made.run(20_000);
  assert.equal(made.roles().split(" ")[flapping], "standby");
  await made.until(() => made.roles().split(" ")[flapping] === "voter", "its turn in the end", 400_000);
});

test("a new leader replaces nobody whom it merely had not heard as a follower", async () => {
  const made = await world([nobody, nobody, nobody, nobody], "voter voter voter standby");
  await made.run(60_000);
  const before = reasons(made).length;
  for (let round = 0; round < 3; round++) {
    const next = (made.leader() + 1) % 3;
    await made.during(made.node(made.leader()).admin("transferLeadership", id(made, next)));
    await made.run(20_000);
  }
  assert.equal(reasons(made).length, before);
});

test("the number of voters is the cluster's, and is never even while it changes", async () => {
  const made = await world(
    [nobody, nobody, nobody, nobody, nobody, nobody],
    "voter voter voter standby standby standby",
  );
  const seen = new Set<number>();
  const look = (count: number) => () => {
    const { voters, votersOutgoing } = made.node(made.leader()).replica.confState;
    if (votersOutgoing.length === 0) seen.add(voters.length);
    return voters.length === count && votersOutgoing.length === 0;
  };
  await made.during(made.node(2).admin("setVoters", 5));
  await made.until(look(5), "five voters");
  assert.equal(made.node(5).status().voterTarget, 5);
  await made.during(made.node(2).admin("setVoters", 3));
  await made.until(look(3), "three voters again");
  assert.deepEqual(
    [...seen].toSorted((a, b) => a - b),
    [3, 5],
  );
  await assert.rejects(made.during(made.node(2).admin("setVoters", 4)), /3, 5 or 7 voters, not 4/);
});

test("a removed voter's place is taken in the same step, and without a standby one voter is left of three", async () => {
  const made = await world([nobody, nobody, nobody, nobody], "voter voter voter standby");
  const seen = new Set<number>();
  const remove = async (at: number) => {
    let done = false;
    void made
      .node(made.leader())
      .admin("removeMember", id(made, at))
      .then(() => (done = true));
    await made.until(() => {
      const { voters, votersOutgoing } = made.node(made.leader()).replica.confState;
      if (votersOutgoing.length === 0) seen.add(voters.length);
      return done;
    }, "the removal");
    made.kill(at);
  };
  await made.run(1000);
  const leader = made.leader();
  const [first = -1, second = -1] = [0, 1, 2].filter((at) => at !== leader);
  await remove(first);
  assert.deepEqual([...seen], [3]);
  await remove(second);
  assert.deepEqual([...seen], [3, 1]);
  await made.during(made.node(made.leader()).backend.transact(put("/left")));
});
