/** Add-ons on two API servers' worth of host over one cluster state: the real API on the memory backend. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createApiServer } from "#api/server.ts";
import type { ApiServer } from "#api/server.ts";
import type { HttpHandler } from "#base/http.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { Clock, Logger } from "#base/ports.ts";
import { createClient } from "#client/client.ts";
import { systemRandom } from "#client/system-clock.ts";
import type { ApiClient } from "#client/types.ts";
import { allKinds } from "#kinds/all.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Addon } from "./addon.ts";
import { AddonHost } from "./host.ts";
import { metricsAddon } from "./metrics/metrics.ts";
import { addonRoute, addonsPath } from "./route.ts";

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
/** Timers come a hundred times sooner. */
const quick: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs / 100);
    return { cancel: () => clearTimeout(timer) };
  },
};
const configMaps = { group: "", version: "v1", plural: "configmaps" };
const nodes = { group: "", version: "v1", plural: "nodes" };

interface World {
  api: ApiServer;
  client: ApiClient;
  host(...catalogue: Addon[]): AddonHost;
}

async function start(context: TestContext, agentPort = 0): Promise<World> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const backend = new MemoryBackend();
  const api = createApiServer({
    backend,
    kinds: allKinds,
    clock: quick,
    random: systemRandom,
    logger: quiet,
    serviceCidr: "10.96.0.0/16",
    serviceAccounts: {
      issuer: "https://test",
      privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    },
    agentDialer: { dial: async () => ({ socket: connect(agentPort, "127.0.0.1"), host: "agent" }) },
  });
  const user = { name: "admin", groups: ["system:masters", "system:authenticated"] };
  const client = createClient({
    transport: (request) => api.handler({ ...request, user }),
    userAgent: "test",
  });
  await api.ready();
  const hosts: AddonHost[] = [];
  context.after(async () => {
    for (const each of hosts) await each.close();
    await api.close();
    await backend.close();
  });
  return {
    api,
    client,
    host(...catalogue) {
      const host = new AddonHost({
        catalogue,
        client,
        clock: quick,
        logger: quiet,
        addRoute: (route) => api.addRoute(route),
        addResources: (resources) => api.addResources(resources),
      });
      hosts.push(host);
      return host;
    },
  };
}

/** An add-on that notes what happens to it, and fails as often as it is told to. */
function noting(name: string, notes: string[], failures = 0): Addon {
  return {
    name,
    description: name,
    requires: [],
    objects: [
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `of-${name}`, namespace: "default" } },
    ],
    nextSteps: (url) => [`see ${url}`],
    async start() {
      if (failures-- > 0) throw new Error("not yet");
      notes.push(`${name} started`);
      return {
        close: async () => {
          notes.push(`${name} stopped`);
        },
      };
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < endMs, "the condition did not come true in time");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test("an add-on runs on every node while the cluster's state says so", async (context) => {
  const world = await start(context);
  const [here, there] = [[], []] as [string[], string[]];
  const first = world.host(noting("a", here));
  world.host(noting("a", there));
  const [state] = await first.switch({ enable: ["a"], disable: [] });
  assert.deepEqual([state?.enabled, state?.running, state?.trouble], [true, true, ""]);
  await until(() => there.length === 1);
  const object = await world.client.get<KubeObject>(configMaps, "default", "of-a");
  assert.equal(object.metadata.name, "of-a");

  await first.switch({ enable: [], disable: ["a"] });
  await until(() => there.length === 2);
  assert.deepEqual(
    [here, there],
    [
      ["a started", "a stopped"],
      ["a started", "a stopped"],
    ],
  );
  await assert.rejects(world.client.get(configMaps, "default", "of-a"), /not found/);
});

test("what is enabled survives a restart; closing a node disables nothing", async (context) => {
  const world = await start(context);
  const before: string[] = [];
  const first = world.host(noting("a", before));
  await first.switch({ enable: ["a"], disable: [] });
  await first.close();
  assert.deepEqual(before, ["a started", "a stopped"]);
  await world.client.get(configMaps, "default", "of-a");
  const after: string[] = [];
  world.host(noting("a", after));
  await until(() => after.length === 1);
});

test("an add-on that can't start is shown with its trouble and tried again", async (context) => {
  const world = await start(context);
  const notes: string[] = [];
  const host = world.host(noting("a", notes, 2), noting("b", notes));
  const states = await host.switch({ enable: ["a", "b"], disable: [] });
  assert.deepEqual(
    states.map(({ enabled, running, trouble }) => ({ enabled, running, trouble })),
    [
      { enabled: true, running: false, trouble: "not yet" },
      { enabled: true, running: true, trouble: "" },
    ],
  );
  await until(() => host.list().every((each) => each.running && each.trouble === ""));
});

test("the route lists, switches, and says clearly what it doesn't know", async (context) => {
  const world = await start(context);
  const catalogue = [noting("a", [])];
  const route = addonRoute(world.host(...catalogue), catalogue, "https://192.0.2.1:16443");
  assert.deepEqual(await call(route, "POST", { enable: ["a"] }), {
    addons: [{ name: "a", description: "a", requires: [], enabled: true, running: true, trouble: "" }],
    nextSteps: ["see https://192.0.2.1:16443"],
  });
  const wrong = (await call(route, "POST", { enable: ["x"] })) as { code: number; message: string };
  assert.equal(wrong.code, 404);
  assert.equal(wrong.message, 'there is no add-on "x": the add-ons of this version are a');
  const bad = (await call(route, "POST", { enable: "a" })) as { code: number };
  assert.equal(bad.code, 400);
});

