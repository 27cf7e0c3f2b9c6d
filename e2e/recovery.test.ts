/** A backup while a node is down, the loss of a majority and its return, and a restore on a new machine. */
import assert from "node:assert/strict";
import { copyFileSync, readFileSync, statSync, truncateSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { hasKubectl, Kubectl, skipUnlessRoot, waitFor } from "./harness.ts";
import { TestLab } from "./lab.ts";

const skip = skipUnlessRoot || (hasKubectl ? false : "needs kubectl");
const backup = "/var/lib/trivet/cluster.backup";

describe("recovery", { skip, timeout: 480_000 }, () => {
  let lab: TestLab;
  /** The resourceVersion of a list before the backup. */
  let seen = "";

  before(async () => {
    lab = await TestLab.up(3);
  });

  after(async () => {
    await TestLab.down();
  });

  test("a backup while a node is down is whole, private and never overwrites", async () => {
    await lab.kubectl.ok(["create", "configmap", "kept", "--from-literal=a=1"]);
    await waitFor("three voters", 60_000, async () => (await voters(lab, "n1")) === 3 || undefined);
    await lab.do("kill", "n3");
    await waitFor("a leader", 20_000, async () => (await lab.leader(["n3"])) || undefined);
    const taken = await lab.exec("n2", "backup", backup);
    assert.equal(taken.code, 0, taken.stderr);
    assert.match(taken.stdout, /whole and unchanged/);
    const file = `${lab.node("n2").dataDir}/cluster.backup`;
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.match((await lab.exec("n2", "backup", backup)).stderr, /exists/);
    assert.equal((await lab.exec("n2", "backup", backup, "--verify")).code, 0);
    copyFileSync(file, `${file}.cut`);
    truncateSync(`${file}.cut`, statSync(file).size - 10);
    const cut = await lab.exec("n2", "restore", `${backup}.cut`, "--yes");
    assert.equal(cut.code, 1);
    assert.match(cut.stderr, /cut off after \d+ bytes/);
    // The running node has not noticed.
    assert.equal((await lab.status("n2")).ready, true);
    seen = JSON.parse(await lab.kubectl.ok(["get", "--raw", "/api/v1/configmaps"])).metadata.resourceVersion;
    await lab.kubectl.ok(["delete", "configmap", "kept"]);
    await lab.kubectl.ok(["create", "configmap", "later", "--from-literal=a=2"]);
    await lab.do("start", "n3");
    await waitFor("three voters", 60_000, async () => (await online(lab, "n1")) === 3 || undefined);
  });

  test("two of three are lost: recover goes on with the survivor, the lost come back by themselves", async () => {
    const early = await lab.exec("n1", "recover", "--yes");
    assert.equal(early.code, 1);
    assert.match(early.stderr, /nothing to recover/);
    await lab.do("kill", "n2");
    await lab.do("kill", "n3");
    await waitFor("the loss to show", 30_000, async () =>
      (await lab.status("n1")).highAvailability.failuresToQuorumLoss < 0 ? true : undefined,
    );
    lab.talkTo("n1");
    const dry = await lab.exec("n1", "recover", "--dry-run");
    assert.equal(dry.code, 0, dry.stderr);
    assert.match(dry.stdout, /n2 {2}no answer/);
    assert.match(dry.stdout, /nothing was changed/);
    const refused = await lab.exec("n1", "recover");
    assert.match(refused.stderr, /--yes/);
    const done = await lab.exec("n1", "recover", "--yes");
    assert.equal(done.code, 0, done.stderr);
    const { name } = JSON.parse(await lab.kubectl.ok(["get", "configmap", "later", "-o", "json"])).metadata;
    assert.equal(name, "later");
    await lab.kubectl.ok(["create", "configmap", "alone", "--from-literal=a=3"]);
    await lab.do("start", "n2");
    await lab.do("start", "n3");
    await waitFor("three voters again", 90_000, async () =>
      (await voters(lab, "n1")) === 3 && (await online(lab, "n1")) === 3 ? true : undefined,
    );
    lab.talkTo("n3");
    await waitFor("n3 to serve the recovered state", 60_000, async () => {
      const { code } = await lab.kubectl.run(["get", "configmap", "alone"]);
      return code === 0 ? true : undefined;
    });
    const nodes = JSON.parse(await lab.kubectl.ok(["get", "nodes", "-o", "json"])).items as {
      status: { conditions: { type: string; status: string }[] };
    }[];
    assert.equal(nodes.length, 3, "the lost are the nodes that they were");
  });

  test("all nodes move to other addresses at once and find each other again", async () => {
    const moved = new Map(
      lab.nodes.map(({ name, address }) => [name, address.replace(/\d+$/, (n) => `1${n}`)]),
    );
    for (const { name } of lab.nodes) await lab.do("stop", name);
    for (const { name, address } of lab.nodes) {
      const [{ ifname } = { ifname: "" }] = JSON.parse(
        await lab.do("exec", name, "--", "ip", "-json", "addr", "show", "to", address),
      ) as { ifname: string }[];
      // In this order: with its first address a device loses the others of the same block.
      await lab.do("exec", name, "--", "ip", "addr", "del", `${address}/24`, "dev", ifname);
      await lab.do("exec", name, "--", "ip", "addr", "add", `${moved.get(name)}/24`, "dev", ifname);
    }
    const peers = [...moved].map(([name, address]) => `${name}=${address}`).join(",");
    const started = await Promise.all(
      [...moved].map(([name, address]) => lab.exec(name, "start", "--address", address, "--peers", peers)),
    );
    for (const { code, stderr } of started) assert.equal(code, 0, stderr);
    for (const node of lab.nodes) node.address = moved.get(node.name) ?? "";
    await waitFor("three voters at their new addresses", 60_000, async () => {
      const { members } = (await lab.status("n2")).highAvailability;
      return members.every(
        ({ name, address, apiAddress, role, online: alive }) =>
          alive &&
          role === "voter" &&
          address === `${moved.get(name)}:19001` &&
          apiAddress === `${moved.get(name)}:16443`,
      );
    });
    // The certificate has the new address, and Kubernetes knows it.
    lab.talkTo("n2");
    await waitFor("the nodes' addresses", 60_000, async () => {
      const { items } = await lab.kubectl.json<{ items: NodeObject[] }>(["get", "nodes"]);
      return items.every(({ metadata, status }) =>
        status.addresses.some(
          ({ type, address }) => type === "InternalIP" && address === moved.get(metadata.name),
        ),
      );
    });
    await waitFor("the endpoints of the API", 30_000, async () => {
      const { subsets } = await lab.kubectl.json<{ subsets: { addresses: { ip: string }[] }[] }>([
        "get",
        "endpoints",
        "kubernetes",
      ]);
      const found = subsets.flatMap(({ addresses }) => addresses.map(({ ip }) => ip));
      return found.toSorted().join() === [...moved.values()].toSorted().join();
    });
  });

  test("without systemd: a node that is killed comes back by itself, and stays stopped once it is stopped", async () => {
    const pidOf = (name: string): number =>
      (JSON.parse(readFileSync(`${lab.node(name).dataDir}/trivet.pid`, "utf8")) as { pid: number }).pid;
    const first = pidOf("n2");
    await lab.do("exec", "n2", "--", "kill", "-9", String(first));
    await waitFor(
      "n2 to serve again",
      30_000,
      async () => pidOf("n2") !== first && (await lab.status("n2")).ready,
    );
    const { restarts } = await lab.status("n2");
    assert.deepEqual([restarts?.count, restarts?.exitCode], [1, 137]);
    assert.equal((await lab.exec("n2", "stop")).code, 0);
    // Longer than a supervisor would wait that was not stopped.
    await delay(3_000);
    const stopped = await lab.exec("n2", "status");
    assert.match(stopped.stdout, /the node is not running/);
    assert.equal((await lab.exec("n2", "start")).code, 0);
  });

  test("a restore on a new machine: the old state, the old certificates, and no history that clients could trip over", async () => {
    const file = `${lab.node("n3").dataDir}/cluster.backup`;
    assert.equal((await lab.exec("n3", "stop")).code, 0);
    const reset = await lab.exec("n3", "reset", "--yes");
    assert.equal(reset.code, 0, reset.stderr);
    const { address } = lab.node("n3");
    const kept = await lab.exec("n3", "status");
    assert.notEqual(kept.code, 0);
    copyFileSync(`${lab.node("n2").dataDir}/cluster.backup`, file.replace("/trivet/", "/"));
    const restored = await lab.exec(
      "n3",
      "restore",
      "/var/lib/cluster.backup",
      "--name",
      "n9",
      "--address",
      address,
    );
    assert.equal(restored.code, 0, restored.stderr);
    const kubectl = new Kubectl(lab.kubeconfig, `https://${address}:16443`);
    await kubectl.ok(["get", "configmap", "kept"]);
    assert.notEqual((await kubectl.run(["get", "configmap", "later"])).code, 0);
    const watch = await kubectl.run(["get", "--raw", `/api/v1/configmaps?watch=1&resourceVersion=${seen}`]);
    assert.match(watch.stdout + watch.stderr, /410|too old|Expired|Gone/);
    await kubectl.ok(["create", "configmap", "new", "--from-literal=a=4"]);
    const status = await lab.status("n3");
    assert.deepEqual(
      status.highAvailability.members.map(({ name }) => name),
      ["n9"],
    );
    assert.equal((await lab.exec("n3", "stop")).code, 0);
  });
});

interface NodeObject {
  metadata: { name: string };
  status: { addresses: { type: string; address: string }[] };
}

async function voters(lab: TestLab, node: string): Promise<number> {
  const { members } = (await lab.status(node)).highAvailability;
  return members.filter(({ role }) => role === "voter").length;
}

async function online(lab: TestLab, node: string): Promise<number> {
  const { members } = (await lab.status(node)).highAvailability;
  return members.filter((each) => each.online).length;
}
