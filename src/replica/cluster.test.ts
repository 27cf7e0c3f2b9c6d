/** Three and four real replicas on loopback: what survives what. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Backend } from "#base/backend.ts";
import { Recording } from "#base/backend-conformance.test-suite.ts";
import { StatusError } from "#base/errors.ts";
import { makePeerTls } from "./certificates.fixture.ts";
import { TestCluster, testLogger, until } from "./cluster.fixture.ts";
import { startReplica } from "./start-replica.ts";

const encoder = new TextEncoder();

async function put(backend: Backend, key: string, value = "x"): Promise<number> {
  const { revision } = await backend.transact({
    compare: [],
    success: [{ type: "put", key, value: encoder.encode(value) }],
    failure: [],
  });
  return revision;
}

/** Writes all the time and remembers what was acknowledged. */
class Writer {
  readonly acknowledged: string[] = [];
  longestGapMs = 0;
  readonly #stopped = new AbortController();
  readonly #ended: Promise<void>;

  constructor(backend: () => Backend, prefix: string) {
    this.#ended = this.#run(backend, prefix);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#ended;
  }

  async #run(backend: () => Backend, prefix: string): Promise<void> {
    let last = performance.now();
    for (let at = 0; !this.#stopped.signal.aborted; at++) {
      const key = `${prefix}${String(at).padStart(6, "0")}`;
      try {
        await put(backend(), key);
        this.acknowledged.push(key);
        this.longestGapMs = Math.max(this.longestGapMs, performance.now() - last);
        last = performance.now();
      } catch (error) {
        assert.ok(error instanceof StatusError, String(error));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }
}

async function checkAll(backend: Backend, prefix: string, acknowledged: string[]): Promise<void> {
  const { kvs } = await backend.range({ key: prefix, end: `${prefix}~`, keysOnly: true });
  const found = new Set(kvs.map((kv) => kv.key));
  assert.deepEqual(
    acknowledged.filter((key) => !found.has(key)),
    [],
    "every acknowledged write is there",
  );
}

describe("three replicas", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start(3);
  });
  after(async () => {
    await cluster.close();
  });

  test("status tells who leads, who votes, and what may fail", async () => {
    await cluster.until(
      ({ members, failuresToQuorumLoss, highlyAvailable }) =>
        members.every((member) => member.role === "voter" && member.online) &&
        failuresToQuorumLoss === 1 &&
        highlyAvailable,
      [1],
    );
    const status = await cluster.handle(1).status();
    assert.ok(status.decisions.length >= 3);
  });

  test("a write on one node is read on every other at once", async () => {
    for (let at = 0; at < 3; at++) {
      const revision = await put(cluster.handle(at).backend, "/everywhere", String(at));
      for (const { backend } of cluster.handles) {
        assert.equal((await backend.range({ key: "/everywhere" })).kvs[0]?.modRevision, revision);
      }
    }
  });

  test("the leader hands over when it stops; writers hardly notice; it comes back", async () => {
    const leader = await cluster.leader();
    const other = (leader + 1) % 3;
    const writer = new Writer(() => cluster.handle(other).backend, "/handover/");
    await until(async () => writer.acknowledged.length > 20, "some writes");
    await cluster.handle(leader).stop();
    const count = writer.acknowledged.length;
    await until(async () => writer.acknowledged.length > count + 20, "writes after the handover");
    await writer.stop();
    assert.ok(writer.longestGapMs < 1000, `a gap of ${writer.longestGapMs} ms`);
    await checkAll(cluster.handle(other).backend, "/handover/", writer.acknowledged);
    await cluster.restart(leader);
    await cluster.until((status) => status.failuresToQuorumLoss === 1, [other]);
  });

  test("the leader is killed: writes go on without an error to the writer, watches lose nothing", async () => {
    const leader = await cluster.leader();
    const other = (leader + 1) % 3;
    const { backend } = cluster.handle(other);
    const watch = new Recording(backend, "/kill/");
    await watch.started();
    const writer = new Writer(() => backend, "/kill/");
    await until(async () => writer.acknowledged.length > 20, "some writes");
    await cluster.handle(leader).kill();
    const count = writer.acknowledged.length;
    await until(async () => writer.acknowledged.length > count + 20, "writes after the kill");
    await writer.stop();
    assert.ok(writer.longestGapMs < 3000, `a gap of ${writer.longestGapMs} ms`);
    await checkAll(backend, "/kill/", writer.acknowledged);
    const { revision } = await backend.range({ key: "/kill/" });
    await watch.upTo(revision);
    const seen = new Set(watch.events.map((event) => event.kv.key));
    assert.deepEqual(
      writer.acknowledged.filter((key) => !seen.has(key)),
      [],
    );
    watch.cancel();
    await cluster.restart(leader);
    await checkAll(cluster.handle(leader).backend, "/kill/", writer.acknowledged);
  });

  test("all are killed at once and come back with everything", async () => {
    const { backend } = cluster.handle(0);
    await Promise.all(Array.from({ length: 50 }, (_, at) => put(backend, `/all/${at}`)));
    await Promise.all(cluster.handles.map((handle) => handle.kill()));
    await Promise.all([0, 1, 2].map((at) => cluster.restart(at)));
    await cluster.leader();
    for (const { backend: each } of cluster.handles) {
      assert.equal((await each.range({ key: "/all/", end: "/all0", countOnly: true })).count, 50);
    }
  });

  test("without a majority: writes and linearizable reads are refused, serializable reads answered", async () => {
    const leader = await cluster.leader();
    await Promise.all([1, 2].map((step) => cluster.handle((leader + step) % 3).kill()));
    const { backend } = cluster.handle(leader);
    await cluster.until((status) => !status.ready && status.failuresToQuorumLoss === -1, [leader]);
    await until(async () => {
      const error = await put(backend, "/minority").then(
        () => undefined,
        (reason: unknown) => reason,
      );
      return (
        error instanceof StatusError &&
        error.reason === "ServiceUnavailable" &&
        /no leader/.test(error.message)
      );
    }, "a clear refusal");
    const { count } = await backend.range({
      key: "/all/",
      end: "/all0",
      countOnly: true,
      serializable: true,
    });
    assert.equal(count, 50);
    await Promise.all([1, 2].map((step) => cluster.restart((leader + step) % 3)));
    await cluster.leader();
    await put(backend, "/majority");
  });

  test("a name that is taken is refused; a removed member is gone for good", async () => {
    const taken = cluster
      .handle(1)
      .addMember({ name: "node0", address: "127.0.0.1:1", apiAddress: "", failureDomain: "" });
    await assert.rejects(taken, /a member named "node0" exists already/);
    const joined = await cluster.join();
    await cluster.handle(1).removeMember(joined.memberId);
    await cluster.handle(1).removeMember(joined.memberId);
    await joined.kill();
    cluster.handles.pop();
    await cluster.until((status) => status.members.length === 3);
    const again = cluster.handle(0).addMember({
      id: joined.memberId,
      name: "again",
      address: "127.0.0.1:1",
      apiAddress: "",
      failureDomain: "",
    });
    await assert.rejects(again, /was removed/);
  });

  test("a busy main thread causes no election", async () => {
    const { term } = await cluster.handle(0).status();
    // The replicas' threads go on meanwhile: six election timeouts.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000);
    await put(cluster.handle(0).backend, "/busy");
    assert.equal((await cluster.handle(0).status()).term, term);
  });
});

