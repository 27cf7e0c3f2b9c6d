/**
 * `npm run sim -- --seed N` replays one seed, with its trace; `npm run sim -- --seeds N [--from M]` runs
 * many. `--kind replica` (default) runs the real replicas, `--kind core` the bare consensus core. Exits with 1 if a promise was broken.
 */

import { parseArgs } from "node:util";
import { CoreSimulation } from "./core-simulation.ts";
import { ReplicaSimulation } from "./replica-simulation.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "1" },
    kind: { type: "string", default: "replica" },
    trace: { type: "boolean", default: false },
  },
});

type Run = (seed: number, trace: ((line: string) => void) | undefined) => Promise<unknown>;

const kinds: Record<string, Run> = {
  core: async (seed, trace) => new CoreSimulation(seed, trace === undefined ? {} : { trace }).run(),
  replica: (seed, trace) => new ReplicaSimulation(seed, trace === undefined ? {} : { trace }).run(),
};

const run = kinds[values.kind];
if (run === undefined) {
  console.error(`unknown kind ${values.kind}; there are: ${Object.keys(kinds).join(", ")}`);
  process.exitCode = 2;
} else if (values.seed !== undefined) {
  await runOne(run, Number(values.seed));
} else {
  await runMany(run, Number(values.from), Number(values.seeds));
}

async function runOne(simulate: Run, seed: number): Promise<void> {
  try {
    console.log(await simulate(seed, values.trace ? (line) => console.log(line) : undefined));
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
}

async function runMany(simulate: Run, from: number, count: number): Promise<void> {
  let failures = 0;
  for (let seed = from; seed < from + count; seed++) {
    try {
      await simulate(seed, undefined);
    } catch (error) {
      failures++;
      console.error(`seed ${seed}: ${String(error)}`);
    }
  }
  console.log(`${count} seeds, ${failures} failed`);
  if (failures > 0) process.exitCode = 1;
}
