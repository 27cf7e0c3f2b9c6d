import assert from "node:assert/strict";
import { test } from "node:test";
import { controlPlaneFaults, findControlPlaneFault } from "./deliberate-faults.ts";
import { ControlPlaneSimulation } from "./simulation.ts";

test("the control plane keeps its promises under faults, and comes to rest after them", async () => {
  for (const seed of [2, 4]) {
    try {
      await new ControlPlaneSimulation(seed).run();
    } catch (error) {
      throw new Error(`replay with npm run sim -- --kind control-plane --seed ${seed} --trace`, {
        cause: error,
      });
    }
  }
});

test("a seed replays exactly", async () => {
  const [first, second] = [new ControlPlaneSimulation(5), new ControlPlaneSimulation(5)];
  assert.deepEqual(await first.run(), await second.run());
});

test("deliberate faults are found", async (t) => {
  for (const name of [
    "writes of former leaders are taken",
    "control loops do not see their own writes",
    "a Deployment adds to its surge",
    "a StatefulSet does not wait for its pods",
    "a Job counts a finished pod twice",
    "a budget allows one disruption too many",
  ]) {
    await t.test(name, async () => {
      assert.notEqual(await findControlPlaneFault(controlPlaneFaults[name]!, 10), undefined);
    });
  }
});
