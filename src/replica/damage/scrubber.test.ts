/** Damage that no reader has come upon is found, and what becomes of it depends on what the others have. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Transaction } from "#base/backend.ts";
import { FatalError } from "#base/errors.ts";
import { testLogger } from "../cluster.fixture.ts";
import { CopyLosses, DamagedCopy } from "./damaged-copy.ts";
import { ManualWorld } from "../manual-world.fixture.ts";
import type { RoleMember } from "../roles/roles.ts";
import { Scrubber } from "./scrubber.ts";

const put = (key: string, bytes = 10): Transaction => ({
  compare: [],
  success: [{ type: "put", key, value: new Uint8Array(bytes).fill(1) }],
  failure: [],
});
const flip = "UPDATE history SET value = x'00' WHERE key = '/victim'";

async function worldOf(roles: string): Promise<ManualWorld> {
  const world = new ManualWorld(7);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "a leader");
  for (let at = 1; at < roles.split(" ").length; at++) await world.join();
  await world.until(() => world.roles() === roles, roles);
  for (const key of ["/a", "/victim", "/z"]) await world.during(world.node(0).backend.transact(put(key)));
  await world.run(1000);
  // What is damaged must be on the disk.
  for (const at of world.machines.keys()) world.node(at).replica.store.commit();
  return world;
}

/** Behind the back of the replica, which has looked at all rows before, and looks again a day later. */
function damage(world: ManualWorld, at: number): void {
  world.kill(at);
  world.machines[at]?.state.damage(flip);
  world.start(at);
}

async function reads(world: ManualWorld, at: number, key: string): Promise<number> {
  return (await world.during(world.node(at).backend.range({ key, serializable: true }))).count;
}

const isCorrupt = (error: Error | undefined) => error instanceof FatalError && error.kind === "corrupt";

test("a member of three gives its damaged copy up, though nobody reads the row", async () => {
  const world = await worldOf("voter voter voter");
  damage(world, 1);
  await world.until(() => world.node(1).replica.stopped, "the end of the damaged copy");
  assert.ok(isCorrupt(world.machines[1]?.fatal[0]));
  assert.equal(await reads(world, 0, "/victim"), 1);
});

