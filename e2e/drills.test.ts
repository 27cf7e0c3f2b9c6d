/** One round of each important fault on real datastore processes; `npm run drills` has more of both. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { faults } from "../scripts/drills/faults.ts";
import { runDrills } from "../scripts/drills/run.ts";
import { skipUnlessRoot } from "./harness.ts";

const important = [
  "kill -9 of the leader",
  "all lose power at once",
  "SIGSTOP of the leader for 10 s",
  "the leader is cut off",
  "the leader is not heard",
  "30% of all frames are lost",
  "100 ms of delay each way",
  "the leader's disk is full",
  "the leader's clock jumps an hour ahead",
];

test(
  "under each fault every acknowledged write stays, histories are linearizable, watches equal the log",
  { skip: skipUnlessRoot, timeout: 300_000 },
  async () => {
    const chosen = important.map((name) => faults.find((fault) => fault.name === name));
    assert.ok(
      chosen.every((fault) => fault !== undefined),
      "the faults have these names",
    );
    const results = await runDrills({
      dir: "/var/lib/trivet-drills",
      rounds: chosen.length,
      seed: 1,
      faults: chosen,
      inOrder: true,
      report: (line) => console.log(line),
    });
    assert.deepEqual(
      results.map(({ fault, violations }) => ({ fault, violations })),
      important.map((fault) => ({ fault, violations: [] })),
    );
    for (const { fault, acknowledged, operations } of results)
      assert.ok(
        acknowledged > 10 && operations > 10,
        `${fault}: ${acknowledged} writes, ${operations} operations`,
      );
  },
);
