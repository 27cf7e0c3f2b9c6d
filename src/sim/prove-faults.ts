/** `npm run sim -- --faults`: each deliberate mistake is made in one seed after another until it is found. */

import assert from "node:assert/strict";
import { CoreSimulation } from "./core-simulation.ts";
import { coreFaults } from "./deliberate-faults.ts";
import { replicaFaults } from "./replica-faults.ts";
import type { ReplicaFault } from "./replica-faults.ts";
import { ReplicaSimulation } from "./replica-simulation.ts";

/** A mistake that is not found within so many seeds is not found. */
const limits = { core: 100, replica: 40 };

export interface Finding {
  seed: number;
  how: string;
}

/** Prints a line for each. Returns whether all were found. */
export async function proveFaults(): Promise<boolean> {
  let missed = 0;
  for (const [name, search] of searches()) {
    const finding = await search();
    if (finding === undefined) missed++;
    console.log(
      `${finding === undefined ? "NOT FOUND" : `seed ${finding.seed}`}\t${name}\t${finding?.how ?? ""}`,
    );
  }
  return missed === 0;
}

type Search = () => Promise<Finding | undefined>;

function searches(): [string, Search][] {
  const inCore = Object.keys(coreFaults).map((name): [string, Search] => [
    `core: ${name}`,
    async () => findCoreFault(name, limits.core),
  ]);
  const inReplicas = Object.entries(replicaFaults).map(([name, fault]): [string, Search] => [
    `replica: ${name}`,
    () => findReplicaFault(fault, limits.replica),
  ]);
  return [...inCore, ...inReplicas];
}

/** The first seed, counted from 1, in which a promise is broken. */
export function findCoreFault(name: string, limit: number): Finding | undefined {
  const fault = coreFaults[name];
  assert.ok(fault !== undefined, name);
  for (let seed = 1; seed <= limit; seed++) {
    try {
      new CoreSimulation(seed, { fault, ...(fault.only === undefined ? {} : { only: fault.only }) }).run();
    } catch (error) {
      return { seed, how: broken(error) };
    }
  }
  return undefined;
}

export async function findReplicaFault(fault: ReplicaFault, limit: number): Promise<Finding | undefined> {
  for (let seed = 1; seed <= limit; seed++) {
    const undo = fault.install?.();
    try {
      await new ReplicaSimulation(seed, {
        ...(fault.only === undefined ? {} : { faults: fault.only }),
        ...(fault.sabotage === undefined ? {} : { sabotage: fault.sabotage }),
      }).run();
    } catch (error) {
      return { seed, how: broken(error) };
    } finally {
      undo?.();
    }
  }
  return undefined;
}

/** A broken promise, or a replica that notices and stops; anything else is a mistake of the simulation. */
function broken(error: unknown): string {
  assert.ok(error instanceof Error);
  const noticed = error.cause instanceof Error ? error.cause : error;
  assert.match(noticed.name, /^(Violation|AssertionError|FatalError|ConfChangeError)$/, String(error.stack));
  return `${noticed.name}: ${noticed.message.slice(0, 100)}`;
}
