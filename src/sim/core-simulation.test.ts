import assert from "node:assert/strict";
import test from "node:test";
import { CoreSimulation } from "./core-simulation.ts";
import { coreFaults } from "./deliberate-faults.ts";
import { findCoreFault } from "./prove-faults.ts";
import { regressions } from "./regressions.ts";

test("the consensus core keeps its promises under faults, and makes progress after them", () => {
  for (let seed = 1; seed <= 20; seed++) run(seed);
});

for (const { seed, story } of regressions.core) {
  test(`regression: ${story} (seed ${seed})`, () => run(seed));
}

test("a seed replays exactly", () => {
  assert.deepEqual(new CoreSimulation(6).run(), new CoreSimulation(6).run());
});

test("deliberate faults are found", async (t) => {
  for (const name of Object.keys(coreFaults)) {
    await t.test(name, () => {
      assert.ok(findCoreFault(name, 100) !== undefined, "no seed finds it");
    });
  }
});

function run(seed: number): void {
  try {
    new CoreSimulation(seed).run();
  } catch (error) {
    throw new Error(`seed ${seed}: replay with npm run sim -- --kind core --seed ${seed}`, { cause: error });
  }
}
