/** What can go wrong between replicas, under a clock that the test turns. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Transaction } from "#base/backend.ts";
import { Recording } from "#base/backend-conformance.test-suite.ts";
import type { StatusError } from "#base/errors.ts";
import { ManualWorld } from "./manual-world.fixture.ts";
import type { ReplicaNodeOptions } from "./replica-node.ts";

const put = (key: string, bytes = 10): Transaction => ({
  compare: [],
  success: [{ type: "put", key, value: new Uint8Array(bytes) }],
  failure: [],
});

async function threeVoters(options: Partial<ReplicaNodeOptions> = {}): Promise<ManualWorld> {
  const world = new ManualWorld(7, options);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the first leader");
  await world.join();
  await world.join();
  await world.until(
    () => world.machines.every((_, at) => world.node(at).replica.confState.voters.length === 3),
    "three voters",
  );
  return world;
}

function sameState(world: ManualWorld): boolean {
  const positions = world.machines.map(({ node }) => JSON.stringify(node?.replica.store.position));
  return new Set(positions).size === 1;
}

test("three replicas apply the same log to the same state", async () => {
  const world = await threeVoters();
  for (let at = 0; at < 3; at++) await world.during(world.node(at).backend.transact(put(`/k${at}`)));
  await world.until(() => sameState(world), "equal states");
  assert.notEqual(world.node(0).replica.store.position.checksum, 0);
});

test("an isolated leader steps down and refuses; its writes that nobody has are made again elsewhere or fail", async () => {
  const world = await threeVoters();
  const old = world.leader();
  world.isolated.add(old);
  const lost = world
    .node(old)
    .backend.transact(put("/lost"))
    .then(
      () => "acknowledged",
      (error: unknown) => (error as StatusError).reason,
    );
  await world.until(() => world.leader() !== old && world.leader() >= 0, "a new leader");
  await world.run(1000);
  assert.equal(world.node(old).replica.leadership.leading, false);
  await world.during(world.node(world.leader()).backend.transact(put("/kept")));
  assert.ok(["Timeout", "ServiceUnavailable"].includes(await world.during(lost)));
  await assert.rejects(world.during(world.node(old).backend.transact(put("/late"))), /no leader/);
  const askedMs = world.clock.monotonicMs();
  await assert.rejects(world.during(world.node(old).backend.range({ key: "/kept" })), /no leader/);
  assert.ok(world.clock.monotonicMs() - askedMs < 5_000, "a read does not wait long for a leader");
  world.isolated.clear();
  await world.until(() => sameState(world), "equal states after healing");
});

test("a write that is on its way when its leader is cut off is answered soon: its fate is unknown", async () => {
  const world = await threeVoters();
  const old = world.leader();
  world.isolated.add(old);
  const askedMs = world.clock.monotonicMs();
  const given = world.node(old).backend.transact(put("/given"));
  await assert.rejects(world.during(given), /request timed out/);
  assert.ok(world.clock.monotonicMs() - askedMs < 6_000, "it does not wait for its whole deadline");
});

test("a write that reached a follower only through the failover is acknowledged once and done once", async () => {
  const world = await threeVoters();
  const old = world.leader();
  const client = (old + 1) % 3;
  const results: Promise<unknown>[] = [];
  for (let at = 0; at < 10; at++) results.push(world.node(client).backend.transact(put(`/o${at}`)));
  await world.run(0);
  world.kill(old);
  await world.during(Promise.all(results));
  const { kvs } = await world.during(world.node(client).backend.range({ key: "/o", end: "/p" }));
  assert.deepEqual(
    kvs.map((kv) => kv.version),
    Array.from({ length: 10 }, () => 1),
  );
});

test("a member that missed more than the log keeps gets a snapshot in chunks; its watches say so", async () => {
  const world = await threeVoters({ config: { memberId: "", keptLogBytes: 100_000 } });
  const behind = (world.leader() + 1) % 3;
  world.kill(behind);
  for (let at = 0; at < 60; at++)
    await world.during(world.node(world.leader()).backend.transact(put(`/b${at}`, 20_000)));
  await world.run(3000);
  const { log } = world.node(world.leader()).replica;
  assert.ok(log.firstIndex > 30, `compacted up to ${log.firstIndex}`);
  const node = world.start(behind);
  const watch = new Recording(node.backend, "/b");
  await world.until(() => sameState(world), "the snapshot");
  assert.ok(watch.ended && /snapshot/.test(watch.error?.message ?? ""));
  const { count } = await world.during(node.backend.range({ key: "/b", end: "/c", countOnly: true }));
  assert.equal(count, 60);
  world.kill(behind);
  world.start(behind);
  await world.during(world.node(behind).backend.transact(put("/again")));
});

test("a full disk: the leader steps aside, refuses with a clear error when alone, and recovers", async () => {
  const world = await threeVoters();
  const full = world.leader();
  const machine = world.machines[full];
  assert.ok(machine !== undefined);
  machine.disk.full = true;
  for (let at = 0; at < 60 && world.leader() === full; at++) {
    await world.during(world.node((full + 1) % 3).backend.transact(put(`/f${at}`, 4000)));
  }
  await world.until(() => world.leader() !== full && world.leader() >= 0, "another leader");
  assert.match(world.node(full).status().trouble ?? "", /disk is full/);
  machine.disk.full = false;
  await world.until(() => sameState(world), "recovery");
  assert.equal(world.node(full).status().trouble, undefined);

  const alone = new ManualWorld(3);
  alone.bootstrap();
  await alone.until(() => alone.leader() === 0, "the leader");
  const disk = alone.machines[0]?.disk;
  assert.ok(disk !== undefined);
  disk.full = true;
  const results = Array.from({ length: 40 }, (_, at) => alone.node(0).backend.transact(put(`/f${at}`, 4000)));
  await alone.run(100);
  await assert.rejects(alone.during(alone.node(0).backend.transact(put("/refused"))), /disk is full/);
  disk.full = false;
  await alone.during(Promise.all(results));
});

test("a power cut of all loses nothing that was acknowledged", async () => {
  const world = await threeVoters();
  for (let at = 0; at < 20; at++) await world.during(world.node(at % 3).backend.transact(put(`/p${at}`)));
  for (let at = 0; at < 3; at++) {
    world.kill(at);
    world.machines[at]?.disk.powerCut();
    world.machines[at]?.state.loseUnflushed();
  }
  for (let at = 0; at < 3; at++) world.start(at);
  await world.until(() => world.leader() >= 0, "a leader");
  const { count } = await world.during(
    world.node(0).backend.range({ key: "/p", end: "/q", countOnly: true }),
  );
  assert.equal(count, 20);
  await world.until(() => sameState(world), "equal states");
});

test("a replica whose state differs from the leader's stops serving", async () => {
  const world = await threeVoters();
  const wrong = (world.leader() + 1) % 3;
  const { store } = world.node(wrong).replica;
  Object.assign(store.position, { checksum: 12_345 });
  await world.until(() => (world.machines[wrong]?.fatal.length ?? 0) > 0, "the discovery");
  assert.match(world.machines[wrong]?.fatal[0]?.message ?? "", /differs from the leader's/);
});

test("history is compacted by itself after its time", async () => {
  const world = new ManualWorld(5, { historyMs: 10_000 });
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the leader");
  const first = await world.during(world.node(0).backend.transact(put("/h")));
  for (let at = 0; at < 5; at++) {
    await world.during(world.node(0).backend.transact(put("/h")));
    await world.run(6000);
  }
  await assert.rejects(
    world.node(0).backend.range({ key: "/h", revision: first.revision, serializable: true }),
    /compacted/,
  );
  assert.ok(world.node(0).replica.store.compactRevision < world.node(0).replica.store.revision);
});

test("a dead voter of four is replaced by the standby within 15 s, and comes back as standby", async () => {
  const world = await threeVoters();
  await world.join();
  await world.until(() => world.roles() === "voter voter voter standby", "the standby");
  const victim = (world.leader() + 1) % 3;
  world.kill(victim);
  const before = world.clock.nowMs();
  await world.until(() => world.leader() >= 0 && world.roles().endsWith("voter"), "the promotion");
  assert.ok(world.clock.nowMs() - before < 15_000);
  await world.run(1000);
  const { decisions, highlyAvailable } = world.node(world.leader()).status();
  assert.match(
    decisions.at(-1)?.text ?? "",
    new RegExp(`^n3 became a voter in place of n${victim}, which has not answered for 10 s`),
  );
  assert.equal(highlyAvailable, true);
  world.start(victim);
  await world.until(() => sameState(world), "the victim to catch up");
  assert.equal(world.roles().split(" ")[victim], "standby");
});

test("eight nodes are three voters, three standbys and two spares; a spare serves what it does not hold", async () => {
  const world = await threeVoters();
  for (let at = 3; at < 8; at++) await world.join();
  const expected = "voter voter voter standby standby standby spare spare";
  await world.until(() => world.roles() === expected, "the roles");
  const spare = world.node(7);
  await world.run(1000);
  const watch = new Recording(spare.backend, "/s");
  const { revision } = await world.during(spare.backend.transact(put("/s")));
  await world.until(() => watch.revision >= revision, "the event");
  assert.equal(watch.events.length, 1);
  assert.equal((await world.during(spare.backend.range({ key: "/s" }))).kvs[0]?.modRevision, revision);
  assert.equal(spare.replica.store.position.index, 0);
  assert.equal((await world.during(spare.backend.status())).ready, true);

  // Its helper dies: the watch says so at once, and the next call finds another helper.
  world.kill(world.leader());
  await world.until(() => watch.ended, "the end of the watch", 5000);
  assert.ok(watch.error !== undefined);
  await world.until(() => world.leader() >= 0, "a new leader");
  await world.run(1000);
  await world.during(spare.backend.transact(put("/s2")));
});

test("a spare whose helper's answers don't get through hears of it within seconds, and is served again afterwards", async () => {
  const world = new ManualWorld(4, { targets: { voters: 1, standbys: 0 } });
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the leader");
  const spare = await world.join();
  await world.run(2000);
  const watch = new Recording(spare.backend, "/s");
  await world.during(spare.backend.transact(put("/s")));
  world.unanswering.add(0);
  const since = world.clock.monotonicMs();
  const [read, written] = await world.during(
    Promise.allSettled([spare.backend.range({ key: "/s" }), spare.backend.transact(put("/s"))]),
  );
  assert.match(String(read.status === "rejected" && read.reason), /connection to the datastore was lost/);
  // What became of the write is not known.
  assert.match(String(written.status === "rejected" && written.reason), /timed out/);
  assert.ok(world.clock.monotonicMs() - since <= 7000);
  assert.ok(watch.error !== undefined);
  world.unanswering.delete(0);
  await world.during(spare.backend.transact(put("/s")));
  assert.equal((await world.during(spare.backend.range({ key: "/s" }))).kvs[0]?.version, 3);
});

for (const [asked, offset] of [
  ["itself", 0],
  ["another", 1],
] as const)
  test(`the leader is removed, asked of ${asked}; what is left stays writable`, () => removeLeader(offset));

async function removeLeader(offset: number): Promise<void> {
  const world = await threeVoters();
  const leader = world.leader();
  const { id } = world.machines[leader]?.member ?? { id: "" };
  await world.during(world.node((leader + offset) % 3).admin("removeMember", id));
  world.kill(leader);
  await world.until(() => world.leader() >= 0, "a leader");
  await world.until(() => world.node(world.leader()).replica.confState.voters.length === 1, "one voter");
  await world.during(world.node(world.leader()).backend.transact(put("/left")));
  assert.deepEqual(
    world
      .node(world.leader())
      .status()
      .members.map(({ role }) => role)
      .toSorted(),
    ["standby", "voter"],
  );
}
