/**
 * Every kind of workload on real nodes: update, rollback, and the loss of a node; and a former leader that was
 * stopped for a while, whose late writes are refused.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { demoImage } from "#cli/demo.ts";
import { createClient } from "#client/client.ts";
import { httpsTransport } from "#client/https-transport.ts";
import { readKubeconfig } from "#client/kubeconfig.ts";
import type { ResourceName } from "#client/types.ts";
import { hasKubectl, skipUnlessRoot, waitFor } from "./harness.ts";
import { TestLab } from "./lab.ts";

const skip = skipUnlessRoot || (hasKubectl ? false : "needs kubectl");
const configMaps: ResourceName = { group: "", version: "v1", plural: "configmaps" };

/** Pods leave a lost node at once. */
const tolerations = ["not-ready", "unreachable"].map((reason) => ({
  key: `node.kubernetes.io/${reason}`,
  operator: "Exists",
  effect: "NoExecute",
  tolerationSeconds: 1,
}));

function template(app: string, container: object = {}, spec: object = {}): object {
  return {
    metadata: { labels: { app } },
    spec: {
      tolerations,
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "main", image: demoImage, env: [{ name: "REVISION", value: "1" }], ...container }],
      ...spec,
    },
  };
}

function workload(apiVersion: string, kind: string, name: string, spec: object): object {
  return { apiVersion, kind, metadata: { name, namespace: "default" }, spec };
}

const selector = (app: string): object => ({ matchLabels: { app } });
const forever = { command: ["sleep", "1000"] };
const perNode = { topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "ScheduleAnyway", maxSkew: 1 };

