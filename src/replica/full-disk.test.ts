/**
 * Whole replicas whose disks are full, at each place where they write: the vote, the state, the shortening of the log. Nothing
 * that was acknowledged is lost, nothing is pretended, and room is all it takes to go on.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Transaction } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { ManualWorld } from "./manual-world.fixture.ts";

const put = (key: string, bytes = 10): Transaction => ({
  compare: [],
  success: [{ type: "put", key, value: new Uint8Array(bytes) }],
  failure: [],
});

async function worldOf(count: number, keptLogBytes = 1 << 20): Promise<ManualWorld> {
  const world = new ManualWorld(6, { config: { memberId: "", keptLogBytes } });
  world.bootstrap();
  await world.until(() => world.leader() === 0, "a leader");
  for (let at = 1; at < count; at++) await world.join();
  const roles = Array.from({ length: count }, () => "voter").join(" ");
  await world.until(() => world.roles() === roles, roles);
  return world;
}

function machineOf(world: ManualWorld, at: number) {
  return world.machines[at] ?? assert.fail();
}

/** Writes through a node until it fails; how many were acknowledged. */
async function fill(world: ManualWorld, at: number, prefix: string, bytes: number): Promise<number> {
  for (let count = 0; count < 200; count++) {
    try {
      await world.during(world.node(at).backend.transact(put(`${prefix}${count}`, bytes)));
    } catch (error) {
      assert.ok(error instanceof StatusError);
      assert.match(error.message, /disk is full|timed out/);
      return count;
    }
  }
  return assert.fail("the disk was never full");
}

async function countOf(world: ManualWorld, at: number, prefix: string): Promise<number> {
  const request = { key: prefix, end: `${prefix}~`, countOnly: true };
  return (await world.during(world.node(at).backend.range(request))).count;
}

function equalStates(world: ManualWorld): boolean {
  const [first, ...others] = world.machines.flatMap(({ node }) =>
    node === undefined ? [] : [node.replica.store.position],
  );
  return others.every(({ index, checksum }) => index === first?.index && checksum === first.checksum);
}

test("a voter that can't write its vote down gives none; with room it does, and nothing is lost", async () => {
  const world = await worldOf(3);
  await world.during(world.node(0).backend.transact(put("/a")));
  await world.run(1000);
  const leader = world.leader();
  const [full = -1, other = -1] = [0, 1, 2].filter((at) => at !== leader);
  machineOf(world, full).disk.refusing = true;
  const before = world.node(full).replica.log.hardState;
  world.kill(leader);
  await world.run(10_000);
  assert.equal(world.leader(), -1, "one vote of three is not enough");
  assert.deepEqual(world.node(full).replica.log.hardState, before);
  assert.match(world.node(full).status().trouble ?? "", /disk is full/);
  // What it was about to write is gone with the power: it had told nobody.
  world.kill(full);
  machineOf(world, full).disk.powerCut();
  machineOf(world, full).state.loseUnflushed();
  machineOf(world, full).disk.refusing = false;
  world.start(full);
  await world.until(() => world.leader() >= 0, "a leader once there is room");
  await world.during(world.node(other).backend.transact(put("/b")));
  assert.equal(await countOf(world, full, "/"), 2);
  world.start(leader);
  await world.until(() => equalStates(world), "equal states");
});

test("a leader that can't write its state lets another lead, and catches up once there is room", async () => {
  const world = await worldOf(3);
  const full = world.leader();
  const other = (full + 1) % 3;
  machineOf(world, full).state.full = true;
  let written = 0;
  for (; world.leader() === full && written < 100; written++)
    await world.during(world.node(other).backend.transact(put(`/f${written}`, 4000)));
  await world.until(() => world.leader() >= 0 && world.leader() !== full, "another leader");
  assert.match(world.node(full).status().trouble ?? "", /disk is full/);
  for (const end = written + 20; written < end; written++)
    await world.during(world.node(other).backend.transact(put(`/f${written}`, 4000)));
  machineOf(world, full).state.full = false;
  await world.until(() => equalStates(world), "equal states");
  assert.equal(world.node(full).status().trouble, undefined);
  assert.equal(await countOf(world, full, "/f"), written);
});

