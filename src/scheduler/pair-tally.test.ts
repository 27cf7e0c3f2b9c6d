import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeNodeInfo } from "./node-info.ts";
import { PairTally } from "./pair-tally.ts";
import type { Node, NodeInfo } from "./types.ts";

function info(zone: string, amount: number): NodeInfo {
  const node = { metadata: { name: "n", labels: { zone, amount: String(amount) } }, spec: {}, status: {} };
  return makeNodeInfo(node as unknown as Node, []);
}

function partsOf({ node }: NodeInfo): [string, string, number][] {
  const { zone = "", amount } = node.metadata.labels ?? {};
  return zone === "" ? [] : [["zone", zone, Number(amount)]];
}

test("however nodes come, change and go, the sums are those of the nodes as they are", () => {
  const nodes = fc.array(
    fc.record({ zone: fc.constantFrom("a", "b", "c", ""), amount: fc.integer({ min: -3, max: 3 }) }),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(fc.array(nodes, { minLength: 1, maxLength: 6 }), (stages) => {
      const tally = new PairTally();
      let before: NodeInfo[] = [];
      for (const stage of stages) {
        // Unchanged nodes stay the same objects, as in the scheduler's cache.
        const now = stage.map(({ zone, amount }, at) => {
          const old = before[at];
          const labels = old?.node.metadata.labels;
          return labels?.["zone"] === zone && labels["amount"] === String(amount) ? old! : info(zone, amount);
        });
        tally.update(now, partsOf);
        for (const zone of ["a", "b", "c"]) {
          const there = stage.filter((each) => each.zone === zone);
          assert.equal(
            tally.of("zone", zone),
            there.reduce((sum, each) => sum + each.amount, 0),
          );
          assert.equal(tally.has("zone", zone), there.length > 0);
        }
        before = now;
      }
    }),
  );
});
