import assert from "node:assert/strict";
import test from "node:test";
import { ReplicaSimulation } from "./replica-simulation.ts";
import type { ReplicaMachine } from "./replica-machine.ts";

test("replicas keep their promises under faults, and make progress after them", async () => {
  for (let seed = 1; seed <= 8; seed++) await run(seed);
});

// Each of these has shown a bug when it was found.
const regressions: Record<number, string> = {
  224: "a write through another member was called refused when the connection broke, and had taken place",
  253: "a write was taken for lost although a snapshot had brought its effect, or a late refusal spoke of another term",
  1083: "a log found after kill -9 was trusted before it was flushed, and a power cut followed",
  386: "as 224, seen as a value that came back",
};

for (const [seed, story] of Object.entries(regressions)) {
  test(`regression: ${story} (seed ${seed})`, () => run(Number(seed)));
}

test("a seed replays exactly", async () => {
  assert.deepEqual(await new ReplicaSimulation(4).run(), await new ReplicaSimulation(4).run());
});

const sabotage: Record<string, (machine: ReplicaMachine) => void> = {
  "disks that lie about flushes": (machine) => {
    machine.disk.liesAboutFlushes = true;
  },
  "reads without asking a quorum": ({ node }) => {
    if (node !== undefined) node.replica.readBarrier = () => Promise.resolve();
  },
  "a state that applies differently on one machine": ({ node, memberId }) => {
    if (node === undefined || memberId === "0000000000000001") return;
    const { store } = node.replica;
    const put = store.put.bind(store);
    store.put = (key, value, lease, revision) =>
      put(key, revision === 20 ? new Uint8Array([1]) : value, lease, revision);
  },
};

test("deliberate faults are found", async (t) => {
  for (const [name, sabotages] of Object.entries(sabotage)) {
    await t.test(name, async () => {
      for (let seed = 1; seed <= 40; seed++) if (await finds(seed, sabotages)) return;
      assert.fail("no seed finds it");
    });
  }
});

async function run(seed: number): Promise<void> {
  try {
    await new ReplicaSimulation(seed).run();
  } catch (error) {
    throw new Error(`seed ${seed}: replay with npm run sim -- --seed ${seed}`, { cause: error });
  }
}

/** As a broken promise, or by a replica that notices and stops. */
async function finds(seed: number, sabotages: (machine: ReplicaMachine) => void): Promise<boolean> {
  try {
    await new ReplicaSimulation(seed, { sabotage: sabotages }).run();
    return false;
  } catch (error) {
    assert.ok(error instanceof Error);
    assert.match(error.name, /^(Violation|AssertionError|FatalError)$/, String(error));
    return true;
  }
}
