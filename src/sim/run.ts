/**
 * `npm run sim -- --seed N` replays one seed, with its trace; `npm run sim -- --seeds N [--from M]` runs
 * many. `--kind core` is the bare consensus core. Exits with 1 if a promise was broken.
 */

import { parseArgs } from "node:util";
import { CoreSimulation } from "./core-simulation.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "1" },
    kind: { type: "string", default: "core" },
    trace: { type: "boolean", default: false },
  },
});

type Run = (seed: number, trace: ((line: string) => void) | undefined) => unknown;

const kinds: Record<string, Run> = {
  core: (seed, trace) => new CoreSimulation(seed, trace === undefined ? {} : { trace }).run(),
};

const run = kinds[values.kind];
if (run === undefined) {
  console.error(`unknown kind ${values.kind}; there are: ${Object.keys(kinds).join(", ")}`);
  process.exitCode = 2;
} else if (values.seed !== undefined) {
  runOne(run, Number(values.seed));
} else {
  runMany(run, Number(values.from), Number(values.seeds));
}

function runOne(simulate: Run, seed: number): void {
  try {
    console.log(simulate(seed, values.trace ? (line) => console.log(line) : undefined));
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
}

function runMany(simulate: Run, from: number, count: number): void {
  let failures = 0;
  for (let seed = from; seed < from + count; seed++) {
    try {
      simulate(seed, undefined);
    } catch (error) {
      failures++;
      console.error(`seed ${seed}: ${String(error)}`);
    }
  }
  console.log(`${count} seeds, ${failures} failed`);
  if (failures > 0) process.exitCode = 1;
}
