/**
 * Fault drills on real processes: three datastore nodes with network namespaces, disks and clocks of their own,
 * clients and watchers through all of them, and one fault per round. After each round every acknowledged
 * write must be on every node, the clients' histories must be linearizable, every watch must equal the log,
 * and the cluster must be whole again within 30 s. Needs root.
 *
 *     npm run drills -- [--rounds 200] [--seed 1] [--first 1] [--minutes 60] [--only TEXT] [--each]
 *                       [--results FILE]
 *
 * A seed fixes the faults and what the clients ask; the processes are real, so their timing is not. With `--each` the faults come in their order. With
 * `--results` the rounds are appended to a file, and the table is of all that are in it.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { faults } from "./drills/faults.ts";
import type { RoundResult } from "./drills/round.ts";
import { drillTable, runDrills } from "./drills/run.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    first: { type: "string", default: "1" },
    minutes: { type: "string" },
    only: { type: "string" },
    each: { type: "boolean", default: false },
    results: { type: "string" },
    dir: { type: "string", default: "/var/lib/trivet-drills" },
  },
});
if (process.getuid?.() !== 0) throw new Error("the drills need root");
const { only, results: file } = values;
const chosen = faults.filter(({ name }) => only === undefined || name.includes(only));
if (chosen.length === 0) throw new Error(`no fault has "${only}" in its name`);

const results = await runDrills({
  dir: values.dir,
  rounds: Number(values.rounds),
  seed: Number(values.seed),
  first: Number(values.first),
  ...(values.minutes === undefined ? {} : { limitMs: Number(values.minutes) * 60_000 }),
  faults: chosen,
  inOrder: values.each,
  report: (line) => console.log(line),
});
if (file !== undefined) appendFileSync(file, results.map((each) => `${JSON.stringify(each)}\n`).join(""));
const all = file === undefined ? results : readResults(file);
console.log(`\n${drillTable(all)}`);
const failed = all.filter(({ violations }) => violations.length > 0).length;
console.log(`\n${all.length} rounds, ${failed} with violations`);
process.exit(failed > 0 ? 1 : 0);

function readResults(path: string): RoundResult[] {
  const lines = readFileSync(path, "utf8").trim().split("\n");
  return lines.map((line) => {
    const { gapMs, healMs, ...rest } = JSON.parse(line) as RoundResult;
    // JSON has no NaN: what was not measured is null there.
    return { ...rest, gapMs: gapMs ?? NaN, healMs: healMs ?? NaN };
  });
}
