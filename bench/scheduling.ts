/**
 * Scheduling and workloads at scale. One process has the API server, the control loops and the scheduler
 * over the memory backend; this one plays 1,000 hollow nodes and the clients. `--quick`: a fifth of the pods,
 * and nothing of what takes minutes.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { StatusError } from "#base/errors.ts";
import { createClient } from "#client/client.ts";
import { httpsTransport } from "#client/https-transport.ts";
import { createInformer } from "#client/informer.ts";
import { readKubeconfig } from "#client/kubeconfig.ts";
import { systemClock, systemRandom } from "#client/system-clock.ts";
import type { ApiClient, ResourceName } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";
import { HollowAgents } from "#lab/hollow/agents.ts";
import { median, printTable } from "./table.ts";

const pods: ResourceName = { group: "", version: "v1", plural: "pods" };
const serviceAccounts: ResourceName = { group: "", version: "v1", plural: "serviceaccounts" };
const deployments: ResourceName = { group: "apps", version: "v1", plural: "deployments" };
const quiet = { debug() {}, info() {}, warn() {}, error: (text: string) => console.error(text) };
const nodeResource: ResourceName = { group: "", version: "v1", plural: "nodes" };
const never = 3_600_000;

interface Stage {
  client: ApiClient;
  /** The control loops and the scheduler begin, or end. */
  lead(leading: boolean): void;
  /** The nodes have all that controllers give to new ones. Must lead. */
  whenNodesAreReady(): Promise<void>;
  residentMb(): number;
  /** Seconds of processor time so far. */
  cpuSeconds(): number;
  close(): Promise<void>;
}

async function stage(nodes: number, startMs: number): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), "trivet-bench-scheduling-"));
  const script = new URL("../scripts/serve-control-plane.ts", import.meta.url).pathname;
  const server: ChildProcess = spawn(
    process.execPath,
    [...process.execArgv, script, "--dir", directory, "--lead-on-signal"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [path] = (await once(createInterface(server.stdout!), "line")) as [string];
  const transport = httpsTransport(readKubeconfig(path).transport);
  const client = createClient({ transport: transport.handler, userAgent: "bench", deadlineMs: 60_000 });
  const agents = new HollowAgents({
    client,
    clock: systemClock,
    random: systemRandom,
    logger: quiet,
    count: nodes,
    delays: { startMs, stopMs: 0 },
  });
  await agents.start();
  let isLeading = false;
  const file = (name: string): string => readFileSync(`/proc/${server.pid}/${name}`, "utf8");
  return {
    client,
    lead(leading) {
      if (leading !== isLeading) server.kill("SIGUSR2");
      isLeading = leading;
    },
    async whenNodesAreReady() {
      const isReady = ({ spec, metadata }: KubeObject & { spec?: { podCIDR?: string; taints?: unknown } }) =>
        spec?.podCIDR !== undefined &&
        spec.taints === undefined &&
        metadata.labels?.["beta.kubernetes.io/os"] !== undefined;
      while (!(await client.list(nodeResource)).items.every(isReady)) await delay(200);
    },
    residentMb: () => Number(/VmRSS:\s+(\d+)/.exec(file("status"))?.[1]) / 1024,
    cpuSeconds() {
      const fields = file("stat").split(") ")[1]?.split(" ") ?? [];
      return (Number(fields[11]) + Number(fields[12])) / 100;
    },
    async close() {
      agents.stop();
      await transport.close();
      server.kill("SIGKILL");
      await once(server, "exit");
      rmSync(directory, { recursive: true });
    },
  };
}

function unlessThere(error: unknown): void {
  if (!(error instanceof StatusError) || error.reason !== "AlreadyExists") throw error;
}

function pod(name: string, app: string, extra: object = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app } },
    spec: {
      containers: [{ name: "web", image: "web", resources: { requests: { cpu: "10m", memory: "16Mi" } } }],
      ...extra,
    },
  };
}

async function createAll(client: ApiClient, objects: KubeObject[]): Promise<void> {
  const waiting = objects.values();
  await Promise.all(
    Array.from({ length: 64 }, async () => {
      for (const object of waiting) await client.create(pods, object);
    }),
  );
}

async function countUnbound(client: ApiClient): Promise<number> {
  const answer = (await client.getPath("/api/v1/pods", {
    query: "fieldSelector=spec.nodeName%3D&limit=1",
  })) as {
    metadata: { remainingItemCount?: number };
    items: unknown[];
  };
  return answer.items.length + (answer.metadata.remainingItemCount ?? 0);
}

/** How many of these pods are bound per second, counted from when the scheduler begins to know them. */
async function schedulingRate(count: number, make: (index: number) => KubeObject): Promise<string> {
  const on = await stage(1000, never);
  try {
    on.lead(true);
    await on.whenNodesAreReady();
    on.lead(false);
    // Its controller does not run now.
    await on.client
      .create(serviceAccounts, {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: "default", namespace: "default" },
      })
      .catch(unlessThere);
    await createAll(
      on.client,
      Array.from({ length: count }, (_, index) => make(index)),
    );
    const began = performance.now();
    on.lead(true);
    const seen: { at: number; left: number }[] = [];
    for (;;) {
      const left = await countUnbound(on.client);
      seen.push({ at: performance.now(), left });
      if (left === 0) break;
      if (performance.now() - began > 240_000) throw new Error(`${left} pods are still unbound`);
      // Each look costs the server as much as a few pods: rare ones, until the end is near.
      await delay(left > count / 10 ? 1000 : 100);
    }
    // The informers' first lists come before the first binding.
    const first = seen.findLast((each) => each.left === count) ?? { at: began };
    const last = seen.at(-1)!;
    return (count / ((last.at - first.at) / 1000)).toFixed(0);
  } finally {
    await on.close();
  }
}

