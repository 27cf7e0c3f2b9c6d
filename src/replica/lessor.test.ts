/** Leases on three replicas under a clock that the test turns. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Recording } from "#base/backend-conformance.test-suite.ts";
import { ManualWorld } from "./manual-world.fixture.ts";

async function threeVoters(): Promise<ManualWorld> {
  const world = new ManualWorld(11);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the first leader");
  for (let at = 1; at < 3; at++) await world.join();
  await world.until(() => world.roles() === "voter voter voter", "three voters");
  return world;
}

const leased = (key: string, lease: string) => ({
  compare: [],
  success: [{ type: "put" as const, key, value: Buffer.from("x"), lease }],
  failure: [],
});

test("a lease that nobody renews takes its keys with it, on every replica, in one revision", async () => {
  const world = await threeVoters();
  const follower = world.node((world.leader() + 1) % 3).backend;
  const { id } = await world.during(follower.leases.grant("0", 5));
  for (const key of ["/l/a", "/l/b"]) await world.during(follower.transact(leased(key, id)));
  const watch = new Recording(follower, "/l");
  await world.run(4000);
  assert.equal((await world.during(follower.range({ key: "/l", end: "/m" }))).count, 2);
  const { ttlSeconds } = await world.during(follower.leases.inspect(id, false));
  assert.ok(ttlSeconds <= 1, `${ttlSeconds} s are left`);
  await world.until(() => watch.events.length === 2, "the end of the lease", 3000);
  assert.equal(watch.events[0]?.kv.modRevision, watch.events[1]?.kv.modRevision);
  assert.deepEqual(await world.during(follower.leases.list()), []);
  await world.until(
    () => new Set([0, 1, 2].map((at) => world.node(at).replica.store.position.checksum)).size === 1,
    "equal states",
  );
});

test("renewed through any replica it lives on", async () => {
  const world = await threeVoters();
  const { id } = await world.during(world.node(0).backend.leases.grant("0", 3));
  for (let round = 0; round < 6; round++) {
    await world.run(2000);
    assert.equal(await world.during(world.node(round % 3).backend.leases.renew(id)), 3);
  }
  await world.run(4000);
  await assert.rejects(world.during(world.node(1).backend.leases.renew(id)), /requested lease not found/);
});

test("a new leader gives it its whole time again, and ends it after that", async () => {
  const world = await threeVoters();
  const old = world.leader();
  const other = world.node((old + 1) % 3).backend;
  const { id } = await world.during(other.leases.grant("0", 10));
  await world.during(other.transact(leased("/f", id)));
  await world.run(8000);
  world.kill(old);
  await world.until(() => world.leader() >= 0, "another leader");
  const { ttlSeconds } = await world.during(other.leases.inspect(id, true));
  assert.ok(ttlSeconds >= 8, `${ttlSeconds} s are left`);
  await world.run(5000);
  assert.equal((await world.during(other.range({ key: "/f" }))).count, 1);
  await world.run(8000);
  assert.equal((await world.during(other.range({ key: "/f" }))).count, 0);
});

test("a leader that is cut off neither renews nor ends a lease", async () => {
  const world = await threeVoters();
  const old = world.leader();
  const { id } = await world.during(world.node(old).backend.leases.grant("0", 20));
  await world.run(500);
  world.isolated.add(old);
  await assert.rejects(world.during(world.node(old).backend.leases.renew(id)));
  await world.until(() => [0, 1, 2].some((at) => at !== old && leads(world, at)), "another leader");
  const next = [0, 1, 2].find((at) => at !== old && leads(world, at)) ?? -1;
  for (let round = 0; round < 5; round++) {
    await world.run(12_000);
    assert.equal(await world.during(world.node(next).backend.leases.renew(id)), 20);
  }
  world.isolated.clear();
  await world.run(2000);
  assert.equal(await world.during(world.node(old).backend.leases.renew(id)), 20);
});

test("leases survive a restart and come along with a snapshot", async () => {
  const world = new ManualWorld(3, { config: { memberId: "", keptLogBytes: 100_000 } });
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the leader");
  const { id } = await world.during(world.node(0).backend.leases.grant("0", 3000));
  await world.during(world.node(0).backend.transact(leased("/s", id)));
  for (let at = 0; at < 30; at++)
    await world.during(
      world.node(0).backend.transact({
        compare: [],
        success: [{ type: "put", key: `/big${at}`, value: Buffer.alloc(20_000) }],
        failure: [],
      }),
    );
  await world.run(3000);
  world.kill(0);
  world.start(0);
  await world.until(() => world.leader() === 0, "the leader again");
  await world.join();
  const joined = world.node(1);
  await world.until(() => joined.replica.store.hasLease(id), "the snapshot");
  const { keys } = await world.during(joined.backend.leases.inspect(id, true));
  assert.deepEqual(keys, ["/s"]);
});

function leads(world: ManualWorld, at: number): boolean {
  return world.node(at).replica.leadership.leading;
}
