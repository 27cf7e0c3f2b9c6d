/** The rule of formats: a newer release joins an older cluster, the format rises when all know it, and never goes back. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { Transaction } from "#base/backend.ts";
import { FatalError } from "#base/errors.ts";
import { commonFormat, supportedFormats } from "#store/format.ts";
import { TestCluster } from "../cluster.fixture.ts";
import { decodeSegmentHeader } from "../log/log-record.ts";
import { ManualWorld } from "../manual-world.fixture.ts";
import type { ReplicaConfig } from "../replica-config.ts";

const { max } = supportedFormats;
const old = { formats: { min: 1, max } };
const next = { formats: { min: 1, max: max + 1 } };
/** A release that has given up the old format. */
const later = { formats: { min: max + 1, max: max + 2 } };

const put = (key: string): Transaction => ({
  compare: [],
  success: [{ type: "put", key, value: new Uint8Array(10) }],
  failure: [],
});

/** Of the newest segment. */
function logFormat(world: ManualWorld, at: number): number | undefined {
  const files: ReadonlyMap<string, { bytes: Buffer }> = world.machines[at]?.disk.files ?? new Map();
  const newest = [...files.keys()]
    .filter((name) => name.startsWith("log-"))
    .toSorted()
    .at(-1);
  return decodeSegmentHeader(files.get(newest ?? "")?.bytes ?? new Uint8Array(0))?.format;
}

function restart(world: ManualWorld, at: number, config: Partial<ReplicaConfig>): void {
  Object.assign(world.machines[at] ?? {}, { config });
  world.start(at);
}

const write = (world: ManualWorld, key: string) =>
  world.during(world.node(world.leader()).backend.transact(put(key)));

test("a node of the next release joins a cluster of this one; the format rises once all are of the next", async () => {
  const world = new ManualWorld(11, { config: { memberId: "", ...old } });
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the leader");
  await world.join();
  await world.join({}, next);
  await world.until(() => world.roles() === "voter voter voter", "three voters");
  const { replica } = world.node(2);
  await world.until(() => {
    if (world.leader() >= 0 && world.leader() !== 2)
      world.node(world.leader()).replica.transferLeadership(replica.id);
    return world.leader() === 2;
  }, "the new node to lead");
  await write(world, "/mixed");
  await world.run(20_000);
  await write(world, "/still-mixed");
  assert.equal(logFormat(world, 2), max, "its log can still be read by the old release");

  for (const at of [0, 1]) {
    world.kill(at);
    restart(world, at, next);
    await world.until(() => world.leader() >= 0, "a leader");
  }
  await world.until(() => replica.store.note("format") === String(max + 1), "the next format");
  await write(world, "/new");
  await world.until(
    () => [0, 1, 2].every((at) => logFormat(world, at) === max + 1),
    "logs of the next format",
  );

  const victim = (world.leader() + 1) % 3;
  world.kill(victim);
  assert.throws(
    () => restart(world, victim, old),
    (error) => {
      assert.ok(error instanceof FatalError && error.kind === "unsupported", String(error));
      assert.match(error.message, /format 3, and this release reads 1 to 2: start a newer release/);
      return true;
    },
  );
  restart(world, victim, next);
  const { count } = await world.during(
    world.node(victim).backend.range({ key: "/", end: "0", countOnly: true }),
  );
  assert.equal(count, 3, "nothing is lost");
});

test("leases, which a release before them can't read, are refused until all nodes are upgraded", async () => {
  const before = { formats: { min: 1, max: 1 } };
  const world = new ManualWorld(12, { config: { memberId: "", ...before } });
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the leader");
  await world.join({}, { formats: supportedFormats });
  await world.join();
  await world.until(() => world.roles() === "voter voter voter", "three voters");
  const refused = /not capable: this needs format 2 .* not every node has been upgraded/;
  const grant = (at: number) => world.during(world.node(at).backend.leases.grant("7", 60));
  await assert.rejects(grant(1), refused);
  await world.during(world.node(1).replica.transact(put("/other-writes")));
  for (const at of [0, 2]) {
    await assert.rejects(grant(1), refused);
    world.kill(at);
    restart(world, at, { formats: supportedFormats });
    await world.until(() => world.leader() >= 0, "a leader");
  }
  await world.until(() => world.node(1).replica.store.note("format") === "2", "the format of leases");
  assert.equal((await grant(1)).id, "7");
  await world.during(world.node(2).backend.leases.revoke("7"));
});

test("a node of an older release can't join a cluster that has gone on, and says why", async () => {
  const world = new ManualWorld(3, { config: { memberId: "", ...next } });
  world.bootstrap();
  assert.equal(
    world.node(0).replica.store.note("format"),
    String(max + 1),
    "nobody else is to be waited for",
  );
  await world.until(() => world.leader() === 0, "the leader");
  await world.join({}, old);
  await world.until(() => (world.machines[1]?.fatal.length ?? 0) > 0, "the refusal");
  const error = world.machines[1]?.fatal[0];
  assert.ok(error instanceof FatalError && error.kind === "unsupported");
  assert.match(error.message, /the cluster's datastore has format 3/);
});

test("releases with no format in common don't speak with each other", () => {
  assert.equal(commonFormat(old.formats, next.formats), max);
  assert.equal(commonFormat(later.formats, next.formats), max + 1);
  assert.equal(commonFormat(old.formats, later.formats), undefined);
});

test("a state of a later layout is refused, and left as it is", async () => {
  const cluster = await TestCluster.start(1);
  try {
    await cluster.handle(0).stop();
    const path = join(cluster.dataDir(0), "state.db");
    const database = new DatabaseSync(path);
    database.exec(`PRAGMA user_version = ${max + 1}`);
    database.close();
    await assert.rejects(cluster.restart(0), (error) => {
      assert.ok(error instanceof FatalError && error.kind === "unsupported", String(error));
      return true;
    });
    const again = new DatabaseSync(path);
    assert.deepEqual({ ...again.prepare("PRAGMA user_version").get() }, { user_version: max + 1 });
    again.close();
  } finally {
    await cluster.close();
  }
});
