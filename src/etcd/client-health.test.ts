/** Which members of an etcd are alive, with real ones; and what a failed connection is called. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EtcdConnection } from "./client-connection.ts";
import { failureReason, unreachableError } from "./client-errors.ts";
import { HealthWatch, failuresToQuorumLoss, versionRefusal } from "./client-health.ts";
import { RealEtcd, skipWithoutEtcd } from "./etcd-server.fixture.ts";

test("a member that is killed and comes back is seen as it is", { skip: skipWithoutEtcd }, async (t) => {
  const etcd = await RealEtcd.start();
  t.after(() => etcd.close());
  const connection = new EtcdConnection([etcd.endpoint], {});
  const watch = new HealthWatch(connection);
  t.after(() => {
    watch.close();
    connection.close();
  });
  await watch.start();
  assert.deepEqual(watch.health, { members: 1, alive: 1, led: true, failures: [] });
  assert.equal(failuresToQuorumLoss(watch.health), 0);
  await etcd.kill();
  await until(() => watch.health.alive === 0);
  assert.deepEqual(watch.health, {
    members: 1,
    alive: 0,
    led: false,
    failures: [`${etcd.endpoint}: connection refused`],
  });
  assert.equal(failuresToQuorumLoss(watch.health), -1);
  await etcd.run();
  await until(() => watch.health.led);
  assert.equal(watch.health.alive, 1);
});

test("how many members more may fail, as far as is known", () => {
  const failures: string[] = [];
  for (const [members, alive, led, expected] of [
    [3, 3, true, 1],
    [3, 2, true, 0],
    [5, 4, true, 1],
    [3, 1, false, -1],
    // Behind an address that leads to one of them the others can't be seen.
    [3, 1, true, 0],
    [0, 0, false, -1],
  ] as const)
    assert.equal(failuresToQuorumLoss({ members, alive, led, failures }), expected);
});

test("a version that lacks what is needed is refused in words", () => {
  assert.equal(versionRefusal("3.4.23"), undefined);
  assert.equal(versionRefusal("3.5.0"), undefined);
  assert.equal(versionRefusal("4.0.0"), undefined);
  assert.match(versionRefusal("3.3.27") ?? "", /etcd 3\.3\.27: 3\.4 or later is needed/);
  assert.match(versionRefusal("2.3.8") ?? "", /3\.4 or later/);
});

test("reasons say what to look at, one per reason", () => {
  const refused =
    "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:2379. Resolution note: ";
  assert.equal(failureReason(refused), "connection refused");
  assert.match(
    failureReason(
      "No connection established. Last error: 40:error:0A000412:SSL routines:ssl3_read_bytes:ssl/tls alert bad certificate:...",
    ),
    /does not take this node's certificate/,
  );
  assert.match(
    failureReason(
      "No connection established. Last error: Error: unable to verify the first certificate; if the root CA is installed locally",
    ),
    /--datastore-ca/,
  );
  assert.match(
    failureReason(
      "Last error: Error: Hostname/IP does not match certificate's altnames: IP: 10.0.0.9 is not in the cert's list: 10.0.0.1. Resolution note: ",
    ),
    /its address does not match certificate's altnames: IP: 10\.0\.0\.9 is not in the cert's list: 10\.0\.0\.1$/,
  );
  assert.equal(failureReason("something else. Resolution note: "), "something else.");
  const reasons = new Map([
    ["https://a:2379", "connection refused"],
    ["https://b:2379", "no answer"],
    ["https://c:2379", "connection refused"],
  ]);
  assert.equal(
    unreachableError(reasons, undefined).message,
    "the external datastore can't be reached: https://a:2379, https://c:2379: connection refused; https://b:2379: no answer",
  );
});

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > deadlineMs) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
