/** A worker: no datastore and no API of its own, so it must find another control-plane node when its own dies. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { demoImage } from "#cli/demo.ts";
import { hasKubectl, skipUnlessRoot, waitFor } from "./harness.ts";
import { TestLab } from "./lab.ts";

const skip = skipUnlessRoot || (hasKubectl ? false : "needs kubectl");
const worker = "n4";

function pod(name: string): unknown {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: "web" } },
    spec: {
      nodeSelector: { "kubernetes.io/hostname": worker },
      containers: [{ name: "web", image: demoImage, ports: [{ containerPort: 8080 }] }],
    },
  };
}

describe("a worker", { skip, timeout: 600_000 }, () => {
  let lab: TestLab;
  before(async () => {
    lab = await TestLab.up(3, 1);
  });
  after(async () => {
    await TestLab.down();
  });

  test("becomes Ready and runs pods that reach Services and the cluster's DNS", async () => {
    await lab.kubectl.ok(["wait", "--for=condition=Ready", `node/${worker}`, "--timeout=60s"], undefined);
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
    };
    await lab.kubectl.apply(pod("first"), service);
    await lab.kubectl.ok(["wait", "--for=condition=Ready", "pod/first", "--timeout=60s"]);
    const url = "http://web.default.svc.cluster.local/";
    const ask = ["exec", "first", "--", "timeout", "5", "wget", "-qO-", url];
    assert.match(await waitFor("the Service", 15_000, () => lab.kubectl.ok(ask)), /first/);
    const { highAvailability } = await lab.status("n1");
    assert.ok(highAvailability.members.every((each) => each.name !== worker));
  });

  test("goes on when the control-plane node it talks to is killed", async (t) => {
    // The first of its endpoints, which is asked first.
    await lab.do("kill", "n1");
    lab.talkTo("n2");
    const killedAtMs = Date.now();
    await waitFor("a new leader", 15_000, async () => (await lab.leader(["n1"])) !== "");
    await waitFor("a pod for the worker", 15_000, () => lab.kubectl.apply(pod("second")));
    await lab.kubectl.ok(["wait", "--for=condition=Ready", "pod/second", "--timeout=60s"]);
    t.diagnostic(`a new pod runs on the worker ${Date.now() - killedAtMs} ms after the kill`);
    const ready = await lab.kubectl.ok([
      "get",
      "node",
      worker,
      "-o",
      'jsonpath={.status.conditions[?(@.type=="Ready")].status}',
    ]);
    assert.equal(ready, "True", "it was never taken for dead");
  });
});
