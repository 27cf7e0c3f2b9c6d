/** Backups, and what becomes of a cluster that has lost its majority: real replicas on loopback. */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Backend } from "#base/backend.ts";
import { Recording } from "#base/backend-conformance.test-suite.ts";
import { StatusError } from "#base/errors.ts";
import { writeBackup } from "./backup-file.ts";
import { TestCluster, testLogger, until } from "../cluster.fixture.ts";
import { restoreReplica } from "./restore.ts";
import { recoverIfAsked, requestRecovery, surveyDirectory } from "./recover.ts";
import type { ReplicaHandle, ReplicaSurvey } from "../types.ts";

async function put(backend: Backend, key: string, value = "x"): Promise<number> {
  const { revision } = await backend.transact({
    compare: [],
    success: [{ type: "put", key, value: Buffer.from(value) }],
    failure: [],
  });
  return revision;
}

async function keys(backend: Backend): Promise<string[]> {
  return (await backend.range({ key: "/", end: "0" })).kvs.map(({ key }) => key);
}

/** While a node changes sides it refuses reads: not there yet. */
async function keysOnceServed(backend: Backend): Promise<string> {
  try {
    return (await keys(backend)).join();
  } catch (error) {
    if (error instanceof StatusError) return error.message;
    throw error;
  }
}

