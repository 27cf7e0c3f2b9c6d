/** Certificates that near their end while the node runs: a clock that is moved by hand, real keys and real TLS. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer as createTlsServer } from "node:tls";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { Clock, Logger } from "#base/ports.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import { StatusError } from "#base/errors.ts";
import { renewAgent, signAgent } from "#cluster/agent-certificates.ts";
import { createRequest, daysLeft } from "#cluster/certificates.ts";
import { defaultSettings } from "#cluster/identity.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import { createCluster } from "#cluster/join.ts";
import { ensureNodePki } from "#cluster/pki.ts";
import type { NodePki } from "#cluster/pki.ts";
import { SimulatedTime } from "#sim/simulated-time.ts";
import { keepCertificates } from "./certificate-keeper.ts";
import { startNodeEtcdApi } from "./etcd-api.ts";
import { expiryWarnings } from "./expiry.ts";
import { apiChain, renewNode } from "./renewal.ts";
import { renewWorker } from "./worker.ts";

const dayMs = 24 * 60 * 60 * 1000;
const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };

test("a running node renews its certificates 90 days before their end, and new connections get them", async (t) => {
  const startMs = Date.now();
  const { dataDir, identity } = await newNode(t);
  const present = { pki: await ensureNodePki(dataDir, identity, startMs) };
  const first = present.pki;
  const server = createTlsServer({ cert: apiChain(first), key: first.apiServer.key });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const told: { agent?: string; peer?: string; kubeconfig?: NodePki } = {};
  const renew = (nowMs: number): Promise<string[]> =>
    renewNode(
      {
        dataDir,
        identity,
        present,
        api: { setCertificate: (cert, key) => server.setSecureContext({ cert, key }) },
        replica: { setTls: async ({ cert }) => void (told.peer = cert) },
        components: {
          setAgentCertificate: ({ certificate }) => (told.agent = certificate),
          close: async () => undefined,
        },
        writeKubeconfig: (pki) => (told.kubeconfig = pki),
      },
      nowMs,
    );

  assert.deepEqual(await renew(startMs + 270 * dayMs), []);
  assert.deepEqual(told, {});
  const laterMs = startMs + 280 * dayMs;
  assert.deepEqual(await renew(laterMs), ["apiServer", "apiClient", "agent", "peer", "admin"]);
  const shown = await shownBy(port);
  assert.equal(shown, present.pki.apiServer.certificate);
  assert.notEqual(shown, first.apiServer.certificate);
  assert.equal(told.agent, present.pki.agent.certificate);
  assert.equal(told.peer, present.pki.peer.certificate);
  assert.equal(told.kubeconfig, present.pki);
  assert.ok(daysLeft(present.pki.peer.certificate, laterMs) > 360);
  assert.deepEqual(await renew(laterMs + dayMs), []);
});

test("what could not be told of new certificates is told the next time", async (t) => {
  const startMs = Date.now();
  const { dataDir, identity } = await newNode(t);
  const present = { pki: await ensureNodePki(dataDir, identity, startMs) };
  let failures = 1;
  const options = {
    dataDir,
    identity,
    present,
    api: { setCertificate: () => undefined },
    replica: {
      setTls: async () => {
        if (failures-- > 0) throw new StatusError("ServiceUnavailable", "the replica is stopped for a drill");
      },
    },
    writeKubeconfig: () => undefined,
  };
  await assert.rejects(renewNode(options, startMs + 280 * dayMs));
  const renewed = await renewNode(options, startMs + 281 * dayMs);
  assert.ok(renewed.includes("peer"));
  assert.equal(failures, -1);
});

test("a certificate that lasts as long as its authority is not issued again and again", async (t) => {
  const startMs = Date.now();
  const { dataDir, identity } = await newNode(t);
  const lastYearMs = startMs + 3_600 * dayMs;
  const first = await ensureNodePki(dataDir, identity, lastYearMs);
  const second = await ensureNodePki(dataDir, identity, lastYearMs + dayMs);
  assert.equal(second.peer.certificate, first.peer.certificate);
});

test("a key and a certificate of which only one was written are made anew", async (t) => {
  const { dataDir, identity } = await newNode(t);
  await ensureNodePki(dataDir, identity, Date.now());
  const agentKey = join(dataDir, "pki", "agent.key");
  writeFileSync(agentKey, readFileSync(join(dataDir, "pki", "admin.key")));
  const { agent, admin } = await ensureNodePki(dataDir, identity, Date.now());
  assert.notEqual(agent.key, admin.key);
  assert.equal(readFileSync(agentKey, "utf8"), agent.key);
});

test("the etcd API is served with its next certificate", async (t) => {
  const startMs = Date.now();
  const { dataDir, identity } = await newNode(t, await freePort());
  const pki = await ensureNodePki(dataDir, identity, startMs);
  const replica = {
    backend: new MemoryBackend(),
    clusterId: "1",
    transferLeadership: async () => undefined,
    backup: async () => Promise.reject(new Error("nobody asks for one")),
  };
  const etcdApi = await startNodeEtcdApi({ dataDir, identity, pki, replica, logger: quiet });
  t.after(() => etcdApi.close());
  const port = identity.settings.etcdApiPort ?? 0;
  const client = {
    cert: readFileSync(join(dataDir, "etcd", "client.crt"), "utf8"),
    key: readFileSync(join(dataDir, "etcd", "client.key"), "utf8"),
  };
  const before = await shownBy(port, client);
  assert.equal(await etcdApi.renew(startMs + 100 * dayMs), false);
  assert.equal(await etcdApi.renew(startMs + 300 * dayMs), true);
  const after = await shownBy(port, client);
  assert.notEqual(after, before);
  assert.ok(daysLeft(after, startMs + 300 * dayMs) > 360);
});

test("a worker gets its next certificate with the one that it has, for the key that it has", async (t) => {
  const startMs = Date.now();
  const { dataDir, identity } = await newNode(t);
  const { authorities } = await ensureNodePki(dataDir, identity, startMs);
  const { key, request } = await createRequest("system:node:w1");
  const wanted = { address: "10.0.0.9", certificateRequest: request };
  const certificate = await signAgent(authorities.cluster, "w1", wanted, startMs);
  const pki = { authorityCertificate: authorities.cluster.certificate, agent: { key, certificate } };
  const laterMs = startMs + 300 * dayMs;
  const removed = { removed: false };
  const api = async ({ path, body }: { path: string; body?: unknown }) => {
    assert.equal(path, "/trivet/v1/certificates");
    const answer = await renewAgent(
      {
        authorities,
        nodes: { exists: async (name) => name === "w1" && !removed.removed },
        nowMs: () => laterMs,
      },
      { name: "system:node:w1", groups: ["system:nodes", "system:authenticated"] },
      JSON.parse(new TextDecoder().decode(body as Uint8Array)) as typeof wanted,
    );
    return { status: 200, headers: {}, body: new TextEncoder().encode(JSON.stringify(answer)) };
  };
  const worker = { name: "w1", address: "10.0.0.9" };
  assert.equal(await renewWorker(pki, worker, api, startMs + dayMs), undefined);
  const next = await renewWorker(pki, worker, api, laterMs);
  assert.equal(next?.agent.key, key);
  assert.ok(daysLeft(next.agent.certificate, laterMs) > 360);
  removed.removed = true;
  await assert.rejects(renewWorker(pki, worker, api, laterMs), /no node "w1" in this cluster any more/);
  const options = { authorities, nodes: { exists: async () => true }, nowMs: () => laterMs };
  const admin = { name: "kubernetes-admin", groups: ["system:masters"] };
  await assert.rejects(renewAgent(options, admin, wanted), /only a node/);
});

test("the end of what can't be renewed is told a year before", async (t) => {
  const startMs = Date.now();
  const { dataDir, identity } = await newNode(t);
  const { authorities } = await ensureNodePki(dataDir, identity, startMs);
  const ending = { "the authority": { certificate: authorities.peer.certificate, advice: "do this" } };
  assert.deepEqual(expiryWarnings(ending, startMs), {});
  assert.deepEqual(expiryWarnings(ending, startMs + 3_349.5 * dayMs), {
    warnings: ["the authority ends in 300 days; do this"],
  });
  assert.deepEqual(expiryWarnings(ending, startMs + 3_651 * dayMs), {
    warnings: ["the authority has ended; do this"],
  });
});

test("certificates are looked at once a day, also after a failure", async () => {
  const time = new SimulatedTime();
  const clock: Clock = {
    nowMs: () => time.nowMs,
    monotonicMs: () => time.nowMs,
    setTimer: (delayMs, callback) => time.after(delayMs, callback),
  };
  const looks: number[] = [];
  const keeper = keepCertificates({
    clock,
    logger: quiet,
    renew: async (nowMs) => {
      looks.push(nowMs / dayMs);
      if (looks.length === 2) throw new Error("the datastore has no leader");
      return [];
    },
  });
  for (let day = 1; day <= 3; day++) {
    await new Promise(setImmediate);
    time.step(day * dayMs);
  }
  await keeper.close();
  time.step(10 * dayMs);
  assert.deepEqual(looks, [0, 1, 2, 3]);
});

async function newNode(
  t: TestContext,
  etcdApiPort?: number,
): Promise<{ dataDir: string; identity: NodeIdentity }> {
  const dataDir = mkdtempSync(join(tmpdir(), "trivet-renewal-"));
  t.after(() => rmSync(dataDir, { recursive: true }));
  const ports = { api: 16443, peer: 19001, agent: 10250 };
  const settings = { ...defaultSettings, ...(etcdApiPort === undefined ? {} : { etcdApiPort }) };
  const identity = await createCluster(
    { dataDir, name: "n1", address: "127.0.0.1", failureDomain: "", ports },
    settings,
  );
  return { dataDir, identity };
}

/** The certificate (PEM) that a listener shows to a new connection, though it may not be valid yet by the machine's clock. */
async function shownBy(port: number, client?: { cert: string; key: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...client });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      resolve(socket.getPeerX509Certificate()?.toString() ?? "");
      socket.destroy();
    });
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
