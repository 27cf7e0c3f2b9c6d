import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import { createClient } from "./client.ts";
import { createFakeApi } from "./fake-api.ts";
import type { FakeApi } from "./fake-api.ts";
import { createInformer } from "./informer.ts";
import type { IndexedInformer } from "./informer.ts";

const pods = { group: "", version: "v1", plural: "pods" };
const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
/** Timers come a thousand times sooner. */
const quick: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now() * 1000,
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs / 1000);
    return { cancel: () => clearTimeout(timer) };
  },
};

function pod(name: string, nodeName?: string): KubeObject {
  return { metadata: { name, namespace: "default" }, spec: { nodeName } };
}

function start(context: TestContext, api: FakeApi): IndexedInformer {
  const client = createClient({ transport: api.handler, userAgent: "test" });
  const nodeOf = (object: KubeObject): string[] => {
    const { nodeName } = object["spec"] as { nodeName?: string };
    return nodeName === undefined ? [] : [nodeName];
  };
  const informer = createInformer({
    client,
    resource: pods,
    clock: quick,
    logger: quiet,
    freeze: true,
    silenceLimitMs: 300_000,
    indexes: { node: nodeOf },
  });
  context.after(() => informer.stop());
  return informer;
}

async function until(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < endMs, "the condition did not come true in time");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("lists, then follows changes, with indexes", async (context) => {
  const api = createFakeApi();
  api.put("/api/v1/pods", "default/a", pod("a", "n1"));
  const informer = start(context, api);
  await informer.whenSynced();
  assert.deepEqual(
    informer.byIndex("node", "n1").map((each) => each.metadata.name),
    ["a"],
  );
  const seen: string[] = [];
  informer.onChange((object, old) =>
    seen.push(`${old?.metadata.name ?? "-"}>${object?.metadata.name ?? "-"}`),
  );
  api.put("/api/v1/pods", "default/b", pod("b", "n1"));
  api.put("/api/v1/pods", "default/a", pod("a", "n2"));
  api.put("/api/v1/pods", "default/b", undefined);
  await until(() => seen.length === 3);
  assert.deepEqual(seen, ["->b", "a>a", "b>-"]);
  assert.deepEqual(informer.byIndex("node", "n1"), []);
  assert.equal(informer.list("default").length, 1);
});

test("an expired watch is followed by a new list that shows what went meanwhile", async (context) => {
  const api = createFakeApi();
  api.put("/api/v1/pods", "default/a", pod("a"));
  const informer = start(context, api);
  await until(() => api.watchers() === 1);
  api.fault = () => new StatusError("ServiceUnavailable", "down");
  api.breakWatches();
  await until(() => api.watchers() === 0);
  api.put("/api/v1/pods", "default/a", undefined);
  api.put("/api/v1/pods", "default/b", pod("b"));
  api.compact();
  api.fault = undefined;
  await until(() => informer.get("default/b") !== undefined);
  assert.equal(informer.get("default/a"), undefined);
});

test("bookmarks move the version on, so that a broken watch goes on from there", async (context) => {
  const api = createFakeApi();
  const informer = start(context, api);
  await until(() => api.watchers() === 1);
  api.put("/api/v1/configmaps", "default/x", { metadata: { name: "x", namespace: "default" } });
  api.bookmark();
  await until(() => informer.resourceVersion === "2");
  api.compact();
  api.breakWatches();
  await until(() => api.requests.filter((each) => each.includes("watch=1")).length === 2);
  assert.equal(api.requests.filter((each) => !each.includes("watch=1")).length, 1);
});

test("reads its own writes, and older news do not undo them", async (context) => {
  const api = createFakeApi();
  api.put("/api/v1/pods", "default/a", pod("a"));
  const informer = start(context, api);
  await until(() => api.watchers() === 1);
  const newer = {
    ...pod("a", "n9"),
    metadata: { ...pod("a").metadata, uid: "uid-1", resourceVersion: "100" },
  };
  informer.apply(newer);
  api.put("/api/v1/pods", "default/a", pod("a", "n1"));
  api.put("/api/v1/pods", "default/b", pod("b"));
  await until(() => informer.get("default/b") !== undefined);
  assert.deepEqual(informer.get("default/a")?.["spec"], { nodeName: "n9" });
  informer.forget(informer.get("default/b")!);
  api.put("/api/v1/pods", "default/b", pod("b", "n1"));
  api.put("/api/v1/pods", "default/c", pod("c"));
  await until(() => informer.get("default/c") !== undefined);
  assert.equal(informer.get("default/b"), undefined);
});
