/**
 * What a change of members promises once it is confirmed: the new configuration goes on without the old one,
 * also after a power cut of all.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualWorld } from "./manual-world.fixture.ts";

test("a node of which the others were removed or demoted leads alone after a power cut", async () => {
  const world = await worldOf(3, "voter voter voter");
  const leader = world.leader();
  const [removed = -1, demoted = -1] = [0, 1, 2].filter((at) => at !== leader);
  await remove(world, removed);
  world.kill(demoted);
  powerCut(world, leader);
  world.start(leader);
  await world.until(() => world.leader() === leader, "a leader without the removed one", 10_000);
});

test("a majority of the voters that are left elects a leader after a power cut, though the removed one stays off", async () => {
  const world = await worldOf(4, "voter voter voter standby");
  await world.run(1000);
  const leader = world.leader();
  const removed = [0, 1, 2].find((at) => at !== leader) ?? -1;
  await remove(world, removed);
  const rest = [0, 1, 2, 3].filter((at) => at !== removed);
  for (const at of rest) powerCut(world, at);
  // All but the one that was leading: what it alone knew is not there.
  for (const at of rest) if (at !== leader) world.start(at);
  await world.until(() => world.leader() >= 0, "a leader without the removed one", 10_000);
});

test("a silent voter that was swapped is not needed after a power cut", async () => {
  const world = await worldOf(4, "voter voter voter standby");
  await world.run(1000);
  const leader = world.leader();
  const silent = [0, 1, 2].find((at) => at !== leader) ?? -1;
  world.kill(silent);
  const decided = () => world.node(leader).status().decisions.at(-1)?.reason === "VoterReplaced";
  await world.until(decided, "the swap", 30_000);
  const rest = [0, 1, 2, 3].filter((at) => at !== silent);
  for (const at of rest) powerCut(world, at);
  for (const at of rest) if (at !== leader) world.start(at);
  await world.until(() => world.leader() >= 0, "a leader without the silent one", 10_000);
});

async function worldOf(count: number, roles: string): Promise<ManualWorld> {
  const world = new ManualWorld(5);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "a leader");
  for (let at = 1; at < count; at++) await world.join();
  await world.until(() => world.roles() === roles, roles);
  return world;
}

/** It is switched off as soon as the removal is confirmed. */
async function remove(world: ManualWorld, at: number): Promise<void> {
  const { id } = world.machines[at]?.member ?? assert.fail();
  let done = false;
  void world
    .node(world.leader())
    .admin("removeMember", id)
    .then(() => (done = true));
  await world.until(() => done, "the removal");
  world.kill(at);
}

function powerCut(world: ManualWorld, at: number): void {
  const machine = world.machines[at] ?? assert.fail();
  world.kill(at);
  machine.disk.powerCut();
  machine.state.loseUnflushed();
}
