/**
 * The etcd API of a running node, and a node whose datastore is a real etcd: both with etcdctl and kubectl, in
 * temporary directories and on ports of their own (the API server alone, so no containers and no root).
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, describe, test } from "node:test";
import { launcher, must, run } from "./harness.ts";

const skip = existsSync("/usr/bin/etcdctl") && existsSync("/usr/bin/etcd") ? false : "needs etcd and etcdctl";
const env = { ETCDCTL_API: "3" };

describe("a node and etcd's own tools", { skip }, () => {
  const directory = mkdtempSync("/tmp/trivet-e2e-etcd-");
  const children: ChildProcess[] = [];
  after(async () => {
    for (const child of children) await end(child);
    rmSync(directory, { recursive: true, force: true });
  });

  async function serve(name: string, ...flags: string[]): Promise<{ dataDir: string; child: ChildProcess }> {
    const dataDir = join(directory, name);
    const child = spawn(
      launcher,
      ["serve", "--data-dir", dataDir, "--components", "api", "--port", "0", ...flags],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    children.push(child);
    let log = "";
    child.stdout?.on("data", (chunk: Buffer) => (log += chunk.toString()));
    await until(
      () => log.includes("node is serving"),
      () => `the node ${name}: ${log}`,
    );
    return { dataDir, child };
  }

  function etcdFlags(dataDir: string, port: number): string[] {
    const file = (name: string): string => join(dataDir, "etcd", name);
    return [
      `--endpoints=https://127.0.0.1:${port}`,
      `--cacert=${file("ca.crt")}`,
      `--cert=${file("client.crt")}`,
      `--key=${file("client.key")}`,
    ];
  }

  test("--etcd-api: etcdctl over mutual TLS; its snapshot is a backup; the setting stays", async () => {
    const port = await freePort();
    const first = await serve("api", "--etcd-api", String(port));
    const flags = etcdFlags(first.dataDir, port);
    const etcdctl = (...args: string[]): Promise<string> => must("etcdctl", [...flags, ...args], { env });
    assert.equal(await etcdctl("put", "greeting", "hello"), "OK\n");
    assert.match(await etcdctl("get", "--prefix", "--keys-only", "/registry/namespaces/"), /kube-system/);
    assert.match(await etcdctl("endpoint", "status"), /true/);
    assert.equal((await run("etcdctl", [...flags, "endpoint", "health"], { env })).code, 0);
    const granted = await etcdctl("lease", "grant", "2");
    const lease = /lease ([0-9a-f]+)/.exec(granted)?.[1] ?? "";
    await etcdctl("put", `--lease=${lease}`, "short", "lived");
    await until(
      async () => (await etcdctl("get", "short")) === "",
      () => "the lease's end",
    );
    // A certificate of the Kubernetes API opens nothing here.
    const pki = (name: string): string => join(first.dataDir, "pki", name);
    const foreign = await run(
      "etcdctl",
      [
        ...flags.slice(0, 2),
        `--cert=${pki("admin.crt")}`,
        `--key=${pki("admin.key")}`,
        "--command-timeout=2s",
        "get",
        "greeting",
      ],
      { env },
    );
    assert.notEqual(foreign.code, 0);
    const saved = join(directory, "saved");
    await etcdctl("snapshot", "save", saved);
    assert.equal(statSync(saved).size % 512, 32);
    const looked = await must(launcher, [
      "restore",
      "--dry-run",
      "--data-dir",
      join(directory, "new"),
      saved,
    ]);
    assert.match(looked, /whole and unchanged/);
    await end(first.child);
    await serve("api");
    assert.equal(await etcdctl("get", "greeting"), "greeting\nhello\n");
  });

  test("--datastore: Kubernetes objects live in a real etcd, and survive the node's restart", async () => {
    const [client, peer] = [await freePort(), await freePort()];
    const endpoint = `http://127.0.0.1:${client}`;
    const peerUrl = `http://127.0.0.1:${peer}`;
    const etcd = spawn(
      "etcd",
      [
        "--name=one",
        `--data-dir=${join(directory, "etcd")}`,
        `--listen-client-urls=${endpoint}`,
        `--advertise-client-urls=${endpoint}`,
        `--listen-peer-urls=${peerUrl}`,
        `--initial-advertise-peer-urls=${peerUrl}`,
        `--initial-cluster=one=${peerUrl}`,
      ],
      { stdio: "ignore" },
    );
    children.unshift(etcd);
    const etcdctl = (...args: string[]) => run("etcdctl", [`--endpoints=${endpoint}`, ...args], { env });
    await until(
      async () => (await etcdctl("endpoint", "health")).code === 0,
      () => "the etcd",
    );
    const first = await serve("external", "--datastore", endpoint);
    const kubectl = (...args: string[]): Promise<string> =>
      must("kubectl", ["--kubeconfig", join(first.dataDir, "kubeconfig"), ...args]);
    await kubectl("create", "configmap", "kept", "--from-literal=a=b");
    const { stdout } = await etcdctl(
      "get",
      "--prefix",
      "--keys-only",
      "/trivet/data/registry/configmaps/default",
    );
    assert.match(stdout, /^\/trivet\/data\/registry\/configmaps\/default\/kept\n/);
    const backup = await run(launcher, ["backup", "--data-dir", first.dataDir, join(directory, "none")]);
    assert.notEqual(backup.code, 0);
    assert.match(backup.stderr, /the datastore is external/);
    await end(first.child);
    assert.ok(!existsSync(join(first.dataDir, "replica")), "no replica was made");
    await serve("external");
    assert.equal(await kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}"), "b");
    // Another cluster does not get into these keys.
    const other = await run(
      launcher,
      [
        "serve",
        "--data-dir",
        join(directory, "other"),
        "--components",
        "api",
        "--port",
        "0",
        "--datastore",
        endpoint,
      ],
      { timeoutMs: 30_000 },
    );
    assert.notEqual(other.code, 0);
    assert.match(other.stderr + other.stdout, /another cluster's keys/);
    assert.match(readFileSync(join(first.dataDir, "node.json"), "utf8"), /"datastore"/);
  });
});

async function until(condition: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what()}`);
    await delay(100);
  }
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else {
      child.once("exit", () => resolve());
      child.kill("SIGTERM");
    }
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
