/** A thread of `run.ts`: runs the seeds that it is given and tells how each ended. */

import { parentPort } from "node:worker_threads";
import { runSeed } from "./seed-runs.ts";
import type { SeedRun } from "./seed-runs.ts";

parentPort?.on("message", (run: SeedRun) => {
  void runSeed(run).then((outcome) => parentPort?.postMessage(outcome));
});