test("metrics: nodes and pods under metrics.k8s.io, only while enabled", async (context) => {
  let cpuSeconds = 0;
  const stats = (name: string) => ({
    name,
    cpu: { usageCoreNanoSeconds: cpuSeconds * 1e9 },
    memory: { workingSetBytes: 64 * 1024 * 1024 },
  });
  let uid = "";
  const agent = createServer((request, response) => {
    assert.equal(request.url, "/stats/summary");
    cpuSeconds += 1;
    const podRef = { name: "web", namespace: "default", uid };
    response.end(JSON.stringify({ node: stats("n1"), pods: [{ podRef, containers: [stats("main")] }] }));
  });
  await new Promise<void>((resolve) => agent.listen(0, "127.0.0.1", resolve));
  context.after(() => agent.close());
  const { api, client, host } = await start(context, (agent.address() as AddressInfo).port);
  const node = await client.create<KubeObject>(nodes, { metadata: { name: "n1", labels: { rack: "r1" } } });
  await client.update(
    nodes,
    { ...node, status: { addresses: [{ type: "InternalIP", address: "127.0.0.1" }] } },
    { subresource: "status" },
  );
  await client.create<KubeObject>(
    { group: "", version: "v1", plural: "serviceaccounts" },
    { metadata: { name: "default", namespace: "default" } },
  );
  const pod = await client.create<KubeObject>(
    { group: "", version: "v1", plural: "pods" },
    {
      metadata: { name: "web", namespace: "default", labels: { app: "web" } },
      spec: { containers: [{ name: "main", image: "demo" }] },
    },
  );
  uid = pod.metadata.uid ?? "";
  const metricsPath = "/apis/metrics.k8s.io/v1beta1";
  await assert.rejects(client.getPath(metricsPath));

  const addons = host(metricsAddon);
  await addons.switch({ enable: ["metrics"], disable: [] });
  const list = (plural: string, query = "") =>
    client.getPath(`${metricsPath}/${plural}`, { query }) as Promise<{ kind: string; items: KubeObject[] }>;
  const deadlineMs = performance.now() + 5000;
  while ((await list("nodes")).items.length === 0) {
    assert.ok(performance.now() < deadlineMs, "there are values after two readings");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const ofNodes = await list("nodes");
  assert.equal(ofNodes.kind, "NodeMetricsList");
  assert.equal(ofNodes.items[0]?.metadata.labels?.["rack"], "r1");
  assert.match(JSON.stringify(ofNodes.items[0]?.["usage"]), /^{"cpu":"[1-9]\d*n","memory":"65536Ki"}$/);
  const selected = await list("pods", "labelSelector=app%3Dweb");
  assert.deepEqual(
    selected.items.map(({ metadata }) => metadata.name),
    ["web"],
  );
  assert.deepEqual((await list("pods", "labelSelector=app%3Dother")).items, []);
  const one = (await client.getPath(`${metricsPath}/namespaces/default/pods/web`)) as KubeObject;
  assert.equal(one.kind, "PodMetrics");
  await assert.rejects(client.getPath(`${metricsPath}/namespaces/default/pods/none`), {
    message: 'pods.metrics.k8s.io "none" not found',
  });
  const table = (await client.getPath(`${metricsPath}/nodes`, {
    accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
  })) as { rows: { cells: string[] }[] };
  assert.equal(table.rows[0]?.cells[0], "n1");
  assert.equal(table.rows[0]?.cells[2], "65536Ki");
  const resources = (await client.getPath(metricsPath)) as { resources: { name: string; verbs: string[] }[] };
  assert.deepEqual(
    resources.resources.map(({ name, verbs }) => [name, verbs.join()]),
    [
      ["nodes", "get,list"],
      ["pods", "get,list"],
    ],
  );
  const apiServices = { group: "apiregistration.k8s.io", version: "v1", plural: "apiservices" };
  const service = await client.get<KubeObject>(apiServices, undefined, "v1beta1.metrics.k8s.io");
  assert.match(JSON.stringify(service["status"]), /"reason":"Local"/);

  await addons.switch({ enable: [], disable: ["metrics"] });
  await assert.rejects(client.getPath(metricsPath));
  await assert.rejects(client.get(apiServices, undefined, "v1beta1.metrics.k8s.io"), /not found/);
  assert.equal(api.registry.find("metrics.k8s.io", "v1beta1", "nodes"), undefined);
});

async function call(route: HttpHandler, method: string, body: unknown): Promise<unknown> {
  const response = await route({
    method,
    path: addonsPath,
    query: "",
    headers: {},
    body: new TextEncoder().encode(JSON.stringify(body)),
    signal: new AbortController().signal,
  });
  assert.ok(response.body instanceof Uint8Array);
  return JSON.parse(new TextDecoder().decode(response.body));
}