test("while the others can't go on without it, a damaged copy serves the rest", async () => {
  const world = await worldOf("voter voter voter");
  world.kill(2);
  damage(world, 1);
  await world.run(60_000);
  assert.ok(world.node(1).replica.scrubber.progress.damaged > 0);
  assert.deepEqual(world.machines[1]?.fatal, []);
  await world.during(world.node(1).backend.transact(put("/b")));
  assert.equal(await reads(world, 1, "/a"), 1);
  await assert.rejects(reads(world, 1, "/victim"), /the datastore's state is damaged/);
  world.start(2);
  await world.until(() => world.node(1).replica.stopped, "the end of the damaged copy", 180_000);
  assert.ok(isCorrupt(world.machines[1]?.fatal[0]));
  assert.equal(await reads(world, 2, "/victim"), 1);
});

test("the only voter lets its standby take over before it gives its damaged copy up", async () => {
  const world = await worldOf("voter standby");
  damage(world, 0);
  await world.until(() => world.node(0).replica.stopped, "the end of the damaged copy");
  assert.ok(isCorrupt(world.machines[0]?.fatal[0]));
  await world.until(() => world.leader() === 1, "the other's leadership");
  assert.equal(await reads(world, 1, "/victim"), 1);
  await world.during(world.node(1).backend.transact(put("/b")));
});

test("a lone node goes on with all but the damaged row, and watches that meet it end with the reason", async () => {
  const world = await worldOf("voter");
  damage(world, 0);
  await world.run(30_000);
  const { scrubber, store } = world.node(0).replica;
  assert.deepEqual(world.machines[0]?.fatal, []);
  assert.equal(scrubber.progress.damaged, 1);
  assert.equal(scrubber.progress.walks, 1);
  let ended: Error | undefined;
  const watched: string[] = [];
  world.node(0).backend.watch(
    { key: "/", end: "0", fromRevision: 2 },
    {
      onEvents: (events) => watched.push(...events.map(({ kv }) => kv.key)),
      onEnd: (error) => (ended = error),
    },
  );
  await world.until(() => ended !== undefined, "the end of the watch");
  assert.match(String(ended), /the datastore's state is damaged/);
  await world.during(world.node(0).backend.transact(put("/b")));
  assert.equal(await reads(world, 0, "/b"), 1);
  assert.equal(store.revision, 5);
  await world.run(3_700_000);
  assert.equal(scrubber.progress.damaged, 2, "it looks again within an hour or so");
});

test("a damaged file of the log is given up once the state has what is in it", async () => {
  const world = await worldOf("voter");
  for (let at = 0; at < 40; at++) await world.during(world.node(0).backend.transact(put(`/k${at}`, 4000)));
  world.kill(0);
  // The first walk has not come to the log yet.
  world.start(0);
  const [first, second] = world.node(0).replica.log.closedSegments;
  assert.ok(first !== undefined && second !== undefined);
  const { disk } = world.machines[0]!;
  disk.files.get(second.name)!.bytes[5000]! ^= 1;
  const { log } = world.node(0).replica;
  await world.until(() => log.firstIndex > second.lastIndex, "the end of the file");
  assert.deepEqual(world.machines[0]?.fatal, []);
  world.kill(0);
  world.start(0);
  await world.until(() => world.node(0).status().ready, "readiness");
  assert.equal(await reads(world, 0, "/k39"), 1);
});

test("it pauses while there is much to apply, though not for good, and walks once a day", () => {
  let nowMs = 0;
  const asked: number[] = [];
  const store = {
    position: { index: 0 },
    scrub(after: number) {
      asked.push(nowMs);
      return { rows: 10, next: after === 490 ? undefined : after + 10, damage: [] };
    },
  };
  const scrubber = new Scrubber({
    clock: { monotonicMs: () => nowMs },
    state: { store },
    log: { closedSegments: [] },
  } as never);
  const pass = (ms: number, entriesPerTick: number): number => {
    const before = asked.length;
    for (const end = nowMs + ms; nowMs < end; nowMs += 50) {
      store.position.index += entriesPerTick;
      scrubber.tick();
    }
    return asked.length - before;
  };
  assert.equal(pass(1000, 0), 20);
  assert.equal(pass(9000, 100), 0);
  assert.equal(pass(10_000, 100), 1);
  assert.equal(pass(10_000, 1), 29, "the rest");
  assert.deepEqual(scrubber.progress, { rows: 500, segments: 0, walks: 1, damaged: 0 });
  assert.equal(pass(86_300_000, 1), 0);
  assert.equal(pass(100_000, 1), 50);
});

test("a copy can be lost where a majority of the voters has everything without it, one at a time", () => {
  const member = (id: string, more: object = {}) =>
    ({ id, name: id, role: "voter", silentMs: 100, caughtUp: true, ...more }) as RoleMember;
  const canLose = (...members: RoleMember[]): boolean => new CopyLosses().allow("a", members, 0);
  const [a, b, c] = [member("a"), member("b"), member("c")];
  assert.equal(canLose(a, b, c), true);
  assert.equal(canLose(a), false);
  assert.equal(canLose(a, b), false, "one of two votes is no majority");
  assert.equal(canLose(a, member("b", { role: "standby" })), false, "a standby elects nobody");
  assert.equal(canLose(member("a", { role: "standby" }), b), true);
  assert.equal(canLose(a, b, member("c", { silentMs: 1500 })), false);
  assert.equal(canLose(a, b, member("c", { caughtUp: false })), false);
  const losses = new CopyLosses();
  const five = [a, b, c, member("d"), member("e")];
  assert.equal(losses.allow("a", five, 1000), true);
  assert.equal(losses.allow("b", five, 20_000), false);
  assert.equal(losses.allow("a", five, 20_000), true, "it has not heard the answer");
  assert.equal(losses.allow("b", five, 90_000), true);
});

test("a damaged copy in whose place a snapshot has come is not given up", async () => {
  const timers: (() => void)[] = [];
  const given: string[] = [];
  let copy = {};
  const damaged = new DamagedCopy({
    clock: { setTimer: (_: number, callback: () => void) => timers.push(callback) } as never,
    logger: testLogger("copy"),
    mayLoseCopy: () => Promise.resolve(true),
    handOver: () => Promise.resolve(),
    isStopped: () => false,
    copy: () => copy,
    giveUp: ({ message }) => given.push(message),
  });
  damaged.found(new Error("first"));
  damaged.found(new Error("again"));
  assert.equal(timers.length, 1);
  copy = {};
  timers.shift()?.();
  await new Promise(setImmediate);
  assert.deepEqual([given.length, timers.length], [0, 0]);
  damaged.found(new Error("the new one too"));
  timers.shift()?.();
  await new Promise(setImmediate);
  assert.deepEqual(given, ["the new one too"]);
});

test("of two damaged copies one is given up at a time", async () => {
  const world = await worldOf("voter voter voter");
  world.kill(1);
  world.kill(2);
  for (const at of [1, 2]) world.machines[at]?.state.damage(flip);
  for (const at of [1, 2]) world.start(at);
  await world.run(600_000);
  assert.equal(world.machines.flatMap(({ fatal }) => fatal).length, 1);
});
