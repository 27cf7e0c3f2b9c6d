/** From a running replica's backup to another node's files, and back again. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { HttpHandler } from "#base/http.ts";
import type { Logger } from "#base/ports.ts";
import { startReplica } from "#replica/start-replica.ts";
import type { ReplicaHandle } from "#replica/types.ts";
import { copyBackup, createBackupRoute, verifyBackup } from "./backup.ts";
import { defaultPorts, defaultSettings, readIdentity } from "./identity.ts";
import { createCluster } from "./join.ts";
import { followAddress } from "./moved-address.ts";
import { parsePeerAddresses } from "./peer-addresses.ts";
import type { Authorities } from "./pki.ts";
import { checkPki, createAuthorities, ensureNodePki, readAuthorities } from "./pki.ts";
import { prepareRestore, putInPlace, restoreKeys } from "./restore.ts";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const root = mkdtempSync(join(tmpdir(), "trivet-restore-"));
let authorities: Authorities;
let replica: ReplicaHandle;
let file: Buffer;

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function newNode(name: string) {
  return {
    dataDir: join(root, name),
    name,
    address: "127.0.0.1",
    failureDomain: "rack1",
    ports: { ...defaultPorts, peer: 0 },
  };
}

let route: HttpHandler;

before(async () => {
  authorities = await createAuthorities();
  const node = newNode("n1");
  await createCluster(node, { ...defaultSettings, clusterDomain: "example.test" });
  const identity = readIdentity(node.dataDir);
  assert.ok(identity !== undefined);
  authorities = readAuthorities(node.dataDir);
  const pki = await ensureNodePki(node.dataDir, identity, Date.now());
  replica = await startReplica({
    dataDir: join(node.dataDir, "replica"),
    listen: { host: "127.0.0.1", port: 0 },
    tls: { ca: authorities.peer.certificate, cert: pki.peer.certificate, key: pki.peer.key },
    mode: { type: "bootstrap", member: { name: "n1", apiAddress: "", failureDomain: "" } },
    logger: silent,
  });
  await replica.backend.transact({
    compare: [],
    // More than one chunk.
    success: ["/kept", "/large1", "/large2"].map((key) => ({
      type: "put",
      key,
      value: Buffer.alloc(300_000),
    })),
    failure: [],
  });
  route = createBackupRoute({
    replica,
    node: "n1",
    version: "9.9.9",
    authorities,
    settings: identity.settings,
    nowMs: () => 1_700_000_000_000,
  });
  const request = {
    method: "GET",
    path: "/trivet/v1/backup",
    query: "",
    headers: {},
    body: new Uint8Array(0),
    signal: new AbortController().signal,
  };
  const refused = await route({ ...request, user: { name: "n", groups: ["system:nodes"] } });
  assert.equal(refused.status, 403);
  const { body } = await route({ ...request, user: { name: "a", groups: ["system:masters"] } });
  assert.ok(!(body instanceof Uint8Array));
  const pieces: Uint8Array[] = [];
  await copyBackup(body, async (bytes) => void pieces.push(bytes));
  file = Buffer.concat(pieces);
});

after(async () => {
  await replica.stop();
  rmSync(root, { recursive: true, force: true });
});

test("a backup tells what it is of", async () => {
  const { header } = await verifyBackup(one(file));
  assert.deepEqual([header.trivet, header.node, header.confirmed], ["9.9.9", "n1", true]);
  assert.equal(header.clusterId, replica.clusterId);
});

test("clients that go away in the middle don't keep others from taking a backup", async () => {
  for (let attempt = 0; attempt < 5; attempt++) {
    const client = new AbortController();
    const { status, body } = await route({
      method: "GET",
      path: "/trivet/v1/backup",
      query: "",
      headers: {},
      body: new Uint8Array(0),
      signal: client.signal,
      user: { name: "a", groups: ["system:masters"] },
    });
    assert.equal(status, 200);
    assert.ok(!(body instanceof Uint8Array));
    const pieces = body[Symbol.asyncIterator]();
    for (let at = 0; at < 4; at++) await pieces.next();
    client.abort();
    await pieces.next();
  }
});

test("a new node has the cluster's keys and settings, and its datastore starts", async () => {
  const node = newNode("n9");
  await prepareRestore({ node, source: one(file), takeOver: false, nowMs: Date.now() });
  assert.equal(existsSync(join(node.dataDir, "node.json")), false, "nothing is in place yet");
  assert.equal(putInPlace(node.dataDir, Date.now()), undefined);
  assert.deepEqual(readdirSync(node.dataDir).toSorted(), ["node.json", "pki", "replica"]);
  assert.deepEqual(readAuthorities(node.dataDir), authorities);
  const identity = readIdentity(node.dataDir);
  assert.deepEqual([identity?.name, identity?.state, identity?.failureDomain], ["n9", "ready", "rack1"]);
  assert.equal(identity?.settings.clusterDomain, "example.test");
  const pki = await ensureNodePki(node.dataDir, identity, Date.now());
  const restored = await startReplica({
    dataDir: join(node.dataDir, "replica"),
    listen: { host: "127.0.0.1", port: 0 },
    tls: { ca: authorities.peer.certificate, cert: pki.peer.certificate, key: pki.peer.key },
    mode: { type: "restart" },
    logger: silent,
  });
  try {
    assert.equal((await restored.backend.range({ key: "/kept" })).count, 1);
  } finally {
    await restored.stop();
  }
});

test("on a node that exists everything old is laid aside; a bad backup changes nothing", async () => {
  const node = newNode("n5");
  await createCluster(node, defaultSettings);
  writeFileSync(join(node.dataDir, "kubeconfig"), "old");
  const before = readFileSync(join(node.dataDir, "node.json"), "utf8");
  const bad = file.subarray(0, file.length - 3);
  const options = { node, takeOver: false, nowMs: Date.now() };
  await assert.rejects(prepareRestore({ ...options, source: one(bad) }), /cut off/);
  assert.deepEqual(readdirSync(node.dataDir).toSorted(), ["kubeconfig", "node.json", "pki"]);
  assert.equal(readFileSync(join(node.dataDir, "node.json"), "utf8"), before);
  await prepareRestore({ ...options, source: one(file) });
  const aside = putInPlace(node.dataDir, Date.UTC(2026, 10, 23, 20, 15, 0));
  assert.equal(aside, join(node.dataDir, "before-restore-20261123T201500Z"));
  assert.deepEqual(readdirSync(aside).toSorted(), ["kubeconfig", "node.json", "pki"]);
  assert.equal(readFileSync(join(aside, "node.json"), "utf8"), before);
  assert.deepEqual(readAuthorities(node.dataDir), authorities);
});

test("keys alone are put back beside a datastore that stays", async () => {
  const node = newNode("n6");
  await createCluster(node, defaultSettings);
  writeFileSync(join(node.dataDir, "pki", "ca.key"), "rubbish");
  assert.throws(() => checkPki(node.dataDir, "control-plane"), /ca\.key is damaged.*--keys-only/);
  const nowMs = Date.UTC(2026, 0, 2);
  await assert.rejects(restoreKeys(node.dataDir, one(file.subarray(0, -1)), nowMs), /cut off/);
  const aside = await restoreKeys(node.dataDir, one(file), nowMs);
  assert.equal(readFileSync(join(aside ?? "", "pki", "ca.key"), "utf8"), "rubbish");
  checkPki(node.dataDir, "control-plane");
  assert.deepEqual(readAuthorities(node.dataDir), authorities);
});

test("a node follows its machine's address, unless its owner gave it one", () => {
  const identity = { ...newNode("n1"), address: "10.0.0.1" } as never as Parameters<typeof followAddress>[0];
  const machine = (addresses: string[], found: string) => ({ addresses, default: () => found });
  assert.equal(followAddress(identity, machine(["10.0.0.1"], "10.0.0.7")), undefined);
  assert.equal(followAddress(identity, machine(["10.0.0.2"], "10.0.0.2"))?.address, "10.0.0.2");
  assert.equal(followAddress(identity, machine(["127.0.0.1"], "127.0.0.1")), undefined);
  assert.equal(
    followAddress({ ...identity, addressGiven: true }, machine(["10.0.0.2"], "10.0.0.2")),
    undefined,
  );
});

test("--peers", () => {
  assert.deepEqual(parsePeerAddresses("n2=10.0.0.2, n3=10.0.0.3:99", 19001), {
    n2: "10.0.0.2:19001",
    n3: "10.0.0.3:99",
  });
  for (const text of ["", "n2", "n2=", "n2=host", "n2=10.0.0.2,"])
    assert.throws(() => parsePeerAddresses(text, 1), /--peers takes/);
});