describe("workloads on three nodes", { skip, timeout: 480_000 }, () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up(3);
    await lab.kubectl.ok(["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s"]);
  });
  after(async () => {
    await TestLab.down();
  });

  async function field(kind: string, name: string, path: string): Promise<string> {
    return lab.kubectl.ok(["get", kind, name, "-o", `jsonpath={${path}}`]);
  }

  /** The values of REVISION in the containers of the pods that are not being deleted. */
  async function revisions(app: string): Promise<string> {
    const { items } = await lab.kubectl.json<{
      items: {
        metadata: { deletionTimestamp?: string };
        spec: { containers: { env: { value: string }[] }[] };
      }[];
    }>(["get", "pods", "-l", `app=${app}`]);
    return items
      .filter((each) => each.metadata.deletionTimestamp === undefined)
      .map((each) => each.spec.containers[0]?.env[0]?.value)
      .join("");
  }

  async function setRevision(kind: string, name: string, value: string): Promise<void> {
    await lab.kubectl.ok(["set", "env", `${kind}/${name}`, `REVISION=${value}`]);
  }

  test("a CronJob, an indexed Job and a ReplicationController do their work", async () => {
    const run = (command: string): object => ({ command: ["sh", "-c", command] });
    await lab.kubectl.apply(
      workload("batch/v1", "CronJob", "tick", {
        schedule: "* * * * *",
        jobTemplate: { spec: { template: template("tick", run("true"), { restartPolicy: "Never" }) } },
      }),
      workload("batch/v1", "Job", "indexed", {
        completions: 3,
        parallelism: 3,
        completionMode: "Indexed",
        backoffLimitPerIndex: 1,
        template: template("indexed", run("test $JOB_COMPLETION_INDEX != 1"), { restartPolicy: "Never" }),
      }),
      workload("v1", "ReplicationController", "classic", {
        replicas: 2,
        selector: { app: "classic" },
        template: template("classic"),
      }),
    );
    await lab.kubectl.ok(["wait", "--for=condition=Failed", "job/indexed", "--timeout=60s"]);
    assert.equal(await field("job", "indexed", ".status.completedIndexes"), "0,2");
    assert.equal(await field("job", "indexed", ".status.failedIndexes"), "1");
    await waitFor("two replicas", 30_000, async () => {
      return (await field("rc", "classic", ".status.readyReplicas")) === "2";
    });
    await lab.kubectl.ok(["delete", "rc", "classic", "--wait=false"]);
  });

  test("a StatefulSet is updated and rolled back in order, with a partition in between", async () => {
    const set = { replicas: 2, serviceName: "db", selector: selector("db"), template: template("db") };
    await lab.kubectl.apply(workload("apps/v1", "StatefulSet", "db", set));
    await lab.kubectl.ok(["rollout", "status", "statefulset/db", "--timeout=60s"]);
    const partition = (at: number): object => ({
      spec: { updateStrategy: { rollingUpdate: { partition: at } } },
    });
    await lab.kubectl.ok(["patch", "statefulset", "db", "-p", JSON.stringify(partition(1))]);
    await setRevision("statefulset", "db", "2");
    await waitFor("the upper half is new", 30_000, async () => (await revisions("db")) === "12");
    await lab.kubectl.ok(["patch", "statefulset", "db", "-p", JSON.stringify(partition(0))]);
    await lab.kubectl.ok(["rollout", "status", "statefulset/db", "--timeout=60s"]);
    assert.equal(await revisions("db"), "22");
    await lab.kubectl.ok(["rollout", "undo", "statefulset/db"]);
    await lab.kubectl.ok(["rollout", "status", "statefulset/db", "--timeout=60s"]);
    assert.equal(await revisions("db"), "11");
  });

  test("a DaemonSet is updated and rolled back, node by node", async () => {
    const set = { selector: selector("log"), template: template("log") };
    await lab.kubectl.apply(workload("apps/v1", "DaemonSet", "log", set));
    await lab.kubectl.ok(["rollout", "status", "daemonset/log", "--timeout=60s"]);
    await setRevision("daemonset", "log", "2");
    await lab.kubectl.ok(["rollout", "status", "daemonset/log", "--timeout=60s"]);
    assert.equal(await revisions("log"), "222");
    await lab.kubectl.ok(["rollout", "undo", "daemonset/log"]);
    await lab.kubectl.ok(["rollout", "status", "daemonset/log", "--timeout=60s"]);
    assert.equal(await revisions("log"), "111");
  });

  test("a node is lost: a Deployment and a Job move, a StatefulSet waits for its word, a DaemonSet comes back", async () => {
    const spread = { topologySpreadConstraints: [{ ...perNode, labelSelector: selector("web") }] };
    await lab.kubectl.apply(
      workload("apps/v1", "Deployment", "web", {
        replicas: 3,
        selector: selector("web"),
        template: template("web", {}, spread),
      }),
      workload("batch/v1", "Job", "long", {
        template: template("long", forever, { restartPolicy: "Never" }),
      }),
    );
    await lab.kubectl.ok(["rollout", "status", "deployment/web", "--timeout=60s"]);
    await lab.kubectl.ok(["wait", "--for=condition=Ready", "pod", "-l", "app=long", "--timeout=30s"]);
    const [first] = JSON.parse(
      `[${(await lab.kubectl.ok(["get", "pods", "-l", "app=long", "-o", 'jsonpath={"\\""}{.items[0].spec.nodeName}{"\\""}'])).trim()}]`,
    ) as [string];
    const leader = await lab.leader();
    // The node with the Job's pod, unless it leads: then the Job stays and the others show the loss.
    const lost = first === leader ? lab.nodes.find(({ name }) => name !== leader)!.name : first;
    lab.talkTo(leader);
    await lab.do("kill", lost);
    await waitFor("all replicas on the other nodes", 60_000, async () => {
      const { items } = await lab.kubectl.json<{
        items: {
          metadata: { deletionTimestamp?: string };
          spec: { nodeName?: string };
          status: { phase: string };
        }[];
      }>(["get", "pods", "-l", "app in (web,long)"]);
      const alive = items.filter((each) => each.metadata.deletionTimestamp === undefined);
      return (
        alive.length === 4 &&
        alive.every(({ spec, status }) => spec.nodeName !== lost && status.phase === "Running")
      );
    });
    const orphan = (await lab.kubectl.ok(["get", "pods", "-l", "app=db", "-o", "wide", "--no-headers"]))
      .split("\n")
      .find((line) => line.includes(` ${lost} `))
      ?.split(" ")[0];
    if (orphan !== undefined) {
      assert.notEqual(await field("pod", orphan, ".metadata.deletionTimestamp"), "");
      await lab.kubectl.ok(["delete", "pod", orphan, "--force", "--grace-period=0"]);
      await lab.kubectl.ok(["rollout", "status", "statefulset/db", "--timeout=60s"]);
    }
    await lab.do("start", lost);
    await lab.kubectl.ok(["wait", "--for=condition=Ready", `node/${lost}`, "--timeout=60s"]);
    await lab.kubectl.ok(["rollout", "status", "daemonset/log", "--timeout=60s"]);
  });

  test("the writes of a leader that was stopped and replaced meanwhile are refused", async () => {
    const former = await lab.leader();
    const { term } = (await lab.status(former)).highAvailability;
    const { transport } = readKubeconfig(lab.kubeconfig);
    const connection = httpsTransport({
      ...transport,
      endpoints: [`${lab.node(former).address}:16443`],
      pingIntervalMs: 60_000,
    });
    const client = createClient({ transport: connection.handler, userAgent: "e2e", deadlineMs: 60_000 });
    const write = async (name: string): Promise<string> =>
      client
        .create(
          configMaps,
          { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" } },
          { fenceTerm: term },
        )
        .then(
          () => "written",
          (error: Error) => error.message,
        );
    try {
      assert.equal(await write("in-time"), "written");
      await lab.do("pause", former);
      // It lies in the stopped node's socket: what the node had decided to do and did not come to do.
      const late = write("too-late");
      const next = await lab.leader([former]);
      lab.talkTo(next);
      assert.ok((await lab.status(next)).highAvailability.term > term);
      await delay(500);
      await lab.do("resume", former);
      assert.match(await late, /fenced/);
      assert.notEqual((await lab.kubectl.run(["get", "configmap", "too-late"])).code, 0);
      const holder = await waitFor("the new leader's lease", 20_000, async () => {
        const lease = ["get", "lease", "-n", "kube-system", "kube-scheduler"];
        const text = await lab.kubectl.ok([...lease, "-o", "jsonpath={.spec.holderIdentity}"]);
        return text.startsWith(`${former}_`) ? undefined : text;
      });
      assert.match(holder, /^n[123]_\d+$/);
    } finally {
      await connection.close();
    }
  });

  test("the CronJob has run meanwhile", async () => {
    await waitFor("a finished Job of the CronJob", 70_000, async () => {
      return (await field("cronjob", "tick", ".status.lastSuccessfulTime")) !== "";
    });
    await lab.kubectl.ok(["delete", "cronjob", "tick"]);
  });
});
