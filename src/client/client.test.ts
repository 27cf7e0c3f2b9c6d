import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatusError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import { createClient } from "./client.ts";
import { createEventRecorder } from "./event-recorder.ts";
import { createFakeApi } from "./fake-api.ts";
import { formatKubeconfig, parseKubeconfig } from "./kubeconfig.ts";
import { systemClock } from "./system-clock.ts";
import { WorkQueue } from "./work-queue.ts";

const deployments = { group: "apps", version: "v1", plural: "deployments" };
const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };

test("builds paths, queries and headers, and turns a Status into a StatusError", async () => {
  const api = createFakeApi();
  const client = createClient({ transport: api.handler, userAgent: "test" });
  await client.create(
    deployments,
    { metadata: { name: "web", namespace: "default" } },
    { fieldManager: "me", fenceTerm: 7 },
  );
  assert.equal(api.requests[0], "POST /apis/apps/v1/namespaces/default/deployments?fieldManager=me");
  await assert.rejects(
    client.get(deployments, "default", "none"),
    (error: StatusError) => error.reason === "NotFound" && error.code === 404,
  );
  await client.patch(deployments, "default", "web", "merge", { spec: { replicas: 2 } });
  const { items } = await client.list(deployments, { namespace: "default", labelSelector: "a in (b,c)" });
  assert.deepEqual(items[0]?.["spec"], { replicas: 2 });
  assert.match(api.requests.at(-1)!, /labelSelector=a%20in%20\(b%2Cc\)/);
});

test("a server that never answers ends in Timeout", async () => {
  const client = createClient({
    transport: () => new Promise(() => {}),
    userAgent: "test",
    deadlineMs: 5,
  });
  await assert.rejects(client.list(deployments), (error: StatusError) => error.reason === "Timeout");
});

test("the same event again raises the count; many similar ones are combined", async () => {
  const api = createFakeApi();
  const client = createClient({ transport: api.handler, userAgent: "test" });
  const recorder = createEventRecorder({ client, clock: systemClock, logger: quiet, component: "c" });
  const target = { apiVersion: "v1", kind: "Pod", name: "p", namespace: "default", uid: "1" };
  recorder.event(target, "Normal", "Pulled", "same");
  recorder.event(target, "Normal", "Pulled", "same");
  for (let number = 0; number < 12; number++)
    recorder.event(target, "Warning", "Failed", `message ${number}`);
  await recorder.flush();
  const { items } = await client.list({ group: "", version: "v1", plural: "events" });
  assert.equal(items.find((each) => each["message"] === "same")?.["count"], 2);
  const combined = items.filter((each) =>
    String(each["message"]).startsWith("(combined from similar events)"),
  );
  assert.deepEqual(
    combined.map((each) => each["count"]),
    [3],
  );
});

test("a key waits once, is not worked on twice at a time, and backs off by itself", async () => {
  let nowMs = 0;
  const timers: { atMs: number; callback: () => void }[] = [];
  const queue = new WorkQueue({
    clock: {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      setTimer(delayMs, callback) {
        timers.push({ atMs: nowMs + delayMs, callback });
        return { cancel() {} };
      },
    },
  });
  queue.add("a");
  queue.add("a");
  assert.equal(await queue.take(), "a");
  queue.add("a");
  assert.equal(queue.size, 0);
  queue.done("a");
  assert.equal(await queue.take(), "a");
  queue.done("a");
  queue.addRateLimited("a");
  assert.equal(timers.at(-1)?.atMs, 5);
  nowMs = 5;
  timers.at(-1)!.callback();
  assert.equal(await queue.take(), "a");
  queue.done("a");
  queue.addRateLimited("a");
  assert.equal(timers.at(-1)?.atMs, 15);
  queue.close();
  assert.equal(await queue.take(), undefined);
});

test("a kubeconfig is read back as written", () => {
  const text = formatKubeconfig({
    name: "trivet",
    user: "admin",
    server: "https://10.0.0.1:16443",
    ca: "CA",
    token: "t",
  });
  const config = parseKubeconfig(text, "/");
  assert.equal(config.server, "https://10.0.0.1:16443");
  assert.equal(config.transport.token, "t");
  assert.equal(Buffer.from(config.transport.ca!).toString(), "CA");
});
