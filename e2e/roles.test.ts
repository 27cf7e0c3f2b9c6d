/** The roles of a datastore that grows, and how they heal. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { hasKubectl, skipUnlessRoot, waitFor } from "./harness.ts";
import type { DrillReport } from "#cli/drill.ts";
import { TestLab } from "./lab.ts";
import { Writer } from "./writer.ts";

const skip = skipUnlessRoot || (hasKubectl ? false : "needs kubectl");

async function roles(lab: TestLab, from: string): Promise<Record<string, string>> {
  const { members } = (await lab.status(from)).highAvailability;
  return Object.fromEntries(members.map((each) => [each.name, each.role]));
}

function count(all: Record<string, string>, role: string): number {
  return Object.values(all).filter((each) => each === role).length;
}

describe("roles", { skip, timeout: 900_000 }, () => {
  after(async () => {
    await TestLab.down();
  });

  test("two nodes: the second holds a full copy", async () => {
    const lab = await TestLab.up(2);
    await waitFor("one voter and one standby", 30_000, async () => {
      const all = await roles(lab, "n1");
      return count(all, "voter") === 1 && count(all, "standby") === 1;
    });
    await lab.kubectl.ok(["create", "configmap", "copy", "--from-literal=a=b"]);
    await waitFor("the standby has everything", 10_000, async () => {
      const status = await lab.status("n1");
      return status.highAvailability.members.every((each) => each.lagEntries >= 0 && each.lagEntries < 50);
    });
    const read = await lab.exec("n2", "kubectl", "get", "configmap", "copy", "-o", "jsonpath={.data.a}");
    assert.equal(read.stdout, "b");
    assert.equal((await lab.status("n1")).highAvailability.enabled, false);
    const refused = await lab.exec("n1", "drill", "--yes");
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /not highly available/);
    const advice = await lab.exec("n1", "status");
    assert.match(advice.stdout, /add-node --witness/);

    // Whoever is the only voter hands over to its standby before it stops.
    await lab.do("stop", "n1");
    lab.talkTo("n2");
    await waitFor(
      "n2 leads alone",
      10_000,
      async () => (await lab.status("n2")).highAvailability.leader === "n2",
    );
    await lab.kubectl.ok(["create", "configmap", "while-n1-is-stopped"]);
    await lab.do("start", "n1");
    await waitFor("n1 is the standby", 30_000, async () => {
      const { members } = (await lab.status("n2")).highAvailability;
      return members.some((each) => each.name === "n1" && each.role === "standby" && each.online);
    });
  });

  test("two nodes and a witness survive the loss of either node; a drill proves it", async (t) => {
    const lab = await TestLab.up(2, 0, 1);
    await waitFor("three voters", 30_000, async () => count(await roles(lab, "n1"), "voter") === 3);
    const witness = await lab.status("n3");
    assert.equal(witness.ready, true);
    assert.equal(witness.highAvailability.members.find((each) => each.name === "n3")?.witness, true);
    const leader = await lab.leader();
    const other = leader === "n1" ? "n2" : "n1";

    const drill = await lab.exec(other, "drill", "--yes", "--outage", "2", "--format", "json");
    assert.equal(drill.code, 0, drill.stderr);
    const report = JSON.parse(drill.stdout) as DrillReport;
    t.diagnostic(JSON.stringify(report));
    assert.deepEqual([report.oldLeader, report.newLeader], [leader, other]);
    assert.ok((report.nodes.find((each) => each.node === other)?.longestGapMs ?? Infinity) < 5_000);

    await lab.do("kill", other);
    lab.talkTo(leader);
    await waitFor("the other node leads", 15_000, async () => (await lab.leader([other])) === leader);
    await lab.kubectl.ok(["create", "configmap", "with-the-witness"]);
    await lab.do("start", other);
    await waitFor(
      "all are back",
      40_000,
      async () => (await lab.status(leader)).highAvailability.failuresToQuorumLoss === 1,
    );
  });

  test("four nodes: the standby takes a dead voter's place, which comes back as standby", async (t) => {
    const lab = await TestLab.up(4);
    const all = await waitFor("three voters and a standby", 30_000, async () => {
      const seen = await roles(lab, "n1");
      return count(seen, "voter") === 3 && count(seen, "standby") === 1 && seen;
    });
    const leader = await lab.leader();
    const standby = Object.keys(all).find((name) => all[name] === "standby") ?? "";
    const victim = Object.keys(all).find((name) => all[name] === "voter" && name !== leader) ?? "";
    const writer = new Writer("swap", lab.kubeconfig, lab.endpoints()).start();
    await waitFor("writes", 10_000, () => writer.count > 20);
    t.after(() => writer.stop());
    const killedAtMs = Date.now();
    await lab.do("kill", victim);
    await waitFor(
      "the standby is a voter",
      15_000,
      async () => (await roles(lab, leader))[standby] === "voter",
    );
    t.diagnostic(`promoted ${Date.now() - killedAtMs} ms after the kill began`);
    const { highAvailability } = await lab.status(leader);
    assert.match(
      JSON.stringify(highAvailability.decisions),
      new RegExp(standby),
      "status explains the change",
    );
    const event = await waitFor("an Event", 10_000, async () => {
      const found = await lab.kubectl.ok([
        "get",
        "events",
        "--field-selector",
        "reason=VoterReplaced",
        "-o",
        "name",
      ]);
      return found.includes("event/") && found;
    });
    assert.match(event, new RegExp(victim));
    await lab.do("start", victim);
    await waitFor(
      "the victim is a standby",
      40_000,
      async () => (await roles(lab, leader))[victim] === "standby",
    );
    await writer.stopAndVerify({ kubeconfig: lab.kubeconfig, endpoint: lab.endpoints()[0] ?? "" });
  });

  test("eight nodes: three voters, three standbys, two spares; a spare serves its own API", async () => {
    const lab = await TestLab.up(8);
    const all = await waitFor("3 voters, 3 standbys, 2 spares", 60_000, async () => {
      const seen = await roles(lab, "n1");
      return count(seen, "voter") === 3 && count(seen, "standby") === 3 && count(seen, "spare") === 2 && seen;
    });
    const spare = Object.keys(all).find((name) => all[name] === "spare") ?? "";
    const created = await lab.exec(spare, "kubectl", "create", "configmap", "from-a-spare");
    assert.equal(created.code, 0, created.stderr);
    await lab.kubectl.ok(["get", "configmap", "from-a-spare"]);
  });
});