test("a lone node that can't write its state refuses, keeps what it acknowledged through a power cut, and goes on", async () => {
  const world = await worldOf(1);
  machineOf(world, 0).state.full = true;
  const acknowledged = await fill(world, 0, "/f", 4000);
  await assert.rejects(world.during(world.node(0).backend.transact(put("/refused"))), /disk is full/);
  assert.equal((await world.during(world.node(0).backend.status())).ready, false);
  const read = await world.during(world.node(0).backend.range({ key: "/f0", serializable: true }));
  assert.equal(read.kvs.length, Math.min(acknowledged, 1));
  world.kill(0);
  machineOf(world, 0).disk.powerCut();
  machineOf(world, 0).state.loseUnflushed();
  world.start(0);
  await world.run(3000);
  machineOf(world, 0).state.full = false;
  await world.until(() => world.node(0).status().ready, "readiness");
  assert.ok((await countOf(world, 0, "/f")) >= acknowledged);
  await world.during(world.node(0).backend.transact(put("/after")));
});

test("a disk that is full as the log begins behind a snapshot keeps the start waiting, and does not end it", async () => {
  const world = await worldOf(1);
  world.kill(0);
  const { disk, state } = machineOf(world, 0);
  // As a snapshot leaves it that has just come: the state is ahead of the log.
  disk.files.clear();
  const store = state.open();
  store.batch(() => store.setNote("received", String(store.position.index)));
  store.commit();
  disk.refusing = true;
  world.start(0);
  await world.run(3000);
  assert.match(world.node(0).status().trouble ?? "", /disk is full/);
  disk.refusing = false;
  await world.until(() => world.node(0).status().ready, "readiness");
  await world.during(world.node(0).backend.transact(put("/after")));
});

test("a change of members that meets a full state is taken up once", async () => {
  const world = await worldOf(1);
  await world.join();
  await world.until(() => world.roles() === "voter standby", "the standby");
  machineOf(world, 0).state.full = true;
  await fill(world, 0, "/f", 4000);
  const removed = world.node(0).admin("removeMember", machineOf(world, 1).member.id);
  removed.catch(() => undefined);
  await world.run(4000);
  machineOf(world, 0).state.full = false;
  await world.during(removed.catch(() => undefined));
  await world.during(world.node(0).admin("removeMember", machineOf(world, 1).member.id));
  assert.deepEqual(world.node(0).replica.confState.learners, []);
  await world.during(world.node(0).backend.transact(put("/after")));
});

for (const refusing of [false, true])
  test(`the log is shortened as soon as a full disk has room again (${refusing ? "no write at all" : "no growth"})`, async () => {
    const world = await worldOf(1, 64 << 10);
    const { disk, state } = machineOf(world, 0);
    for (let at = 0; at < 30; at++) await world.during(world.node(0).backend.transact(put(`/a${at}`, 4000)));
    disk[refusing ? "refusing" : "full"] = true;
    const acknowledged = await fill(world, 0, "/f", 4000);
    const { firstIndex } = world.node(0).replica.log;
    await world.run(10_000);
    assert.deepEqual(machineOf(world, 0).fatal, []);
    assert.equal(await countOf(world, 0, "/a"), 30);
    disk.full = disk.refusing = false;
    await world.until(() => world.node(0).status().trouble === undefined, "room", 2000);
    for (let at = 0; at < 30; at++) await world.during(world.node(0).backend.transact(put(`/b${at}`, 4000)));
    await world.run(10_000);
    const { log } = world.node(0).replica;
    assert.ok(log.firstIndex >= firstIndex + 30, `the log begins at ${log.firstIndex}`);
    world.kill(0);
    disk.powerCut();
    state.loseUnflushed();
    world.start(0);
    await world.until(() => world.node(0).status().ready, "readiness");
    assert.equal(await countOf(world, 0, "/a"), 30);
    assert.ok((await countOf(world, 0, "/f")) >= acknowledged);
    assert.equal(await countOf(world, 0, "/b"), 30);
  });