describe("four replicas", () => {
  test("the standby takes the place of a voter that is gone, which comes back as standby", async () => {
    const cluster = await TestCluster.start(4, { targets: { unresponsiveMs: 2000 } });
    const roles = async (at: number) => {
      const { members } = await cluster.handle(at).status();
      return Object.fromEntries(members.map(({ name, role }) => [name, role]));
    };
    try {
      const leader = await cluster.leader();
      await until(async () => Object.values(await roles(leader)).includes("standby"), "the standby");
      const before = await roles(leader);
      assert.deepEqual(Object.values(before).toSorted(), ["standby", "voter", "voter", "voter"]);
      const standby = cluster.handles.findIndex((_, at) => before[`node${at}`] === "standby");
      const victim = cluster.handles.findIndex((_, at) => before[`node${at}`] === "voter" && at !== leader);
      await cluster.handle(victim).kill();
      await until(async () => (await roles(leader))[`node${standby}`] === "voter", "the promotion");
      assert.equal((await roles(leader))[`node${victim}`], "standby");
      await cluster.until(
        ({ decisions }) => decisions.some(({ text }) => text.includes(`in place of node${victim}`)),
        [leader],
      );
      await put(cluster.handle(standby).backend, "/after");
      await cluster.restart(victim);
      await until(async () => {
        const { members } = await cluster.handle(leader).status();
        const back = members.find((member) => member.name === `node${victim}`);
        return back?.online === true && back.lagEntries === 0 && back.role === "standby";
      }, "the victim to be back");
    } finally {
      await cluster.close();
    }
  });
});

describe("spares", () => {
  test("a spare holds nothing and serves everything", async () => {
    const cluster = await TestCluster.start(3, { targets: { standbys: 0 } });
    try {
      const spare = await cluster.join();
      await until(async () => (await spare.status()).members.at(-1)?.online === true, "the spare to be seen");
      assert.equal((await spare.status()).members.find((m) => m.id === spare.memberId)?.role, "spare");
      const watch = new Recording(spare.backend, "/spare/");
      await watch.started();
      const revision = await put(spare.backend, "/spare/a", "1");
      assert.equal(
        (await cluster.handle(0).backend.range({ key: "/spare/a" })).kvs[0]?.modRevision,
        revision,
      );
      assert.equal((await spare.backend.range({ key: "/spare/a" })).kvs[0]?.modRevision, revision);
      await watch.upTo(revision);
      assert.equal(watch.events.length, 1);
      // Whoever helps it: when he is gone, its watch says so and the next call finds another helper.
      const leader = await cluster.leader();
      await cluster.handle(leader).kill();
      await watch.until(() => watch.ended, "the end of the watch");
      assert.ok(watch.error !== undefined);
      await until(
        async () =>
          put(spare.backend, "/spare/b").then(
            () => true,
            () => false,
          ),
        "a write by another helper",
      );
    } finally {
      await cluster.close();
    }
  });
});

test("a node with a certificate of another authority is not let in", async () => {
  const cluster = await TestCluster.start(1);
  const stranger = await makePeerTls();
  try {
    const grant = await cluster.handle(0).addMember({
      name: "stranger",
      address: "127.0.0.1:1",
      apiAddress: "",
      failureDomain: "",
    });
    const handle = await startReplica({
      dataDir: cluster.dataDir(9),
      listen: { host: "127.0.0.1", port: 0 },
      tls: { ...stranger },
      logger: testLogger("stranger"),
      mode: { type: "join", grant },
    });
    await assert.rejects(handle.backend.range({ key: "/a" }), /lost|no leader|timed out/);
    await handle.kill();
  } finally {
    await cluster.close();
  }
});