async function backupOf(handle: ReplicaHandle, unconfirmed = false): Promise<Buffer> {
  const { info, chunks } = await handle.backup(unconfirmed);
  const header = { ...info, trivet: "test", node: "test", timeMs: Date.now(), settings: {} };
  const pieces: Uint8Array[] = [];
  for await (const piece of writeBackup(header, { secret: 1 }, chunks)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function* one<T>(item: T): AsyncGenerator<T> {
  yield item;
}

const member = { name: "node0", address: "127.0.0.1:1", apiAddress: "", failureDomain: "", witness: false };
const restoring = { member, takeOver: false, nowMs: 0 };

/** The survivor whose log is the newest, as `trivet recover` chooses it. */
async function newest(cluster: TestCluster, alive: number[]): Promise<{ at: number; term: number }> {
  const surveys: [number, ReplicaSurvey][] = [];
  for (const at of alive) surveys.push([at, await cluster.handle(at).survey()]);
  const [first] = surveys.toSorted(([, a], [, b]) => b.lastTerm - a.lastTerm || b.lastIndex - a.lastIndex);
  assert.ok(first !== undefined);
  return { at: first[0], term: Math.max(...surveys.map(([, { term }]) => term)) + 1 };
}

async function recover(cluster: TestCluster, alive: number[], lost: number[]): Promise<number> {
  const { at, term } = await newest(cluster, alive);
  await cluster.handle(at).recover({ term, lost: lost.map((each) => `node${each}`) });
  await until(async () => (await cluster.handle(at).status()).ready, "the survivor to lead");
  return at;
}

test("a backup is consistent while writes go on, from any node, and while one is down", async () => {
  const cluster = await TestCluster.start(3);
  try {
    const leader = await cluster.leader();
    const other = (leader + 1) % 3;
    const down = (leader + 2) % 3;
    await cluster.handle(down).stop();
    for (let at = 0; at < 50; at++) await put(cluster.handle(leader).backend, `/k${at}`, "x".repeat(20_000));
    let writing = true;
    const writer = (async () => {
      // Both keys are written in one transaction: they are equal at every revision.
      for (let at = 0; writing; at++) {
        const value = Buffer.from(String(at));
        await cluster.handle(leader).backend.transact({
          compare: [],
          success: [
            { type: "put", key: "/one", value },
            { type: "put", key: "/two", value },
          ],
          failure: [],
        });
      }
    })();
    await until(async () => (await keys(cluster.handle(leader).backend)).includes("/two"), "the first write");
    const acknowledged = await put(cluster.handle(leader).backend, "/acknowledged");
    const bytes = await backupOf(cluster.handle(other));
    writing = false;
    await writer;
    const directory = join(cluster.directory, "restored");
    const restored = await restoreReplica(directory, one(bytes), restoring);
    assert.ok(restored.content >= acknowledged, "what was acknowledged before is in it");
    assert.deepEqual(restored.secrets, { secret: 1 });
    const lone = await cluster.open(directory, "node0");
    try {
      await until(async () => (await lone.status()).ready, "the restored replica to lead");
      assert.notEqual(lone.clusterId, cluster.handle(leader).clusterId);
      const { kvs } = await lone.backend.range({ key: "/one", end: "/twp" });
      assert.equal(String(kvs[0]?.value), String(kvs[1]?.value));
      assert.equal((await keys(lone.backend)).length, 53);
      await assert.rejects(
        lone.backend.range({ key: "/one", revision: restored.content }),
        (error: unknown) => error instanceof StatusError && error.reason === "Expired",
      );
      const watch = new Recording(lone.backend, "/one", restored.content + 1);
      await until(async () => watch.ended, "the end of a watch from before the restore");
      assert.match(String(watch.error?.message), /compacted/);
      assert.ok((await put(lone.backend, "/new")) > restored.revision);
    } finally {
      await lone.stop();
    }
  } finally {
    await cluster.close();
  }
});

test("a spare passes a backup on from a member that has a copy", async () => {
  const cluster = await TestCluster.start(3, { targets: { voters: 3, standbys: 0 } });
  try {
    const spare = await cluster.join();
    await put(cluster.handle(0).backend, "/here", "x".repeat(600_000));
    await until(
      async () => (await spare.status()).members.find(({ id }) => id === spare.memberId)?.role === "spare",
      "a spare",
    );
    const directory = join(cluster.directory, "from-spare");
    const restored = await restoreReplica(directory, one(await backupOf(spare)), restoring);
    assert.equal(restored.header.members.length, 4);
  } finally {
    await cluster.close();
  }
});

test("a backup that is cut or changed restores nothing", async () => {
  const cluster = await TestCluster.start(1);
  try {
    await put(cluster.handle(0).backend, "/k", "x".repeat(300_000));
    const bytes = await backupOf(cluster.handle(0));
    const directory = join(cluster.directory, "refused");
    const changed = Buffer.from(bytes);
    changed[100_000] = 1;
    for (const bad of [bytes.subarray(0, 200_000), bytes.subarray(0, -1), changed]) {
      await assert.rejects(restoreReplica(directory, one(bad), restoring), /the backup can't be used/);
      assert.equal(existsSync(directory), false);
    }
    await assert.rejects(
      restoreReplica(directory, one(bytes), { ...restoring, at: { revision: 1_000_000 } }),
      /history does not reach/,
    );
    assert.equal(existsSync(directory), false);
  } finally {
    await cluster.close();
  }
});

test("two of three are lost: the survivor goes on, and the lost come back as its standbys and vote again", async () => {
  const cluster = await TestCluster.start(3);
  try {
    await put(cluster.handle(0).backend, "/before");
    const survivor = ((await cluster.leader()) + 1) % 3;
    const lost = [0, 1, 2].filter((at) => at !== survivor);
    await assert.rejects(cluster.handle(survivor).recover({ term: 99, lost: [] }), /nothing to recover/);
    const former = cluster.handle(survivor).clusterId;
    const watch = new Recording(cluster.handle(survivor).backend, "/");
    for (const at of lost) await cluster.handle(at).kill();
    await until(async () => !(await cluster.handle(survivor).status()).ready, "the loss to show", 30_000);
    await recover(cluster, [survivor], lost);
    await until(async () => watch.ended, "the end of a watch of the old cluster");
    const after = await put(cluster.handle(survivor).backend, "/after");
    assert.ok(after > 1_000_000_000, `revisions were skipped: ${after}`);
    // The lost come back together: they are a majority of the old configuration.
    const returned = await Promise.all(lost.map((at) => cluster.restart(at)));
    for (const handle of returned) assert.notEqual(handle.clusterId, former);
    await cluster.until(
      (status) => status.members.filter(({ role }) => role === "voter").length === 3,
      [survivor],
    );
    for (const at of [0, 1, 2]) {
      await until(
        async () => (await keysOnceServed(cluster.handle(at).backend)).split(",").length === 2,
        `the copy of node${at}`,
      );
    }
    await put(cluster.handle(lost[0] as number).backend, "/together");
    // Nothing was deleted.
    for (const at of lost)
      assert.ok(readdirSync(join(cluster.dataDir(at), `superseded-${former}`)).includes("state.db"));
    const { decisions } = await cluster.handle(survivor).status();
    assert.ok(decisions.some(({ reason, text }) => reason === "Recovered" && /goes on alone/.test(text)));
    // And the recovered cluster survives what any cluster does.
    const leader = await cluster.leader();
    await cluster.handle(leader).kill();
    await put(cluster.handle((leader + 1) % 3).backend, "/survives");
    await cluster.restart(leader);
  } finally {
    await cluster.close();
  }
});

test("three of five are lost: the newest survivor goes on, the other one follows while it runs", async () => {
  const cluster = await TestCluster.start(5, { targets: { voters: 5, standbys: 3 } });
  try {
    await cluster.until(({ members }) => members.filter(({ role }) => role === "voter").length === 5);
    const leader = await cluster.leader();
    const [behind = 0, ahead = 0, ...rest] = [0, 1, 2, 3, 4].filter((at) => at !== leader);
    const lost = [leader, ...rest];
    await cluster.handle(behind).kill();
    for (let at = 0; at < 20; at++) await put(cluster.handle(ahead).backend, `/k${at}`);
    for (const at of lost) await cluster.handle(at).kill();
    await cluster.restart(behind);
    await until(async () => !(await cluster.handle(ahead).status()).ready, "the loss to show", 30_000);
    const went = await recover(cluster, [behind, ahead], lost);
    assert.equal(went, ahead, "the one that has more goes on");
    await until(
      async () => cluster.handle(behind).clusterId === cluster.handle(ahead).clusterId,
      "the other survivor to follow",
    );
    await until(
      async () => (await keysOnceServed(cluster.handle(behind).backend)).split(",").length === 20,
      "its copy",
    );
    await Promise.all(lost.map((at) => cluster.restart(at)));
    await cluster.until(
      ({ members }) => members.filter(({ role }) => role === "voter").length === 5,
      [ahead],
    );
    await put(cluster.handle(leader).backend, "/all");
  } finally {
    await cluster.close();
  }
});

test("a stopped survivor recovers at its next start, once", async () => {
  const cluster = await TestCluster.start(3);
  try {
    for (let at = 0; at < 10; at++) await put(cluster.handle(1).backend, `/k${at}`);
    for (const at of [0, 1, 2]) await cluster.handle(at).kill();
    const survey = surveyDirectory(cluster.dataDir(1));
    assert.equal(survey?.voters.length, 3);
    assert.equal(survey.lastIndex > 10, true);
    const { clusterId } = requestRecovery(cluster.dataDir(1), {
      term: survey.term + 1,
      timeMs: 0,
      lost: ["node0", "node2"],
    });
    await cluster.restart(1);
    assert.equal(cluster.handle(1).clusterId, clusterId);
    await until(async () => (await cluster.handle(1).status()).ready, "the survivor to lead");
    assert.equal((await keys(cluster.handle(1).backend)).length, 10);
    // The next start is an ordinary one.
    await cluster.handle(1).kill();
    await cluster.restart(1);
    await put(cluster.handle(1).backend, "/again");
    assert.equal(cluster.handle(1).clusterId, clusterId);
  } finally {
    await cluster.close();
  }
});

test("a recovery that a crash interrupts goes on where it was", async () => {
  const cluster = await TestCluster.start(3);
  try {
    for (let at = 0; at < 10; at++) await put(cluster.handle(1).backend, `/k${at}`);
    for (const handle of cluster.handles) await handle.kill();
    const directory = cluster.dataDir(1);
    const file = (name: string) => join(directory, name);
    const identity = readFileSync(file("replica.json"));
    const { term = 0 } = surveyDirectory(directory) ?? {};
    const { clusterId } = requestRecovery(directory, { term: term + 1, timeMs: 0, lost: [] });
    const mark = readFileSync(file("recover.json"));
    recoverIfAsked(directory, testLogger("node1"));
    const once = surveyDirectory(directory);
    assert.equal(existsSync(file("recover.json")), false);
    // Before the identity was written, and before the old log was laid aside as well.
    for (const logStays of [false, true]) {
      writeFileSync(file("replica.json"), identity);
      writeFileSync(file("recover.json"), mark);
      if (logStays) {
        rmSync(file("log"), { recursive: true, force: true });
        renameSync(file(`before-recovery-${clusterId}/log`), file("log"));
      }
      recoverIfAsked(directory, testLogger("node1"));
      assert.equal(existsSync(file("recover.json")), false);
      assert.deepEqual(surveyDirectory(directory), once, "nothing is done twice");
    }
    await cluster.restart(1);
    await until(async () => (await cluster.handle(1).status()).ready, "the survivor to lead");
    assert.equal((await keys(cluster.handle(1).backend)).length, 10);
    assert.equal(cluster.handle(1).clusterId, clusterId);
  } finally {
    await cluster.close();
  }
});

test("an old majority that can't reach the recovered cluster goes on, and gives up as soon as it can", async () => {
  const cluster = await TestCluster.start(3);
  try {
    await put(cluster.handle(0).backend, "/before");
    const survivor = ((await cluster.leader()) + 1) % 3;
    const former = cluster.handle(survivor).clusterId;
    const others = [0, 1, 2].filter((at) => at !== survivor);
    for (const at of others) await cluster.handle(at).kill();
    await until(async () => !(await cluster.handle(survivor).status()).ready, "the loss to show", 30_000);
    await recover(cluster, [survivor], others);
    await put(cluster.handle(survivor).backend, "/recovered");
    await cluster.handle(survivor).stop();
    // Nobody is there to tell them: two of the former three can't know.
    for (const at of others) await cluster.restart(at);
    const [first = 0] = others;
    await until(async () => (await cluster.handle(first).status()).ready, "the old majority to go on");
    assert.equal(cluster.handle(first).clusterId, former);
    await put(cluster.handle(first).backend, "/branch");
    await cluster.restart(survivor);
    for (const at of others) {
      await until(async () => cluster.handle(at).clusterId !== former, `node${at} to begin anew`);
      await until(
        async () => (await keysOnceServed(cluster.handle(at).backend)) === "/before,/recovered",
        `the recovered state on node${at}`,
      );
      assert.ok(existsSync(join(cluster.dataDir(at), `superseded-${former}`, "state.db")));
    }
    await cluster.until(
      ({ members }) => members.filter(({ role }) => role === "voter").length === 3,
      [survivor],
    );
  } finally {
    await cluster.close();
  }
});

test("a restored cluster that takes over: the running members of the old one become its standbys", async () => {
  const cluster = await TestCluster.start(3);
  try {
    await put(cluster.handle(1).backend, "/kept");
    const bytes = await backupOf(cluster.handle(1));
    await put(cluster.handle(1).backend, "/undone");
    const { port } = cluster.handle(0);
    await cluster.handle(0).stop();
    renameSync(cluster.dataDir(0), join(cluster.directory, "aside"));
    const address = `127.0.0.1:${port}`;
    await restoreReplica(cluster.dataDir(0), one(bytes), {
      ...restoring,
      member: { ...member, address },
      takeOver: true,
    });
    await cluster.restart(0);
    for (const at of [1, 2]) {
      await until(
        async () => cluster.handle(at).clusterId === cluster.handle(0).clusterId,
        `node${at} to be taken over`,
      );
      await until(
        async () => (await keysOnceServed(cluster.handle(at).backend)) === "/kept",
        "the restored state",
      );
    }
    await cluster.until(({ members }) => members.filter(({ role }) => role === "voter").length === 3);
  } finally {
    await cluster.close();
  }
});
