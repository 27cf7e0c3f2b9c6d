/** A bit that flips within a value of the state: the replica stops when the value is read, and gets a new copy. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { TestCluster, until } from "../cluster.fixture.ts";

test("a damaged value is never served, and its replica comes back with another copy", async () => {
  const cluster = await TestCluster.start(3);
  try {
    const value = Buffer.from("whole");
    await cluster.handle(0).backend.transact({
      compare: [],
      success: [{ type: "put", key: "/k", value }],
      failure: [],
    });
    const victim = ((await cluster.leader()) + 1) % 3;
    const { memberId: old } = cluster.handle(victim);
    const read = async () =>
      (await cluster.handle(victim).backend.range({ key: "/k", serializable: true })).kvs[0];
    const whole = async () => Buffer.from((await read().catch(() => undefined))?.value ?? []).equals(value);
    await until(whole, "the value");
    await cluster.handle(victim).stop();
    const database = new DatabaseSync(join(cluster.dataDir(victim), "state.db"));
    database.prepare("UPDATE history SET value = ? WHERE key = '/k'").run(Buffer.from("whale"));
    database.close();
    await cluster.restart(victim);
    const found = async () =>
      /^trivet_replica_scrub_damage_total 1$/m.test(await cluster.handle(victim).metrics());
    await until(found, "the walk through the state to find it");
    await assert.rejects(read());
    await until(() => Promise.resolve(existsSync(join(cluster.dataDir(victim), "damage.txt"))), "the mark");
    await cluster.handle(victim).kill();
    await cluster.restart(victim);
    assert.notEqual(cluster.handle(victim).memberId, old);
    await until(whole, "a new copy");
  } finally {
    await cluster.close();
  }
});
