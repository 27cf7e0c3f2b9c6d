import assert from "node:assert/strict";
import test from "node:test";
import { CoreSimulation } from "./core-simulation.ts";
import type { DeliberateFault } from "./core-machine.ts";
import { deliberateFaults } from "./deliberate-faults.ts";

test("the consensus core keeps its promises under faults, and makes progress after them", () => {
  for (let seed = 1; seed <= 20; seed++) run(seed);
});

// Each of these has shown a bug when it was found.
const regressions: Record<number, string> = {
  326: "a removed leader with a longer log, which nobody could be elected against",
  405: "the same with a demoted one",
  427: "a restart with more applied than the flushed hard state had committed",
};

for (const [seed, story] of Object.entries(regressions)) {
  test(`regression: ${story} (seed ${seed})`, () => run(Number(seed)));
}

/** Where to look first: these take luck. */
const knownSeeds: Record<string, number> = {
  "votes are not written to disk": 214,
  "snapshots carry the newest configuration, not the one at their index": 53,
  "membership changes enter the log without validation": 16,
};

test("a seed replays exactly", () => {
  assert.deepEqual(new CoreSimulation(6).run(), new CoreSimulation(6).run());
});

test("deliberate faults are found", async (t) => {
  for (const [name, fault] of Object.entries(deliberateFaults)) {
    await t.test(name, () => {
      const seeds = [knownSeeds[name] ?? 1, ...Array.from({ length: 200 }, (_, position) => position + 1)];
      assert.ok(
        seeds.some((seed) => finds(seed, fault)),
        "no seed finds it",
      );
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

/** As a broken promise, or as an assertion inside the core that notices first. */
function finds(seed: number, fault: DeliberateFault): boolean {
  try {
    new CoreSimulation(seed, { fault }).run();
    return false;
  } catch (error) {
    assert.ok(error instanceof Error);
    assert.match(error.name, /^(Violation|AssertionError|ConfChangeError)$/);
    return true;
  }
}
