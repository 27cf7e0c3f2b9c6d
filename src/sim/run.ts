/**
 * `npm run sim -- --seed N` replays one seed, with `--trace` in every detail; `npm run sim -- --seeds N [--from M]`
 * runs many on all processors. `--kind replica` (default) runs the real replicas, `--kind core` the bare
 * consensus core; `--faults` shows that each deliberate mistake is found. Exits with 1 if a promise was broken.
 */

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { describeFailure, simulate } from "./seed-runs.ts";
import type { SeedOutcome, SeedRun } from "./seed-runs.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "1" },
    kind: { type: "string", default: "replica" },
    /** Of the replica simulation: after how many the faults end. */
    steps: { type: "string", default: "10000" },
    /** Only these kinds of faults, by commas. */
    only: { type: "string" },
    trace: { type: "boolean", default: false },
    faults: { type: "boolean", default: false },
    workers: { type: "string", default: String(availableParallelism()) },
  },
});

const first = Number(values.seed ?? values.from);
const base: Omit<SeedRun, "seed"> = {
  kind: values.kind,
  steps: Number(values.steps),
  ...(values.only === undefined ? {} : { only: values.only.split(",") }),
};

if (values.faults)
  process.exitCode = (await import("./prove-faults.ts").then((it) => it.proveFaults())) ? 0 : 1;
else if (values.seed === undefined) await runMany();
else await runOne();

async function runOne(): Promise<void> {
  try {
    const trace = values.trace ? (line: string) => console.log(line) : undefined;
    console.log(await simulate({ ...base, seed: first }, trace));
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
}

async function runMany(): Promise<void> {
  const count = Number(values.seeds);
  const startedMs = performance.now();
  const failed: number[] = [];
  let [done, steps, next] = [0, 0, first];
  const onOutcome = (outcome: SeedOutcome): void => {
    done++;
    steps += outcome.steps;
    if (outcome.failure !== undefined) {
      failed.push(outcome.seed);
      console.error(`seed ${outcome.seed}: ${outcome.failure}`);
    }
    if (done % 100 === 0) console.log(`${done} of ${count} seeds, ${failed.length} failed, ${seconds()} s`);
  };
  const seconds = (): string => ((performance.now() - startedMs) / 1000).toFixed(0);
  const take = (): SeedRun | undefined => (next < first + count ? { ...base, seed: next++ } : undefined);
  await Promise.all(Array.from({ length: Number(values.workers) }, () => work(take, onOutcome)));
  console.log(`${count} seeds, ${steps} steps, ${failed.length} failed, ${seconds()} s`);
  if (failed.length > 0) {
    console.log(`replay one with: npm run sim -- --kind ${values.kind} --seed ${failed[0]} --trace`);
    process.exitCode = 1;
  }
}

/** A thread that asks for one seed after another. */
function work(take: () => SeedRun | undefined, onOutcome: (outcome: SeedOutcome) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./worker.ts", import.meta.url));
    const giveNext = (): void => {
      const run = take();
      if (run === undefined) void worker.terminate().then(() => resolve());
      else worker.postMessage(run);
    };
    worker.on("error", (error) => reject(new Error(describeFailure(error), { cause: error })));
    worker.on("message", (outcome: SeedOutcome) => {
      onOutcome(outcome);
      giveNext();
    });
    giveNext();
  });
}
