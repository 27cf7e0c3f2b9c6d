/** Joins that are refused, nodes that leave and nodes that are removed: one clear error each, the cluster as it was. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { hasKubectl, skipUnlessRoot, waitFor } from "./harness.ts";
import { TestLab } from "./lab.ts";

const skip = skipUnlessRoot || (hasKubectl ? false : "needs kubectl");

describe("membership", { skip, timeout: 600_000 }, () => {
  let lab: TestLab;
  before(async () => {
    lab = await TestLab.up(3);
  });
  after(async () => {
    await TestLab.down();
  });

  async function invite(...flags: string[]): Promise<string> {
    const { code, stdout, stderr } = await lab.exec("n1", "add-node", "--format", "short", ...flags);
    assert.equal(code, 0, stderr);
    return stdout.trim();
  }

  async function memberNames(): Promise<string[]> {
    return (await lab.status("n1")).highAvailability.members.map((each) => each.name).sort();
  }

  /** A join from n3's machine with a data directory of its own, which never gets as far as starting. */
  async function tryJoin(invitation: string, name: string): Promise<string> {
    const ports = ["--api-port", "26443", "--peer-port", "29001", "--agent-port", "20250"];
    const dataDir = `/tmp/trivet-join-${name}`;
    const outcome = await lab.exec(
      "n3",
      "join",
      invitation,
      "--name",
      name,
      "--data-dir",
      dataDir,
      ...ports,
      "--no-start",
    );
    assert.notEqual(outcome.code, 0, `the join as ${name} is refused`);
    const errors = outcome.stderr.split("\n").filter((line) => line.startsWith("trivet: "));
    assert.equal(errors.length, 1, `one error: ${outcome.stderr}`);
    return errors[0] ?? "";
  }

  test("a refused join says why in one line and changes nothing", async () => {
    const good = await invite();
    const [endpoint = "", token = "", print = ""] = good.split("/");
    const [id = ""] = token.split(".");
    assert.match(await tryJoin("nonsense", "x1"), /HOST:PORT\/TOKEN\/FINGERPRINT/);
    assert.match(
      await tryJoin(`${endpoint}/${id}.${"0".repeat(32)}/${print}`, "x2"),
      /join token is not known/,
    );
    assert.match(
      await tryJoin(`${endpoint}/${token}/${"0".repeat(64)}`, "x3"),
      /not the cluster that this invitation is for/,
    );
    assert.match(
      await tryJoin(`10.66.0.250:16443/${token}/${print}`, "x4"),
      /can't be reached at 10\.66\.0\.250:16443/,
    );
    assert.match(await tryJoin(good, "n2"), /a node named "n2" is already in this cluster/);
    const short = await invite("--ttl", "1s");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    assert.match(await tryJoin(short, "x5"), /join token expired/);
    assert.deepEqual(await memberNames(), ["n1", "n2", "n3"]);
    await lab.kubectl.ok(["create", "configmap", "still-works"]);
  });

  test("an online node is removed only by force; a node leaves and can join again", async () => {
    const refused = await lab.exec("n1", "remove-node", "n2");
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /trivet: node "n2" is online: run "trivet leave" there/);
    assert.match((await lab.exec("n1", "remove-node", "nobody")).stderr, /there is no node "nobody"/);
    const left = await lab.exec("n3", "leave");
    assert.equal(left.code, 0, left.stderr);
    assert.deepEqual(await memberNames(), ["n1", "n2"]);
    assert.match((await lab.kubectl.run(["get", "node", "n3"])).stderr, /NotFound/);
    const used = await invite();
    const again = await lab.exec("n3", "join", used, "--name", "n3", "--address", lab.node("n3").address);
    assert.equal(again.code, 0, again.stderr);
    await waitFor("n3 is back", 60_000, async () => (await memberNames()).includes("n3"));
    assert.match(await tryJoin(used, "x6"), /already used by node "n3"/);
  });

  test("a dead node is removed", async () => {
    await lab.do("kill", "n3");
    await waitFor("n3 is offline", 15_000, async () => {
      const member = (await lab.status("n1")).highAvailability.members.find((each) => each.name === "n3");
      return member?.online === false;
    });
    const removed = await lab.exec("n1", "remove-node", "n3");
    assert.equal(removed.code, 0, removed.stderr);
    assert.deepEqual(await memberNames(), ["n1", "n2"]);
    await lab.kubectl.ok(["create", "configmap", "after-removal"]);
  });
});
