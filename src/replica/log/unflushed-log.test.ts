/** What a killed process had written to its log and not flushed, when the power goes after the next start. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualWorld } from "../manual-world.fixture.ts";

test("nothing is applied of which a power cut would leave the log without", async () => {
  const world = new ManualWorld(7);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "a leader");
  await world.join();
  await world.until(() => world.roles() === "voter standby", "a standby");
  await world.run(500);
  const standby = world.machines[1] ?? assert.fail();
  const applied = () => world.node(1).replica.store.position.index;
  const before = applied();

  standby.disk.held = [];
  for (let at = 0; at < 3; at++) {
    const put = { type: "put", key: `key${at}`, value: new Uint8Array(10) } as const;
    await world.during(world.node(0).replica.transact({ compare: [], success: [put], failure: [] }));
  }
  assert.equal(applied(), before, "its flushes have not ended");
  // The second start flushes the state as it finds it.
  for (let time = 0; time < 2; time++) {
    world.kill(1);
    world.start(1);
    await world.run(500);
  }
  world.kill(1);
  standby.disk.powerCut();
  standby.state.loseUnflushed();
  standby.disk.held = undefined;

  world.start(1);
  const leader = world.node(0).replica.store;
  await world.until(() => applied() === leader.position.index, "the standby to follow");
  assert.equal(world.node(1).replica.store.position.checksum, leader.position.checksum);
});
