import assert from "node:assert/strict";
import { test } from "node:test";
import { eventExpiryController } from "./event-expiry.ts";
import { events } from "./kubernetes.ts";
import { World } from "./transcript.test-suite.ts";

const minuteMs = 60_000;

test("events go an hour after their last writing, and the next look waits for the next to expire", () => {
  const world = new World();
  const ago = (minutes: number): string => new Date(world.nowMs - minutes * minuteMs).toISOString();
  const put = (name: string, created: number, last?: number): void => {
    world.put(events, {
      metadata: { name, namespace: "default", creationTimestamp: ago(created) },
      ...(last === undefined ? {} : { lastTimestamp: ago(last) }),
    } as never);
  };
  put("old", 61);
  put("repeated", 120, 20);
  put("young", 10);
  assert.deepEqual(world.run(eventExpiryController, "events"), [
    "delete Event old",
    `requeue after ${45 * minuteMs} ms`,
  ]);
});

test("many go in batches, and none are asked for again within the hour", () => {
  const world = new World();
  const creationTimestamp = new Date(world.nowMs - 90 * minuteMs).toISOString();
  for (let index = 0; index < 51; index++)
    world.put(events, { metadata: { name: `e${index}`, namespace: "default", creationTimestamp } });
  assert.equal(world.run(eventExpiryController, "events", 1).at(-1), "requeue after 2000 ms");
  assert.deepEqual(world.run(eventExpiryController, "events", 1), [
    "delete Event e50",
    `requeue after ${65 * minuteMs} ms`,
  ]);
});
