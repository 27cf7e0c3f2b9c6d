/**
 * Bytes that each node of an idle three-node cluster writes to its disk, with the leases of its nodes and all controllers, as an
 * hour would have them. Needs root; makes and removes its own lab.
 *
 *     npm run bench -- idle-disk [--quick] [--seconds 300]
 */
import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { benchOptions, note } from "./datastore/options.ts";
import { writtenBytes } from "./datastore/process-figures.ts";
import { Scratch } from "./datastore/scratch.ts";
import { printTable } from "./table.ts";

const { quick, seconds } = benchOptions({ seconds: 300, rounds: 1 });
const settleMs = quick ? 10_000 : 60_000;
const stepMs = 10_000;
const mib = 1024 ** 2;
const launcher = new URL("../trivet", import.meta.url).pathname;
const home = new Scratch("idle-disk").directory;

function lab(...args: string[]): string {
  return execFileSync(launcher, ["lab", ...args], {
    encoding: "utf8",
    env: { ...process.env, HOME: home },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

process.once("exit", () => lab("down"));
lab("down");
const { nodes } = JSON.parse(
  lab("up", "--nodes", "3", "--format", "json").trim().split("\n").at(-1) ?? "",
) as {
  nodes: { name: string; pid: number }[];
};
note(`three nodes run, ${settleMs / 1000} s of rest`);
await delay(settleMs);
const startedMs = performance.now();
const before = nodes.map(({ pid }) => writtenBytes(pid));
const bytes = () => nodes.map(({ pid }, at) => writtenBytes(pid) - (before[at] ?? NaN));
while (performance.now() - startedMs < seconds * 1000) {
  await delay(stepMs);
  note(
    bytes()
      .map((each) => `${(each / mib).toFixed(2)} MB`)
      .join(", "),
  );
}
const hours = (performance.now() - startedMs) / 3_600_000;
printTable(
  `Written by the nodes of an idle cluster in ${seconds} s, and in an hour at that rate`,
  ["node", "written", "in an hour", "aim"],
  bytes().map((each, at) => [
    nodes[at]?.name ?? "",
    `${(each / mib).toFixed(2)} MB`,
    `${(each / mib / hours).toFixed(1)} MB`,
    "10 MB",
  ]),
);
