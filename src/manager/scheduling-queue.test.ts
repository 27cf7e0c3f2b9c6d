import assert from "node:assert/strict";
import { test } from "node:test";
import { SimulatedClock } from "#sim/control-plane/simulated-clock.ts";
import { SchedulingQueue } from "./scheduling-queue.ts";

const noRoom = new Set(["NodeResourcesFit"]);

function setting(): {
  queue: SchedulingQueue;
  /** The pods whose turn comes within this time. */
  within: (ms: number) => Promise<string[]>;
} {
  const clock = new SimulatedClock();
  const queue = new SchedulingQueue(clock);
  const taken: string[] = [];
  const work = async (): Promise<void> => {
    for (let uid = await queue.take(); uid !== undefined; uid = await queue.take()) taken.push(uid);
  };
  void work();
  return {
    queue,
    async within(ms) {
      await clock.runUntil(clock.monotonicMs() + ms, () => taken.length);
      return taken.splice(0);
    },
  };
}

test("the more important pod and then the older one comes first", async () => {
  const clock = new SimulatedClock();
  const queue = new SchedulingQueue(clock);
  queue.add("old", 0);
  queue.add("young", 0);
  queue.add("important", 5);
  assert.deepEqual(
    [await queue.take(), await queue.take(), await queue.take()],
    ["important", "old", "young"],
  );
});

test("a parked pod waits for a change that can help it, and for its pause", async () => {
  const { queue, within } = setting();
  queue.add("a", 0);
  assert.deepEqual(await within(1), ["a"]);
  queue.failed("a", noRoom);
  queue.changed("podAdded");
  queue.changed("nodeLabels");
  assert.deepEqual(await within(60_000), [], "nobody has made room");
  queue.changed("podRemoved");
  assert.deepEqual(await within(1), ["a"], "its pause was over");
  queue.failed("a", noRoom);
  queue.changed("nodeAdded");
  assert.deepEqual(await within(1999), []);
  assert.deepEqual(await within(2), ["a"], "the second pause is two seconds");
});

test("what has changed during an attempt counts after it, if it can help", async () => {
  const { queue, within } = setting();
  for (const uid of ["a", "b"]) queue.add(uid, 0);
  assert.deepEqual(await within(1), ["a", "b"]);
  queue.changed("podAdded");
  queue.failed("a", noRoom);
  queue.failed("b", new Set(["InterPodAffinity"]));
  assert.deepEqual(await within(1000), ["b"]);
});

test("an attempt that failed by an error comes again without a change, a pod without known reason with any", async () => {
  const { queue, within } = setting();
  for (const uid of ["a", "b"]) queue.add(uid, 0);
  await within(1);
  queue.failed("a", "error");
  queue.failed("b", new Set());
  assert.deepEqual(await within(1000), ["a"]);
  queue.changed("storage");
  assert.deepEqual(await within(1), ["b"]);
  queue.failed("b", noRoom);
  assert.deepEqual(await within(299_000), []);
  assert.deepEqual(await within(2000), ["b"], "five minutes are the longest");
});
