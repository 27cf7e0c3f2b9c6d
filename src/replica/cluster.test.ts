/** Three real replicas on loopback, each with its thread: what survives what. Roles and faults of the network are in replica-node.test.ts. */

import assert from "node:assert/strict";
import { readdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Backend } from "#base/backend.ts";
import { Recording } from "#base/backend-conformance.test-suite.ts";
import { StatusError } from "#base/errors.ts";
import { makePeerTls } from "./peers/certificates.fixture.ts";
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

test("a replica whose log was damaged comes back by itself, as a new member with a new copy", async () => {
  const cluster = await TestCluster.start(3);
  try {
    await put(cluster.handle(0).backend, "/before");
    await cluster.lead(1);
    const { memberId: old } = cluster.handle(0);
    await cluster.handle(0).kill();
    const log = join(cluster.dataDir(0), "log");
    for (const name of readdirSync(log)) truncateSync(join(log, name), 0);
    await put(cluster.handle(1).backend, "/meanwhile");

    const handle = await cluster.restart(0);
    assert.notEqual(handle.memberId, old);
    await cluster.until(
      ({ members }) =>
        members.length === 3 &&
        members.every(({ role, id }) => role === "voter" && id !== old) &&
        members.some(({ id }) => id === handle.memberId),
      [1],
    );
    await until(async () => (await handle.status()).ready, "the new copy");
    const { kvs } = await handle.backend.range({ key: "/", end: "0", keysOnly: true });
    assert.deepEqual(
      kvs.map(({ key }) => key),
      ["/before", "/meanwhile"],
    );
  } finally {
    await cluster.close();
  }
});
