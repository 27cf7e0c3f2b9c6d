/**
 * The dashboard in a real browser: an API server alone, objects made by the test, an agent that the test
 * plays. Enabled as a user enables it. With TRIVET_SCREENSHOTS=DIRECTORY it leaves pictures there.
 */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { chromium } from "playwright-core";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { createClient } from "#client/client.ts";
import type { ApiClient, ResourceName } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";
import { startAddons } from "../src/main/addons.ts";
import { startApiOnly } from "../scripts/serve-api.ts";
import type { ApiOnly } from "../scripts/serve-api.ts";
import { waitFor } from "./harness.ts";

const browserPath = "/usr/bin/chromium";
const skip = existsSync(browserPath) ? false : "needs Debian's chromium";
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const core = (plural: string): ResourceName => ({ group: "", version: "v1", plural });
const deployments: ResourceName = { group: "apps", version: "v1", plural: "deployments" };

const member = { address: "192.0.2.1:19001", online: true, lagEntries: 0, failureDomain: "" };
const highAvailability = {
  enabled: true,
  leader: "n1",
  term: 7,
  revision: 4711,
  failuresToQuorumLoss: 1,
  members: [
    { ...member, name: "n1", id: "1", role: "voter" },
    { ...member, name: "n2", id: "2", role: "voter", lagEntries: 3 },
    { ...member, name: "n3", id: "3", role: "voter" },
    { ...member, name: "n4", id: "4", role: "standby", online: false, lagEntries: -1 },
  ],
  decisions: [{ time: "2026-01-02T03:04:05Z", text: "n3 becomes a voter in the place of n4" }],
};