/** Seconds until all replicas of one Deployment are available; each pod takes about a second to start. */
async function deployment(replicas: number): Promise<string> {
  const on = await stage(1000, 1000);
  try {
    on.lead(true);
    await on.whenNodesAreReady();
    const began = performance.now();
    await on.client.create(deployments, deploymentOf(replicas));
    for (;;) {
      const now = await on.client.get<KubeObject>(deployments, "default", "big");
      if ((now["status"] as { availableReplicas?: number }).availableReplicas === replicas) break;
      if (performance.now() - began > 120_000) throw new Error("the Deployment is not available");
      await delay(100);
    }
    return ((performance.now() - began) / 1000).toFixed(1);
  } finally {
    await on.close();
  }
}

/** From the request to create a pod until a client sees it run, on nodes that need no time to start it. */
async function startLatency(): Promise<string[]> {
  const on = await stage(100, 0);
  try {
    on.lead(true);
    await on.whenNodesAreReady();
    const began = new Map<string, number>();
    const took: number[] = [];
    const informer = createInformer<KubeObject>({
      client: on.client,
      resource: pods,
      clock: systemClock,
      logger: quiet,
    });
    await informer.whenSynced();
    informer.onChange((object) => {
      const name = object?.metadata.name ?? "";
      const at = began.get(name);
      const status = object?.["status"] as { phase?: string } | undefined;
      if (at === undefined || status?.phase !== "Running") return;
      began.delete(name);
      took.push(performance.now() - at);
    });
    for (let index = 0; index < 400; index++) {
      began.set(`quick-${index}`, performance.now());
      await on.client.create(pods, pod(`quick-${index}`, "quick"));
      await delay(25);
    }
    await delay(1000);
    informer.stop();
    if (took.length < 400) throw new Error(`only ${took.length} of 400 pods were seen running`);
    const sorted = took.toSorted((a, b) => a - b);
    return [median(sorted).toFixed(1), (sorted[Math.floor(sorted.length * 0.99)] ?? NaN).toFixed(1)];
  } finally {
    await on.close();
  }
}

/** What a cluster of 100 nodes and 3,000 pods costs when nothing happens but leases. */
async function idle(): Promise<{ cpu: string; perThousand: string }> {
  const on = await stage(100, 0);
  try {
    on.lead(true);
    await on.whenNodesAreReady();
    const before = on.residentMb();
    await on.client.create(deployments, deploymentOf(3000));
    const began = performance.now();
    for (;;) {
      const now = await on.client.get<KubeObject>(deployments, "default", "big");
      if ((now["status"] as { availableReplicas?: number }).availableReplicas === 3000) break;
      if (performance.now() - began > 120_000) throw new Error("the Deployment is not available");
      await delay(500);
    }
    await delay(30_000);
    const after = on.residentMb();
    const cpu = on.cpuSeconds();
    await delay(60_000);
    return {
      cpu: (((on.cpuSeconds() - cpu) / 60) * 100).toFixed(1),
      perThousand: ((after - before) / 3).toFixed(1),
    };
  } finally {
    await on.close();
  }
}

function deploymentOf(replicas: number): KubeObject {
  const { spec } = pod("", "big") as unknown as { spec: object };
  const labels = { app: "big" };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "big", namespace: "default" },
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
}

/** One of 50 applications, spread over zones and away from its own kind. */
function demanding(index: number): KubeObject {
  const labels = { app: `app-${index % 50}` };
  return pod(`demanding-${index}`, labels.app, {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: { matchLabels: labels }, topologyKey: "kubernetes.io/hostname" },
        ],
      },
    },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "topology.kubernetes.io/zone",
        whenUnsatisfiable: "DoNotSchedule",
        labelSelector: { matchLabels: labels },
      },
    ],
  });
}

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } }, strict: false });
const isQuick = values["quick"] === true;
const share = isQuick ? 0.2 : 1;
const amount = (count: number): string => (count * share).toLocaleString("en");
const rows: string[][] = [];
const report = (what: string, measured: string, aim: string): void => {
  console.error(`${what}: ${measured}`);
  rows.push([what, measured, aim]);
};
report(
  `${amount(10_000)} plain pods on 1,000 nodes, bound per second`,
  await schedulingRate(10_000 * share, (index) => pod(`plain-${index}`, `app-${index % 50}`)),
  "1,000",
);
report(
  `${amount(3000)} pods with anti-affinity and zone spread on 1,000 nodes, bound per second`,
  await schedulingRate(3000 * share, demanding),
  "300",
);
report(
  `a Deployment of ${amount(1000)} replicas until all are available, s`,
  await deployment(1000 * share),
  "10",
);
const [p50 = "", p99 = ""] = await startLatency();
report("pod start-up added by the control plane, 40 pods/s, p50 ms", p50, "");
report("pod start-up added by the control plane, 40 pods/s, p99 ms", p99, "100");
if (!isQuick) {
  const quietCluster = await idle();
  report("processor time of an idle cluster of 100 nodes and 3,000 pods, % of a core", quietCluster.cpu, "5");
  report("resident memory per 1,000 pods, MB", quietCluster.perThousand, "");
}
printTable("Scheduling and workloads on hollow nodes", ["what", "measured", "aim"], rows);
