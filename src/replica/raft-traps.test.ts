/** Traps of consensus that lie outside of the core: ids that must never be used twice. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualWorld } from "./manual-world.fixture.ts";
import { ReadRounds } from "./read-rounds.ts";

test("reads: each try has an id of its own, and a late answer to an earlier one is not taken (etcd#21399)", async () => {
  const world = new ManualWorld(3);
  const asked: string[] = [];
  const reads = new ReadRounds(
    world.clock,
    "life",
    () => true,
    (context) => asked.push(context),
  );
  let answered = false;
  void reads.read(5000).then(() => (answered = true));
  reads.begin();
  await world.run(400);
  reads.tick();
  assert.equal(asked.length, 2, "the first got no answer in time");
  assert.equal(new Set(asked).size, 2);
  reads.answered(asked[0] ?? "", 1, 1);
  await world.run(0);
  assert.equal(answered, false);
  reads.answered(asked[1] ?? "", 1, 1);
  await world.run(0);
  assert.equal(answered, true);
  const other = new ReadRounds(
    world.clock,
    "next life",
    () => true,
    (context) => asked.push(context),
  );
  void other.read(5000).catch(() => undefined);
  other.begin();
  assert.equal(new Set(asked).size, 3, "nor after a restart");
  other.close();
});

test("members: who is removed and joins again is another, whom nobody takes for the first", async () => {
  const world = new ManualWorld(9);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "a leader");
  const record = { name: "n", address: "n:1", apiAddress: "", failureDomain: "" };
  const seen = new Set<string>();
  for (let time = 0; time < 3; time++) {
    const grant = (await world.during(world.node(0).admin("addMember", record))) as {
      member: { id: string };
    };
    seen.add(grant.member.id);
    await world.during(world.node(0).admin("removeMember", grant.member.id));
  }
  assert.equal(seen.size, 3);
});
