/** Bounds of what waits in a replica: too many proposals or readers, or one that is too large, are told so at once. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Transaction } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { ManualWorld } from "./manual-world.fixture.ts";

const put = (key: string, bytes: number): Transaction => ({
  compare: [],
  success: [{ type: "put", key, value: new Uint8Array(bytes) }],
  failure: [],
});

async function lone(): Promise<ManualWorld> {
  const world = new ManualWorld(5);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the leader");
  return world;
}

/** The errors of those that are refused. */
async function refusals(world: ManualWorld, calls: Promise<unknown>[]): Promise<StatusError[]> {
  const results = await world.during(Promise.allSettled(calls));
  return results.flatMap((result) => (result.status === "rejected" ? [result.reason as StatusError] : []));
}

test("a value beyond etcd's limit is refused in etcd's words; one just below is stored", async () => {
  const world = await lone();
  const { backend } = world.node(0);
  await assert.rejects(world.during(backend.transact(put("/large", 1_572_864))), (error) => {
    assert.ok(error instanceof StatusError && error.reason === "RequestEntityTooLarge");
    assert.equal(error.message, "etcdserver: request is too large");
    return true;
  });
  await world.during(backend.transact(put("/fits", 1_572_000)));
  assert.equal((await world.during(backend.range({ key: "/fits" }))).kvs[0]?.value.length, 1_572_000);
});

test("proposals beyond the bound are refused with a time to try again; the others are carried out", async () => {
  const world = await lone();
  const { backend } = world.node(0);
  const calls = Array.from({ length: 9000 }, (_, at) => backend.transact(put(`/k${at}`, 10)));
  const refused = await refusals(world, calls);
  assert.equal(refused.length, 9000 - 8192);
  for (const { reason, details } of refused) {
    assert.equal(reason, "TooManyRequests");
    assert.equal(details?.retryAfterSeconds, 1);
  }
  const { count } = await world.during(backend.range({ key: "/k", end: "/l", countOnly: true }));
  assert.equal(count, 8192);
  await world.during(backend.transact(put("/after", 10)));
});

test("proposals are bounded in bytes too", async () => {
  const world = await lone();
  const { backend } = world.node(0);
  const calls = Array.from({ length: 80 }, (_, at) => backend.transact(put(`/b${at}`, 1 << 20)));
  const refused = await refusals(world, calls);
  assert.ok(refused.length >= 14 && refused.length <= 16, `${refused.length} refused`);
  assert.ok(refused.every(({ reason }) => reason === "TooManyRequests"));
});

test("readers beyond the bound are refused; the others read", async () => {
  const world = await lone();
  const { backend } = world.node(0);
  const calls = Array.from({ length: 17_000 }, () => backend.range({ key: "/a" }));
  const refused = await refusals(world, calls);
  assert.equal(refused.length, 17_000 - 16_384);
  assert.ok(refused.every(({ reason }) => reason === "TooManyRequests"));
});
