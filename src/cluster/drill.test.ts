/** The drill's safety check, and its measurement with real replicas, one of which is let crash. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { TestCluster, until } from "#replica/cluster.fixture.ts";
import type { DrillView } from "./drill.ts";
import { drillPrefix, drillRefusal, measureWrites, runDrillCall } from "./drill.ts";

function view(change: Partial<DrillView["members"][number]>[] = [], failuresToQuorumLoss = 1): DrillView {
  const members = ["n1", "n2", "n3"].map((name, at) => ({
    name,
    role: "voter",
    online: true,
    lagEntries: 0,
    isLeader: at === 0,
    ...change[at],
  }));
  return { members, failuresToQuorumLoss };
}

test("a cluster that would not survive the drill is refused, with the reason", () => {
  assert.equal(drillRefusal(view()), undefined);
  assert.match(drillRefusal(view([{ isLeader: false }])) ?? "", /no leader/);
  assert.match(drillRefusal(view([{}, {}, { role: "standby" }])) ?? "", /it has 2 voters/);
  assert.match(drillRefusal(view([{}, { online: false }])) ?? "", /not all voters are online: n2/);
  assert.match(drillRefusal(view([{}, {}, { lagEntries: 5000 }])) ?? "", /everything yet: n3/);
  assert.match(drillRefusal(view([], 0)) ?? "", /no node may fail/);
  assert.match(drillRefusal({ ...view(), external: {} }) ?? "", /the datastore is external/);
});

describe("an outage", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start(3);
  });
  after(() => cluster.close());

  const call = (at: number, name: string, body: object) =>
    runDrillCall(
      name,
      cluster.handle(at).backend,
      {
        status: () => cluster.handle(at).status(),
        outage: (durationMs) => cluster.handle(at).outage(durationMs),
        transferLeadership: () => cluster.handle(at).transferLeadership(),
        logError: (_, error) => assert.fail(String(error)),
      },
      body,
    );

  test("of a node that does not lead is refused", async () => {
    const leader = await cluster.leader();
    await assert.rejects(call((leader + 1) % 3, "outage", { durationMs: 1000 }), /another node leads/);
    await assert.rejects(call(leader, "outage", { durationMs: 1e9 }), /a drill takes from/);
    await assert.rejects(call(leader, "writes", { durationMs: 1e9 }), /a drill takes from/);
  });

  test("of the leader: the others write on soon, it refuses meanwhile and comes back with everything", async () => {
    const old = await cluster.leader();
    const { term } = await cluster.handle(old).status();
    const outageMs = 3000;
    const watchEnd = new Promise<Error | undefined>((resolve) => {
      cluster.handle(old).backend.watch({ key: "/a" }, { onEvents: () => undefined, onEnd: resolve });
    });
    const seen: boolean[] = [];
    const unsubscribe = cluster.handle(old).backend.onLeadership(({ leading }) => seen.push(leading));
    const measured = Promise.all(
      cluster.handles.map(({ backend }, at) =>
        measureWrites(backend, `${drillPrefix}${at}`, outageMs + 4000),
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    await call(old, "outage", { durationMs: outageMs });
    await assert.rejects(cluster.handle(old).backend.range({ key: "/a" }), {
      reason: "ServiceUnavailable",
    });
    assert.ok((await watchEnd) !== undefined, "its watches end with an error");
    const nodes = await measured;
    for (const [at, { longestGapMs, acknowledged, refused }] of nodes.entries()) {
      assert.ok(acknowledged > 50, `node${at} wrote ${acknowledged}`);
      if (at === old) assert.ok(longestGapMs >= outageMs && refused > 0, `${longestGapMs} ms`);
      else assert.ok(longestGapMs < outageMs, `node${at} waited for ${longestGapMs} ms`);
    }
    assert.deepEqual(seen.slice(0, 2), [true, false], "it is told that it leads no more");
    unsubscribe();
    const other = (old + 1) % 3;
    await until(async () => (await cluster.handle(other).status()).failuresToQuorumLoss === 1, "all voters");
    assert.ok((await cluster.handle(old).status()).term > term);
    // Nothing of the drill is left, on the node that was down either.
    const left = await cluster.handle(old).backend.range({ key: drillPrefix, end: `${drillPrefix}~` });
    assert.deepEqual(left.kvs, []);
  });

  test("graceful: leadership moves, and hardly any write waits", async () => {
    const old = await cluster.leader();
    const measured = Promise.all(
      cluster.handles.map(({ backend }, at) => measureWrites(backend, `${drillPrefix}${at}`, 2000)),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    await call(old, "outage", { graceful: true });
    assert.notEqual((await cluster.handle(old).status()).leaderId, cluster.handle(old).memberId);
    // Far below an election timeout (500 ms to 1 s), with room for a busy machine.
    for (const { longestGapMs } of await measured) assert.ok(longestGapMs < 450, `${longestGapMs} ms`);
  });

  test("is told to those who subscribed to the status", async () => {
    const leader = await cluster.leader();
    const other = (leader + 1) % 3;
    const told: string[] = [];
    const unsubscribe = cluster.handle(other).onStatus(({ leaderId, members }) => {
      told.push(`${leaderId === cluster.handle(leader).memberId} ${members.filter((m) => m.online).length}`);
    });
    assert.equal(told[0], "true 3");
    await cluster.handle(leader).outage(5000);
    await until(async () => told.at(-1)?.startsWith("false 3") === true, "news of the return");
    assert.ok(told.includes("false 2"), told.join(", "));
    unsubscribe();
  });
});