describe("the dashboard", { skip, timeout: 180_000 }, () => {
  const directory = mkdtempSync("/tmp/trivet-dashboard-");
  const logStreams: ServerResponse[] = [];
  let agent: Server;
  let server: ApiOnly;
  let client: ApiClient;
  let addons: ReturnType<typeof startAddons>;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let token: string;
  const complaints: string[] = [];

  before(async () => {
    agent = createServer((request, response) => {
      response.writeHead(200, { "content-type": "text/plain" });
      response.write(`first line of ${request.url?.split("?")[0]}\n`);
      logStreams.push(response);
    });
    await new Promise<void>((resolve) => agent.listen(0, "127.0.0.1", resolve));
    const { port } = agent.address() as AddressInfo;
    server = await startApiOnly({
      directory,
      port: 0,
      serviceCidr: "10.96.0.0/16",
      agentDialer: {
        dial: async () => ({ socket: connect(port, "127.0.0.1"), host: "agent" }),
      },
    });
    const user = { name: "admin", groups: ["system:masters", "system:authenticated"] };
    client = createClient({
      transport: (request) => server.api.handler({ ...request, user }),
      userAgent: "test",
    });
    server.api.addRoute({
      prefix: "/trivet/v1/status",
      authorize: true,
      handler: async () => ({
        status: 200,
        headers: { "content-type": "application/json" },
        body: Buffer.from(JSON.stringify({ ready: true, highAvailability })),
      }),
    });
    addons = startAddons({ api: server.api, client, apiUrl: server.url, logger: quiet });
    await makeObjects(client);
    browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
    context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
    page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
  });

  after(async () => {
    for (const each of logStreams) each.end();
    await browser.close();
    await addons.close();
    await server.close();
    agent.closeAllConnections();
    agent.close();
    rmSync(directory, { recursive: true });
  });

  test("is not there before it is enabled", async () => {
    const response = await context.request.get(`${server.url}/trivet/dashboard/`);
    assert.equal(response.status(), 403);
    await addons.switch({ enable: ["dashboard"], disable: [] });
    const page = await context.request.get(`${server.url}/trivet/dashboard/`);
    assert.equal(page.status(), 200);
    assert.match(page.headers()["content-security-policy"] ?? "", /default-src 'none'; script-src 'self'/);
    assert.equal((await context.request.get(`${server.url}/trivet/dashboard/tsconfig.json`)).status(), 404);
  });

  test("asks for a token and refuses a wrong one", async () => {
    const account = core("serviceaccounts");
    const request = await waitFor("the service account", 10_000, () =>
      client.post<KubeObject & { status: { token: string } }>(
        account,
        "kube-system",
        "trivet-dashboard",
        "token",
        {
          apiVersion: "authentication.k8s.io/v1",
          kind: "TokenRequest",
          metadata: {},
          spec: { audiences: [], expirationSeconds: 3600 },
        },
      ),
    );
    token = request.status.token;
    await page.goto(`${server.url}/trivet/dashboard/`);
    await page.getByLabel("Token").fill("nonsense");
    await page.keyboard.press("Enter");
    await page.getByText("This token is not valid").waitFor();
    complaints.length = 0;
    await page.getByLabel("Token").fill(token);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
  });

  test("shows nodes and high availability", async () => {
    const leader = page.getByRole("row", { name: /^n1 / });
    await leader.getByText("voter, leader").waitFor();
    await leader.getByText("Ready", { exact: true }).waitFor();
    await leader.getByText("control-plane").waitFor();
    await page.getByRole("row", { name: /^n4 / }).getByText("standby, offline").waitFor();
    await page.getByText("1 more node may fail").waitFor();
    await page.getByText("n3 becomes a voter in the place of n4").waitFor();
    await picture("overview");
  });

  test("shows workloads with their readiness, by namespace", async () => {
    await page.keyboard.press("2");
    const web = page.getByRole("row", { name: /^web Deployment/ });
    await web.getByText("2/3").waitFor();
    await page.getByRole("row", { name: /^store StatefulSet/ }).waitFor();
    assert.equal(await page.getByText("web-6d5f").count(), 0, "what a Deployment owns is not shown twice");
    await picture("workloads");
    await page.getByLabel("Namespace").selectOption("shop");
    await page.getByRole("row", { name: /^store StatefulSet/ }).waitFor();
    await page.getByRole("row", { name: /^web / }).waitFor({ state: "detached" });
    await page.getByLabel("Namespace").selectOption("");
  });

  test("shows pods live and follows their logs", async () => {
    await page.getByRole("link", { name: "Pods" }).click();
    const row = page.getByRole("row", { name: /^web-1 / });
    await row.getByText("Running").waitFor();
    await row.getByText("4", { exact: true }).waitFor();
    await client.create(core("pods"), pod("late", "default"));
    await page
      .getByRole("row", { name: /^late / })
      .getByText("Pending")
      .waitFor();
    await picture("pods");
    await row.getByRole("button", { name: "Logs of web-1" }).press("Enter");
    await page.getByText("first line of /containerLogs/default/web-1/main").waitFor();
    logStreams.at(-1)?.write("a line that came later\n");
    await page.getByText("a line that came later").waitFor();
    await picture("logs");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await client.delete(core("pods"), "default", "late", { gracePeriodSeconds: 0 });
    await page.getByRole("row", { name: /^late / }).waitFor({ state: "detached" });
  });

  test("shows events live, and narrows them", async () => {
    await page.keyboard.press("4");
    await page.getByRole("heading", { name: "Events" }).waitFor();
    await client.create(core("events"), event("second", "BackOff", "Warning"));
    await page.getByText("BackOff", { exact: true }).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("scheduled");
    await page.getByText("BackOff", { exact: true }).waitFor({ state: "detached" });
    await page.getByText("Scheduled", { exact: true }).waitFor();
  });

  test("lists any kind that discovery has, and says what is not allowed", async () => {
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "Resources" }).click();
    await page.getByLabel("Kind").selectOption("services");
    await page.getByRole("row", { name: /kubernetes ClusterIP 10.96.0.1/ }).waitFor();
    await page.getByLabel("Kind").selectOption("poddisruptionbudgets.policy");
    await page.getByText("No objects here").waitFor();
    await page.getByLabel("Kind").selectOption("secrets");
    await page.getByText(/cannot list resource "secrets"/).waitFor();
    assert.deepEqual(
      complaints.filter((each) => !/403/.test(each)),
      [],
      "the browser has nothing to complain about",
    );
  });

  test("works at the width of a telephone", async () => {
    await page.setViewportSize({ width: 380, height: 760 });
    for (const view of ["Overview", "Workloads", "Pods", "Events"]) {
      await page.getByRole("link", { name: view }).click();
      await page.getByRole("heading", { name: view, exact: true }).waitFor();
      await page.getByRole("row").nth(1).waitFor();
      const tooWide = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
      assert.ok(Number(tooWide) <= 0, `${view} is ${String(tooWide)} px too wide`);
      await picture(`phone-${view.toLowerCase()}`);
    }
  });

  test("is gone when it is disabled", async () => {
    await addons.switch({ enable: [], disable: ["dashboard"] });
    const response = await context.request.get(`${server.url}/trivet/dashboard/`);
    assert.equal(response.status(), 403);
    await assert.rejects(client.get(core("serviceaccounts"), "kube-system", "trivet-dashboard"), /not found/);
  });

  /** In both colours. */
  async function picture(name: string): Promise<void> {
    const target = process.env["TRIVET_SCREENSHOTS"];
    if (target === undefined) return;
    for (const colorScheme of ["dark", "light"] as const) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: `${target}/${name}-${colorScheme}.png` });
    }
  }
});

