/**
 * A whole node: time from `trivet up` to Ready with packages present, and resident memory of the idle node
 * process, alone and in a lab of three. Needs root; makes and removes its own nodes.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { median, printTable } from "./table.ts";

const launcher = new URL("../trivet", import.meta.url).pathname;
const dataDir = "/var/lib/trivet-bench";
const rounds = 5;
const idleMs = 60_000;

function trivet(args: string[], home: string): string {
  return execFileSync(launcher, args, {
    encoding: "utf8",
    env: { ...process.env, HOME: home, TRIVET_DATA_DIR: dataDir },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024;
}

const home = mkdtempSync("/tmp/trivet-bench-");
const upSeconds: number[] = [];
let alone = NaN;
try {
  trivet(["reset", "--yes"], home);
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    trivet(["up"], home);
    upSeconds.push((performance.now() - startMs) / 1000);
    if (round === rounds - 1) {
      await delay(idleMs);
      alone = residentMb(
        (JSON.parse(readFileSync(join(dataDir, "trivet.pid"), "utf8")) as { pid: number }).pid,
      );
    }
    trivet(["reset", "--yes"], home);
  }

  trivet(["lab", "down"], home);
  const lab = JSON.parse(
    trivet(["lab", "up", "--nodes", "3", "--format", "json"], home).trim().split("\n").at(-1) ?? "",
  ) as {
    nodes: { pid: number }[];
  };
  await delay(idleMs);
  const inCluster = lab.nodes.map((node) => residentMb(node.pid));

  printTable(
    "A whole node",
    ["what", "measured", "aim"],
    [
      [
        `\`up\` to Ready, packages present, median of ${rounds} (slowest)`,
        `${median(upSeconds).toFixed(1)} s (${Math.max(...upSeconds).toFixed(1)} s)`,
        "10 s",
      ],
      ["resident memory, idle for 60 s, single node", `${alone.toFixed(0)} MB`, "150 MB"],
      [
        "resident memory, idle for 60 s, each of three nodes",
        inCluster.map((each) => `${each.toFixed(0)} MB`).join(", "),
        "180 MB",
      ],
    ],
  );
} finally {
  trivet(["lab", "down"], home);
  trivet(["reset", "--yes"], home);
  rmSync(home, { recursive: true, force: true });
}
