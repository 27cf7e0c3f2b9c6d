/** A node whose copy was lost takes its own place again, under a new id. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualWorld } from "../manual-world.fixture.ts";

test("a node that is damaged twice is taken back, though it knows only its first self", async () => {
  const world = new ManualWorld(3);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the first leader");
  await world.join();
  await world.join();
  const leader = world.node(0);
  await world.until(() => leader.replica.confState.voters.length === 3, "three voters");
  const old = leader.view.cluster().members[2];
  assert.ok(old !== undefined);
  world.kill(2);
  for (const id of ["00000000000000aa", "00000000000000bb"]) {
    await world.during(leader.admin("replaceMember", old.id, { ...old, id }));
    const { members } = leader.view.cluster();
    const namesakes: string[] = members
      .filter((member) => member.name === old.name)
      .map((member) => member.id);
    assert.deepEqual(namesakes, [id]);
  }
});