async function makeObjects(client: ApiClient): Promise<void> {
  for (const [name, role] of [
    ["n1", "control-plane"],
    ["n2", "control-plane"],
    ["n3", ""],
  ] as const) {
    const labels = role === "" ? {} : { [`node-role.kubernetes.io/${role}`]: "" };
    await client.create(core("nodes"), node(name, labels));
    await client.update(core("nodes"), await withStatus(client, name), { subresource: "status" });
  }
  await client.create(core("namespaces"), {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "shop" },
  });
  const web = await client.create(deployments, workload("Deployment", "web", "default"));
  await client.update(
    deployments,
    { ...web, status: { replicas: 3, readyReplicas: 2, updatedReplicas: 3, observedGeneration: 1 } },
    { subresource: "status" },
  );
  const owner = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    name: "web",
    uid: web.metadata.uid ?? "",
    controller: true,
  };
  const set = workload("ReplicaSet", "web-6d5f", "default");
  set.metadata.ownerReferences = [owner];
  await client.create({ ...deployments, plural: "replicasets" }, set);
  await client.create({ ...deployments, plural: "statefulsets" }, workload("StatefulSet", "store", "shop"));
  await client.create(core("serviceaccounts"), {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "default", namespace: "default" },
  });
  const running = await client.create(core("pods"), pod("web-1", "default", "n1"));
  const state = {
    name: "main",
    ready: true,
    restartCount: 4,
    image: "demo",
    imageID: "demo",
    state: { running: {} },
  };
  await client.update(
    core("pods"),
    { ...running, status: { phase: "Running", podIP: "10.42.0.5", containerStatuses: [state] } },
    { subresource: "status" },
  );
  await client.create(core("events"), event("first", "Scheduled", "Normal"));
}

function node(name: string, labels: Record<string, string>): KubeObject {
  return { apiVersion: "v1", kind: "Node", metadata: { name, labels } };
}

async function withStatus(client: ApiClient, name: string): Promise<KubeObject> {
  const found = await client.get<KubeObject>(core("nodes"), undefined, name);
  const status = {
    addresses: [{ type: "InternalIP", address: `192.0.2.${name.slice(1)}` }],
    conditions: [{ type: "Ready", status: name === "n3" ? "False" : "True" }],
    nodeInfo: { kubeletVersion: "v1.32.13" },
  };
  return { ...found, status };
}

function workload(kind: string, name: string, namespace: string): KubeObject {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind,
    metadata: { name, namespace },
    spec: {
      replicas: 3,
      selector: { matchLabels: labels },
      ...(kind === "StatefulSet" ? { serviceName: name } : {}),
      template: { metadata: { labels }, spec: { containers: [{ name: "main", image: "demo:1" }] } },
    },
  };
}

function pod(name: string, namespace: string, nodeName?: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: {
      ...(nodeName === undefined ? {} : { nodeName }),
      containers: [{ name: "main", image: "demo:1" }],
    },
  };
}

function event(name: string, reason: string, type: string): KubeObject {
  const now = new Date().toISOString().replace(/\.\d+/, "");
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name, namespace: "default" },
    involvedObject: { apiVersion: "v1", kind: "Pod", name: "web-1", namespace: "default" },
    reason,
    type,
    message: `${reason} happened to web-1`,
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
    source: { component: "test" },
  };
}
