import assert from "node:assert/strict";
import test from "node:test";
import { findReplicaFault } from "./prove-faults.ts";
import { regressions } from "./regressions.ts";
import { replicaFaults } from "./replica-faults.ts";
import { ReplicaSimulation } from "./replica-simulation.ts";

test("replicas keep their promises under faults, and make progress after them", async () => {
  for (let seed = 1; seed <= 50; seed++) await run({ seed, steps: 3000 });
});

for (const regression of regressions.replica) {
  test(`regression: ${regression.story} (seed ${regression.seed})`, () => run(regression));
}

test("a seed replays exactly, down to each message and timer", async () => {
  const [first, second] = [await new ReplicaSimulation(4).run(), await new ReplicaSimulation(4).run()];
  assert.deepEqual(first, second);
  assert.notEqual(first.traceHash, (await new ReplicaSimulation(5).run()).traceHash);
});

// All of them, and those that need more seeds: npm run sim -- --faults.
const quickOnes = [
  "disks report flushes that do not happen",
  "reads do not ask a quorum",
  "a forwarded proposal is taken twice",
  "a watch that is taken up again misses a revision",
  "a revision is left out",
];

test("deliberate faults are found", async (t) => {
  for (const name of quickOnes) {
    await t.test(name, async () => {
      const fault = replicaFaults[name];
      assert.ok(fault !== undefined);
      assert.ok((await findReplicaFault(fault, 10)) !== undefined, "no seed finds it");
    });
  }
});

async function run({ seed, steps = 10_000 }: { seed: number; steps?: number }): Promise<void> {
  try {
    await new ReplicaSimulation(seed, { faultySteps: steps }).run();
  } catch (error) {
    throw new Error(`seed ${seed}: replay with npm run sim -- --seed ${seed} --steps ${steps} --trace`, {
      cause: error,
    });
  }
}
