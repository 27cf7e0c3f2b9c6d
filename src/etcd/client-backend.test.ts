/** A real etcd is a Backend like the others, also when it restarts and when nodes share it. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { backendConformance, Recording } from "#base/backend-conformance.test-suite.ts";
import { EtcdBackend } from "./client-backend.ts";
import { RealEtcd, skipWithoutEtcd } from "./etcd-server.fixture.ts";

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** What a test that failed has left open keeps the process alive. */
const opened = new Set<EtcdBackend>();

async function open(etcd: RealEtcd, name: string, prefix?: string): Promise<EtcdBackend> {
  const backend = await EtcdBackend.open({
    endpoints: ["http://127.0.0.1:1", etcd.endpoint],
    tls: {},
    clusterId: prefix ?? "cluster",
    member: { id: Buffer.from(name.padEnd(8)).toString("hex"), name, apiAddress: "", failureDomain: "" },
    ...(prefix === undefined ? {} : { prefix }),
    logger: silent,
  });
  opened.add(backend);
  return backend;
}

async function untilLeads(backend: EtcdBackend): Promise<number> {
  return until("leadership", async () => {
    const leadership = { leading: false, term: 0 };
    backend.onLeadership((now) => Object.assign(leadership, now))();
    return leadership.leading ? leadership.term : undefined;
  });
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const put = (key: string, text: string) => ({
  compare: [],
  success: [{ type: "put" as const, key, value: Buffer.from(text) }],
  failure: [],
});

if (skipWithoutEtcd === false)
  backendConformance("an external etcd", async () => {
    const etcd = await RealEtcd.start();
    const backend = await open(etcd, "one");
    await untilLeads(backend);
    return {
      backend,
      close: async () => {
        await backend.close();
        await etcd.close();
      },
    };
  });

describe("nodes that share an etcd", { skip: skipWithoutEtcd }, () => {
  let etcd: RealEtcd;
  before(async () => {
    etcd = await RealEtcd.start();
  });
  afterEach(async () => {
    for (const backend of opened) await backend.close();
    opened.clear();
  });
  after(() => etcd.close());

  test("one leads; after it another; what the first still writes in its term is refused", async () => {
    const one = await open(etcd, "one", "/lead/");
    const oldTerm = await untilLeads(one);
    const two = await open(etcd, "two", "/lead/");
    const fenced = { ...put("/a", "1"), fenceTerm: oldTerm };
    await one.transact(fenced);
    const { members, leaderId, memberId } = await two.status();
    const seen = members.map(({ name, online, isLeader }) => `${name} ${online} ${isLeader}`);
    assert.deepEqual(seen.toSorted(), ["one true true", "two true false"]);
    assert.notEqual(leaderId, memberId);
    await one.close();
    const term = await untilLeads(two);
    assert.ok(term > oldTerm);
    await assert.rejects(two.transact(fenced), /^StatusError: fenced: /);
    await two.transact({ ...fenced, fenceTerm: term });
    await two.close();
  });

  test("a watch from before this node's time reads the etcd's history and goes on", async () => {
    const one = await open(etcd, "one", "/past/");
    const revisions: number[] = [];
    for (let at = 0; at < 5; at++) revisions.push((await one.transact(put(`/w/${at}`, "x"))).revision);
    const two = await open(etcd, "two", "/past/");
    const watch = new Recording(two, "/w/", revisions[1]);
    revisions.push((await two.transact(put("/w/new", "x"))).revision);
    await watch.upTo(revisions.at(-1) ?? 0);
    assert.deepEqual(
      watch.events.map(({ kv }) => kv.modRevision),
      revisions.slice(1),
    );
    await one.close();
    await two.close();
    assert.match(watch.error?.message ?? "", /closed/);
  });

  test("another's writes to the same etcd are seen as progress", async () => {
    const mine = await open(etcd, "one", "/mine/");
    const other = await open(etcd, "two", "/other/");
    const watch = new Recording(mine, "/w");
    await other.transact(put("/w", "x"));
    await watch.upTo(await mine.readRevision());
    assert.deepEqual(watch.events, []);
    assert.equal((await mine.range({ key: "\0", end: "\0" })).count, 0);
    await mine.close();
    await other.close();
  });

  test("the etcd is killed and comes back: watches go on without a gap, the same node leads again", async () => {
    const backend = await open(etcd, "one", "/again/");
    await untilLeads(backend);
    const watch = new Recording(backend, "/w/");
    await backend.transact(put("/w/1", "x"));
    await etcd.kill();
    try {
      await assert.rejects(
        backend.transact(put("/w/lost", "x")),
        /can't be reached|does not answer|timed out/,
      );
    } finally {
      await etcd.run();
    }
    const { revision } = await until("a write", async () =>
      backend.transact(put("/w/2", "x")).catch(() => undefined),
    );
    await watch.upTo(revision);
    assert.deepEqual(
      watch.events.map(({ kv }) => kv.key).filter((key) => key !== "/w/lost"),
      ["/w/1", "/w/2"],
    );
    assert.equal(watch.ended, false);
    await untilLeads(backend);
    await backend.close();
  });

  test("the keys of another cluster are left alone", async () => {
    const options = { endpoints: [etcd.endpoint], tls: {}, prefix: "/taken/", logger: silent };
    const member = { id: "00000000000000aa", name: "a", apiAddress: "", failureDomain: "" };
    const one = await EtcdBackend.open({ ...options, member, clusterId: "one" });
    await assert.rejects(
      EtcdBackend.open({ ...options, member: { ...member, id: "00000000000000bb" }, clusterId: "two" }),
      /another cluster/,
    );
    assert.equal((await one.status()).members.length, 1);
    await one.close();
  });

  test("large ranges come in pages of one revision", async () => {
    const backend = await open(etcd, "one", "/pages/");
    for (let batch = 0; batch < 11; batch++)
      await backend.transact({
        compare: [],
        success: Array.from({ length: 110 }, (_, at) => ({
          type: "put" as const,
          key: `/p/${String(batch * 110 + at).padStart(5, "0")}`,
          value: Buffer.from("x"),
        })),
        failure: [],
      });
    const all = await backend.range({ key: "/p/", end: "/p0" });
    assert.deepEqual([all.kvs.length, all.count, all.more], [1210, 1210, false]);
    assert.equal(new Set(all.kvs.map(({ key }) => key)).size, 1210);
    const some = await backend.range({ key: "/p/", end: "/p0", limit: 700 });
    assert.deepEqual([some.kvs.length, some.count, some.more], [700, 1210, true]);
    await backend.close();
  });
});
