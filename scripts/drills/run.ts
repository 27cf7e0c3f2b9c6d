/** Rounds on one cluster. A round with a violation keeps the nodes' logs and gets the next one a new cluster. */
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SeededRandom } from "#sim/seeded-random.ts";
import { endOf } from "./clients.ts";
import { DrillCluster } from "./cluster.ts";
import { faults as allFaults } from "./faults.ts";
import type { Fault } from "./faults.ts";
import { runRound } from "./round.ts";
import type { Left, RoundResult } from "./round.ts";

export interface DrillOptions {
  dir: string;
  rounds: number;
  seed: number;
  /** The first round's number: the same seed and number give the same fault and the same clients. */
  first?: number;
  /** No round begins after this time, in milliseconds. Default: no limit. */
  limitMs?: number;
  faults?: Fault[];
  /** One round of each in the given order, instead of by the dice. */
  inOrder?: boolean;
  report: (line: string) => void;
}

export const keptDir = "/tmp/trivet-drills-failed";

export async function runDrills(options: DrillOptions): Promise<RoundResult[]> {
  const { dir, rounds, seed, first = 1, limitMs = Infinity, faults = allFaults, report } = options;
  const startedMs = performance.now();
  const results: RoundResult[] = [];
  let cluster: DrillCluster | undefined;
  let left: Left | undefined;
  try {
    for (let number = first; number < first + rounds; number++) {
      if (performance.now() - startedMs > limitMs) break;
      cluster ??= await DrillCluster.up(dir);
      const roundSeed = seed * 10_000 + number;
      const fault =
        options.inOrder === true
          ? faults[(number - first) % faults.length]!
          : new SeededRandom(roundSeed).pick(faults)!;
      const outcome = await attempt(cluster, fault, number, roundSeed, left);
      results.push(outcome.result);
      report(describeRound(number, outcome.result));
      if (outcome.result.violations.length === 0) {
        await forget(cluster, left);
        ({ left } = outcome);
        continue;
      }
      report(keep(cluster, number, seed, outcome.result));
      left = undefined;
      await cluster.down();
      cluster = undefined;
    }
  } finally {
    await cluster?.down();
  }
  return results;
}

/** A round that ends with an error, as when the cluster does not heal, counts as a violation. */
async function attempt(
  cluster: DrillCluster,
  fault: Fault,
  number: number,
  seed: number,
  before: Left | undefined,
): Promise<{ result: RoundResult; left?: Left }> {
  try {
    return await runRound(cluster, fault, number, seed, before);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const nothing = { gapMs: NaN, healMs: NaN, operations: 0, acknowledged: 0 };
    return { result: { fault: fault.name, ...nothing, violations: [text] } };
  }
}

/** Disks stay small: what a round has left goes after the next one has found it. */
async function forget(cluster: DrillCluster, left: Left | undefined): Promise<void> {
  if (left === undefined) return;
  const { prefix } = left;
  await cluster.link(cluster.names[0]!).backend.transact({
    compare: [],
    success: [{ type: "delete", key: prefix, end: endOf(prefix) }],
    failure: [],
  });
}

function keep(cluster: DrillCluster, number: number, seed: number, result: RoundResult): string {
  const target = join(keptDir, `${seed}-${number}`);
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  for (const name of cluster.names) {
    const lines = cluster.log(name).split("\n").slice(-2000).join("\n");
    writeFileSync(join(target, `${name}.log`), lines);
  }
  cpSync(join(cluster.lab.dir, "lab.json"), join(target, "lab.json"));
  writeFileSync(join(target, "disks.txt"), cluster.disks());
  writeFileSync(join(target, "violations.txt"), `${result.fault}\n${result.violations.join("\n")}\n`);
  return [
    ...result.violations.slice(0, 10).map((line) => `  VIOLATION ${line.slice(0, 1500)}`),
    `  logs: ${target}`,
    `  the same fault and clients again: npm run drills -- --seed ${seed} --first ${number} --rounds 1`,
  ].join("\n");
}

function describeRound(number: number, result: RoundResult): string {
  const { fault, gapMs, healMs, operations, acknowledged, violations } = result;
  const verdict = violations.length === 0 ? "ok" : `${violations.length} VIOLATIONS`;
  return `${String(number).padStart(4)} ${fault.padEnd(52)} gap ${ms(gapMs)}  healed ${ms(healMs)}  ${operations} operations, ${acknowledged} writes  ${verdict}`;
}

/** One line per fault, for a terminal or a page. */
export function drillTable(results: readonly RoundResult[]): string {
  const rows = [["fault", "rounds", "write gap median", "max", "healed median", "max", "violations"]];
  for (const [fault, group] of Map.groupBy(results, (each) => each.fault)) {
    const gaps = group.map(({ gapMs }) => gapMs).filter(Number.isFinite);
    const heals = group.map(({ healMs }) => healMs).filter(Number.isFinite);
    const violations = group.filter((each) => each.violations.length > 0).length;
    rows.push([
      fault,
      String(group.length),
      ...[median(gaps), Math.max(...gaps), median(heals), Math.max(...heals)].map(ms),
      String(violations),
    ]);
  }
  const [head = [], ...body] = rows;
  return [head, head.map(() => "---"), ...body.toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1))]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

function ms(value: number): string {
  return Number.isFinite(value) ? `${Math.round(value)} ms`.padStart(8) : "-";
}
