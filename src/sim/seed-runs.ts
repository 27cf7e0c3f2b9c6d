/** One seed of one of the simulations, as plain data in and out: so that threads can be given it. */

import { ControlPlaneSimulation } from "./control-plane/simulation.ts";
import { CoreSimulation } from "./core-simulation.ts";
import { ReplicaSimulation } from "./replica-simulation.ts";

export interface SeedRun {
  seed: number;
  /** "replica", "core" or "control-plane". */
  kind: string;
  /** After so many the faults end ("replica"). */
  steps?: number;
  /** The kinds of faults that there may be ("replica"). */
  only?: string[];
}

export interface SeedOutcome {
  seed: number;
  steps: number;
  /** Undefined: all promises were kept. */
  failure: string | undefined;
}

type Report = { seed: number; steps: number };

/** Rejects with what went wrong. */
export async function simulate(run: SeedRun, trace?: (line: string) => void): Promise<Report> {
  const { seed, kind, steps, only } = run;
  if (kind === "core") return new CoreSimulation(seed, trace === undefined ? {} : { trace }).run();
  if (kind === "control-plane")
    return new ControlPlaneSimulation(seed, trace === undefined ? {} : { trace }).run();
  if (kind !== "replica") throw new Error(`unknown kind ${kind}; there are: core, replica, control-plane`);
  return new ReplicaSimulation(seed, {
    ...(steps === undefined ? {} : { faultySteps: steps }),
    ...(only === undefined ? {} : { faults: only }),
    ...(trace === undefined ? {} : { trace }),
  }).run();
}

export async function runSeed(run: SeedRun): Promise<SeedOutcome> {
  try {
    const { steps } = await simulate(run);
    return { seed: run.seed, steps, failure: undefined };
  } catch (error) {
    return { seed: run.seed, steps: 0, failure: describeFailure(error) };
  }
}

/** The error, and the nearest places in the code. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const [, ...frames] = (error.stack ?? "").split("\n    at ");
  const places = frames.slice(0, 3).map((frame) => frame.replace(/\(?file:.*\/src\//, "(").trim());
  return error.name === "Violation"
    ? `Violation: ${error.message}`
    : `${String(error)} at ${places.join(" < ")}`;
}
