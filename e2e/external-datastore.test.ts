/** Nodes whose datastore is a real etcd of three members over mutual TLS: what goes on, and what is said, when one of either fails. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createAuthority, issue } from "#cluster/certificates.ts";
import { hasKubectl, skipUnlessRoot, waitFor } from "./harness.ts";
import { TestLab } from "./lab.ts";

const skip =
  skipUnlessRoot ||
  (hasKubectl ? false : "needs kubectl") ||
  (existsSync("/usr/bin/etcd") ? false : "needs etcd");
/** The machine's address in the lab. */
const machine = "10.66.0.1";
const members = ["a", "b", "c"];
const clientPort = (name: string): number => 23_790 + members.indexOf(name);
const peerUrl = (name: string): string => `https://127.0.0.1:${23_800 + members.indexOf(name)}`;

describe("nodes over an etcd of their owner's", { skip, timeout: 300_000 }, () => {
  const directory = mkdtempSync("/tmp/trivet-e2e-external-");
  const file = (name: string): string => join(directory, name);
  const etcds = new Map<string, ChildProcess>();
  let lab: TestLab;

  before(async () => {
    const authority = await createAuthority("authority of the etcd", 1);
    const leaf = await issue(authority, {
      commonName: "etcd",
      hosts: [machine, "127.0.0.1"],
      usages: ["server", "client"],
      validDays: 1,
    });
    writeFileSync(file("ca.crt"), authority.certificate);
    writeFileSync(file("tls.crt"), leaf.certificate);
    writeFileSync(file("tls.key"), leaf.key, { mode: 0o600 });
    for (const name of members) startEtcd(name);
    lab = await TestLab.up(2, 0, 0, [
      "--datastore",
      members.map((name) => `https://${machine}:${clientPort(name)}`).join(","),
      `--datastore-ca=${file("ca.crt")}`,
      `--datastore-cert=${file("tls.crt")}`,
      `--datastore-key=${file("tls.key")}`,
    ]);
  });

  after(async () => {
    await TestLab.down();
    for (const child of etcds.values()) await killed(child);
    rmSync(directory, { recursive: true, force: true });
  });

  function startEtcd(name: string): void {
    const url = (host: string): string => `https://${host}:${clientPort(name)}`;
    const [certificate, key, authority] = [file("tls.crt"), file("tls.key"), file("ca.crt")];
    etcds.set(
      name,
      spawn(
        "etcd",
        [
          `--name=${name}`,
          `--data-dir=${file(name)}`,
          // The lab's network comes later, so at all addresses: nobody gets in without a certificate.
          `--listen-client-urls=${url("0.0.0.0")}`,
          `--advertise-client-urls=${url(machine)}`,
          `--listen-peer-urls=${peerUrl(name)}`,
          `--initial-advertise-peer-urls=${peerUrl(name)}`,
          `--initial-cluster=${members.map((each) => `${each}=${peerUrl(each)}`).join(",")}`,
          `--cert-file=${certificate}`,
          `--key-file=${key}`,
          `--trusted-ca-file=${authority}`,
          "--client-cert-auth",
          `--peer-cert-file=${certificate}`,
          `--peer-key-file=${key}`,
          `--peer-trusted-ca-file=${authority}`,
          "--peer-client-cert-auth",
        ],
        { stdio: "ignore" },
      ),
    );
  }

  test("status tells of the etcd; the nodes are equals without replicas", async () => {
    const {
      external,
      failuresToQuorumLoss,
      enabled,
      members: nodes,
    } = (await lab.status("n1")).highAvailability;
    assert.deepEqual(
      [external?.members, external?.alive, external?.led, failuresToQuorumLoss, enabled, nodes.length],
      [3, 3, true, 1, true, 2],
    );
    const { stdout } = await lab.exec("n2", "status");
    assert.match(stdout, /external etcd at .*: 3 of 3 members answer/);
    assert.ok(!existsSync(join(lab.node("n1").dataDir, "replica")), "no replica was made");
    const refused = await lab.exec("n1", "drill", "--yes");
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /external/);
  });

  test("the node with the controllers dies: the other one runs them, clients go on there", async () => {
    const leader = await lab.leader();
    const other = leader === "n1" ? "n2" : "n1";
    lab.talkTo(other);
    await lab.do("kill", leader, "--power");
    await waitFor("another leader", 30_000, async () =>
      (await lab.leader([leader])) === other ? true : undefined,
    );
    await lab.kubectl.ok(["create", "namespace", "after"]);
    await waitFor("the controllers' work", 30_000, async () =>
      (await lab.kubectl.ok(["get", "serviceaccounts", "-n", "after"])).includes("default")
        ? true
        : undefined,
    );
    await lab.do("start", leader);
    await waitFor("both nodes", 60_000, async () =>
      (await lab.kubectl.ok(["get", "nodes", "--no-headers"])).match(/ Ready /g)?.length === 2
        ? true
        : undefined,
    );
  });

  test("one member of the etcd dies: nothing is lost, status names it; two: status says so at once, and all goes on when they are back", async () => {
    await lab.kubectl.ok(["create", "configmap", "kept"]);
    const written = async (note: string) =>
      waitFor(`write ${note}`, 60_000, async () => {
        // Of a write that was under way etcd itself can't tell how it ended, so again.
        const { code } = await lab.kubectl.run([
          "annotate",
          "configmap",
          "kept",
          `of=${note}`,
          "--overwrite",
        ]);
        return code === 0 ? true : undefined;
      });
    await killed(etcds.get("a"));
    await written("two members");
    await waitFor("what status says of one", 20_000, async () => {
      const { external, failuresToQuorumLoss } = (await lab.status("n1")).highAvailability;
      return external?.alive === 2 && failuresToQuorumLoss === 0 ? true : undefined;
    });
    assert.match((await lab.exec("n1", "status")).stdout, /no answer from https:\/\/10\.66\.0\.1:23790: /);
    await killed(etcds.get("b"));
    await waitFor("what status says of two", 30_000, async () => {
      const { stdout } = await lab.exec("n1", "status");
      return stdout.includes("writes have stopped: the external etcd has no leader") ? true : undefined;
    });
    const startedMs = Date.now();
    await lab.exec("n1", "status");
    assert.ok(Date.now() - startedMs < 10_000, "status does not wait for an etcd that is silent");
    startEtcd("a");
    startEtcd("b");
    await written("three members again");
  });
});

function killed(child: ChildProcess | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) resolve();
    else {
      child.once("exit", () => resolve());
      child.kill("SIGKILL");
    }
  });
}
