/** A cluster of three nodes loses its leader, is cut in two and is switched off; nothing acknowledged is lost. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { demoImage } from "#cli/demo.ts";
import { hasKubectl, skipUnlessRoot, waitFor } from "./harness.ts";
import { TestLab } from "./lab.ts";
import { Writer } from "./writer.ts";

const skip = skipUnlessRoot || (hasKubectl ? false : "needs kubectl");

interface Pod {
  metadata: { name: string; deletionTimestamp?: string };
  spec: { nodeName?: string };
  status: {
    podIP?: string;
    conditions?: { type: string; status: string }[];
    containerStatuses?: { containerID?: string; restartCount: number }[];
  };
}

function webApp(name: string, replicas: number, tolerationSeconds: number): unknown[] {
  const tolerations = ["not-ready", "unreachable"].map((reason) => ({
    key: `node.kubernetes.io/${reason}`,
    operator: "Exists",
    effect: "NoExecute",
    tolerationSeconds,
  }));
  const labels = { app: name };
  return [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace: "default" },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            tolerations,
            terminationGracePeriodSeconds: 1,
            containers: [{ name: "web", image: demoImage, ports: [{ containerPort: 8080 }] }],
          },
        },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "default" },
      spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
    },
  ];
}

describe("three nodes", { skip, timeout: 900_000 }, () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up(3);
  });
  after(async () => {
    await TestLab.down();
  });

  async function readyPods(app: string): Promise<Pod[]> {
    const { items } = await lab.kubectl.json<{ items: Pod[] }>(["get", "pods", "-l", `app=${app}`]);
    return items.filter(
      (pod) =>
        pod.metadata.deletionTimestamp === undefined &&
        pod.status.conditions?.some((each) => each.type === "Ready" && each.status === "True") === true,
    );
  }

  async function nodeReady(name: string): Promise<string> {
    return lab.kubectl.ok([
      "get",
      "node",
      name,
      "-o",
      'jsonpath={.status.conditions[?(@.type=="Ready")].status}',
    ]);
  }

  test("high availability is enabled and the kubeconfig works from here", async () => {
    const status = await waitFor("three voters", 30_000, async () => {
      const seen = await lab.status("n1");
      return seen.highAvailability.members.filter((each) => each.role === "voter").length === 3 && seen;
    });
    assert.equal(status.highAvailability.enabled, true);
    assert.equal(status.highAvailability.failuresToQuorumLoss, 1);
    assert.ok(status.highAvailability.members.every((each) => each.online && each.lagEntries < 1000));
    await lab.kubectl.ok(["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=30s"]);
  });

  test("pods on different nodes reach each other and Services over the overlay", async () => {
    await lab.kubectl.apply(...webApp("web", 3, 5));
    await lab.kubectl.ok(["rollout", "status", "deployment/web", "--timeout=60s"]);
    const pods = await readyPods("web");
    assert.ok(new Set(pods.map((each) => each.spec.nodeName)).size >= 2, "the pods are on different nodes");
    for (const from of pods)
      for (const to of pods) {
        const answer = await lab.kubectl.ok([
          "exec",
          from.metadata.name,
          "--",
          "timeout",
          "3",
          "wget",
          "-qO-",
          `http://${to.status.podIP ?? ""}:8080/`,
        ]);
        assert.match(answer, new RegExp(to.metadata.name));
      }
    const first = pods[0]?.metadata.name ?? "";
    const answer = await lab.kubectl.ok([
      "exec",
      first,
      "--",
      "timeout",
      "5",
      "wget",
      "-qO-",
      "http://web.default.svc.cluster.local/",
    ]);
    assert.match(answer, /web-[a-z0-9]+-[a-z0-9]+/);
  });

  test("kill -9 of the leader: writes go on within 3 s, pods move, the node comes back", async (t) => {
    const leader = await lab.leader();
    const others = lab.nodes.filter((each) => each.name !== leader);
    const survivor = others[0];
    assert.ok(survivor !== undefined);
    lab.talkTo(survivor.name);
    const writer = new Writer("kill", lab.kubeconfig, lab.endpoints()).start();
    t.after(() => writer.stop());
    await waitFor("writes", 10_000, () => writer.count > 20);
    const killedAtMs = Date.now();
    await lab.do("kill", leader);
    await waitFor(
      "writes after the kill",
      10_000,
      () => writer.longestGapMs(killedAtMs) < Date.now() - killedAtMs - 200,
    );
    const gapMs = writer.longestGapMs(killedAtMs);
    t.diagnostic(`writes went on after ${gapMs} ms`);
    assert.ok(gapMs < 3_000, `writes went on after ${gapMs} ms (${writer.lastError})`);
    assert.notEqual(await lab.leader([leader]), leader);
    await waitFor(
      "the node is NotReady",
      15_000 - Math.min(Date.now() - killedAtMs, 14_000),
      async () => (await nodeReady(leader)) !== "True",
    );
    t.diagnostic(`NotReady ${Date.now() - killedAtMs} ms after the kill began`);
    await waitFor("all replicas run elsewhere", 60_000, async () => {
      const pods = await readyPods("web");
      return pods.length === 3 && pods.every((each) => each.spec.nodeName !== leader);
    });
    await lab.kubectl.ok(["scale", "deployment/web", "--replicas=4"]);
    await waitFor(
      "the controllers scale with the new leader",
      30_000,
      async () => (await readyPods("web")).length === 4,
    );
    await lab.do("start", leader);
    await waitFor("the node is Ready again", 60_000, async () => (await nodeReady(leader)) === "True");
    await waitFor("it has caught up", 30_000, async () => {
      const member = (await lab.status(survivor.name)).highAvailability.members.find(
        (each) => each.name === leader,
      );
      return member?.online === true && member.lagEntries >= 0 && member.lagEntries < 100;
    });
    const verified = await writer.stopAndVerify({
      kubeconfig: lab.kubeconfig,
      endpoint: `${lab.node(leader).address}:16443`,
    });
    assert.ok(verified > 100, `${verified} acknowledged writes were checked on the node that came back`);
  });

  test("a partition of the leader: the minority refuses writes, the majority goes on, all are equal after it heals", async (t) => {
    const leader = await lab.leader();
    const others = lab.nodes.filter((each) => each.name !== leader).map((each) => each.name);
    const writer = new Writer("partition", lab.kubeconfig, lab.endpoints()).start();
    t.after(() => writer.stop());
    await waitFor("writes", 10_000, () => writer.count > 20);
    const cutAtMs = Date.now();
    t.after(() => lab.do("heal", leader));
    await lab.do("partition", leader);
    await waitFor(
      "writes through the majority",
      10_000,
      () => writer.longestGapMs(cutAtMs) < Date.now() - cutAtMs - 200,
    );
    const askedAtMs = Date.now();
    const refusal = await lab.exec(
      leader,
      "kubectl",
      "create",
      "configmap",
      "minority",
      "--request-timeout=15s",
    );
    assert.notEqual(refusal.code, 0, "the minority side refuses writes");
    assert.match(refusal.stderr, /no leader|quorum|timed out|unavailable/i);
    const refusedMs = Date.now() - askedAtMs;
    t.diagnostic(`the minority's refusal took ${refusedMs} ms: ${refusal.stderr.trim()}`);
    assert.ok(refusedMs < 8_000, `the refusal took ${refusedMs} ms`);
    await lab.do("heal", leader);
    await waitFor("all replicas are equal", 30_000, async () => {
      const members = (await lab.status(others[0] ?? "")).highAvailability.members;
      return members.every((each) => each.online && each.lagEntries >= 0 && each.lagEntries < 100);
    });
    for (const node of lab.nodes)
      await writer.stopAndVerify({ kubeconfig: lab.kubeconfig, endpoint: `${node.address}:16443` });
    const absent = await lab.kubectl.run(["get", "configmap", "minority"]);
    assert.match(absent.stderr, /NotFound/);
  });

  test("all nodes are killed at once and started again: the state is there, surviving containers are adopted", async (t) => {
    await waitFor("all replicas ready", 60_000, async () => (await readyPods("web")).length === 4);
    const before = await readyPods("web");
    const containers = new Map(
      before.map((each) => [each.metadata.name, each.status.containerStatuses?.[0]?.containerID]),
    );
    const writer = new Writer("restart", lab.kubeconfig, lab.endpoints()).start();
    t.after(() => writer.stop());
    await waitFor("writes", 10_000, () => writer.count > 50);
    await Promise.all(lab.nodes.map((each) => lab.do("kill", each.name, "--keep-pods")));
    await delay(500);
    await Promise.all(lab.nodes.map((each) => lab.do("start", each.name)));
    await waitFor("all nodes are Ready", 60_000, async () =>
      (await Promise.all(lab.nodes.map((each) => nodeReady(each.name)))).every((each) => each === "True"),
    );
    await writer.stopAndVerify({ kubeconfig: lab.kubeconfig, endpoint: lab.endpoints()[0] ?? "" });
    await waitFor("all replicas ready again", 30_000, async () => (await readyPods("web")).length === 4);
    for (const pod of await readyPods("web")) {
      assert.equal(
        pod.status.containerStatuses?.[0]?.containerID,
        containers.get(pod.metadata.name),
        "the same container",
      );
      assert.equal(pod.status.containerStatuses?.[0]?.restartCount, 0, "not restarted");
    }
  });
});
