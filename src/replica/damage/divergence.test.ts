/** A replica whose state is not what the log makes of it: it stops, says so, and comes back with another copy. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { TestCluster, until } from "../cluster.fixture.ts";

const put = (key: string) => ({
  compare: [],
  success: [{ type: "put" as const, key, value: Buffer.from("x") }],
  failure: [],
});

test("a state that was altered is noticed by its checksum, and got anew at the next start", async () => {
  const cluster = await TestCluster.start(3);
  try {
    await cluster.handle(0).backend.transact(put("/before"));
    const altered = ((await cluster.leader()) + 1) % 3;
    const other = (altered + 1) % 3;
    const formerId = cluster.handle(altered).memberId;
    await cluster.handle(altered).stop();
    const state = new DatabaseSync(join(cluster.dataDir(altered), "state.db"));
    const { value } = state.prepare("SELECT value FROM meta WHERE name = 'position'").get() as {
      value: string;
    };
    const position = JSON.parse(value) as { checksum: number };
    const changed = JSON.stringify({ ...position, checksum: (position.checksum ^ 1) >>> 0 });
    state.prepare("UPDATE meta SET value = ? WHERE name = 'position'").run(changed);
    state.close();

    const fatal: Error[] = [];
    await cluster.restart(altered, { onFatal: (error) => fatal.push(error) });
    await until(async () => fatal.length > 0, "the end of the altered replica");
    assert.match(fatal[0]?.message ?? "", /differs from the leader's at index \d+/);
    const mark = join(cluster.dataDir(altered), "damage.txt");
    assert.match(readFileSync(mark, "utf8"), /differs from the leader's/);
    await cluster.handle(other).backend.transact(put("/without-it"));

    // Its process would end now.
    await cluster.handle(altered).kill();
    const again = await cluster.restart(altered);
    assert.notEqual(again.memberId, formerId, "what it had voted for is not known any more");
    await cluster.until(
      ({ members }) =>
        members.filter(({ role, online }) => role === "voter" && online).length === 3 &&
        members.some(({ id }) => id === again.memberId),
      [other],
    );
    await until(async () => (await again.status()).ready, "the new copy to serve");
    const { kvs } = await again.backend.range({ key: "/", end: "0" });
    assert.deepEqual(
      kvs.map(({ key }) => key),
      ["/before", "/without-it"],
    );
    assert.ok(!existsSync(mark));
    assert.ok(existsSync(join(cluster.dataDir(altered), "damaged", "state.db")), "the copy is laid aside");
  } finally {
    await cluster.close();
  }
});
