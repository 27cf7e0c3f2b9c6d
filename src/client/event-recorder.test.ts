import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#base/errors.ts";
import type { Clock } from "#base/ports.ts";
import { createClient } from "./client.ts";
import { createEventRecorder } from "./event-recorder.ts";
import type { EventRecorder, EventTarget } from "./event-recorder.ts";
import { createFakeApi } from "./fake-api.ts";
import type { FakeApi } from "./fake-api.ts";
import { systemClock } from "./system-clock.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const pod: EventTarget = { apiVersion: "v1", kind: "Pod", name: "web", namespace: "default", uid: "web" };

interface Stage {
  api: FakeApi;
  recorder: EventRecorder;
  time: { nowMs: number };
  /** Of the stored events: "count message". */
  stored(): Promise<string[]>;
}

function stage(): Stage {
  const api = createFakeApi();
  const time = { nowMs: Date.parse("2026-01-01T00:00:00Z") };
  const clock: Clock = { ...systemClock, nowMs: () => time.nowMs };
  const client = createClient({ transport: api.handler, userAgent: "test" });
  const recorder = createEventRecorder({ client, clock, logger: quiet, component: "test" });
  return {
    api,
    recorder,
    time,
    async stored() {
      await recorder.flush();
      const { items } = await client.list({ group: "", version: "v1", plural: "events" });
      return items.map((each) => `${String(each["count"])} ${String(each["message"])}`);
    },
  };
}

test("the same event again raises the count of the stored one", async () => {
  const { recorder, time, stored, api } = stage();
  recorder.event(pod, "Warning", "Failed", "no image");
  assert.deepEqual(await stored(), ["1 no image"]);
  time.nowMs += 60_000;
  recorder.event(pod, "Warning", "Failed", "no image");
  recorder.event(pod, "Normal", "Failed", "no image");
  assert.deepEqual(await stored(), ["2 no image", "1 no image"]);
  const [first] = (
    await createClient({ transport: api.handler, userAgent: "test" }).list({
      group: "",
      version: "v1",
      plural: "events",
    })
  ).items;
  assert.equal(first?.["firstTimestamp"], "2026-01-01T00:00:00Z");
  assert.equal(first?.["lastTimestamp"], "2026-01-01T00:01:00Z");
});

test("from the tenth different message within ten minutes on, similar events are one", async () => {
  const { recorder, time, stored } = stage();
  for (let index = 1; index <= 12; index++) {
    recorder.event(pod, "Warning", "Failed", `try ${index}`);
    await recorder.flush();
  }
  const after = await stored();
  assert.deepEqual(
    after.slice(0, 9),
    [1, 2, 3, 4, 5, 6, 7, 8, 9].map((index) => `1 try ${index}`),
  );
  assert.deepEqual(after.slice(9), ["3 (combined from similar events): try 12"]);
  time.nowMs += 600_001;
  recorder.event(pod, "Warning", "Failed", "try 13");
  assert.equal((await stored()).at(-1), "1 try 13");
});

test("a source may tell of an object 25 times, then once in five minutes; what is not told is counted", async () => {
  const { recorder, time, stored } = stage();
  for (let index = 0; index < 40; index++) {
    recorder.event(pod, "Warning", "BackOff", "again");
    await recorder.flush();
  }
  assert.deepEqual(await stored(), ["25 again"]);
  const other = { ...pod, name: "other", uid: "other" };
  recorder.event(other, "Warning", "BackOff", "again");
  assert.deepEqual(await stored(), ["25 again", "1 again"]);
  time.nowMs += 299_000;
  recorder.event(pod, "Warning", "BackOff", "again");
  assert.equal((await stored())[0], "25 again");
  time.nowMs += 2000;
  recorder.event(pod, "Warning", "BackOff", "again");
  assert.equal((await stored())[0], "42 again");
});

test("containers of a pod have one limit together, and events of their own", async () => {
  const { recorder, stored } = stage();
  for (let index = 0; index < 30; index++) {
    const fieldPath = `spec.containers{c${index % 2}}`;
    recorder.event({ ...pod, fieldPath }, "Warning", "BackOff", "again");
    await recorder.flush();
  }
  assert.deepEqual(await stored(), ["13 again", "12 again"]);
});

test("a stored event that is gone is made anew, with its count", async () => {
  const { recorder, stored, api } = stage();
  recorder.event(pod, "Normal", "Pulled", "image");
  await recorder.flush();
  const client = createClient({ transport: api.handler, userAgent: "test" });
  const events = { group: "", version: "v1", plural: "events" };
  for (const each of (await client.list(events)).items)
    await client.delete(events, "default", each.metadata.name ?? "");
  recorder.event(pod, "Normal", "Pulled", "image");
  assert.deepEqual(await stored(), ["2 image"]);
});

test("a flood that waits for a slow server becomes one write", async () => {
  const { recorder, stored, api } = stage();
  for (let index = 0; index < 20; index++) recorder.event(pod, "Normal", "Pulled", "image");
  assert.deepEqual(await stored(), ["20 image"]);
  assert.equal(api.requests.filter((each) => !each.startsWith("GET")).length, 1);
});

test("what the server refuses is forgotten", async () => {
  const { recorder, stored, api } = stage();
  api.fault = (request) =>
    request.method === "POST" ? new StatusError("Forbidden", "the namespace goes") : undefined;
  recorder.event(pod, "Normal", "Pulled", "image");
  assert.deepEqual(await stored(), []);
});
