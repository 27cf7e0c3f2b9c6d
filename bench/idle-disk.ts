/**
 * Bytes that each node of an idle three-node cluster writes to its disk, with the leases of its nodes and all controllers, as an
 * hour would have them. Each node of the lab has a disk of its own, so containerd's part and the file system's journal
 * count too. Needs root; makes and removes its own lab.
 *
 *     npm run bench -- idle-disk [--quick] [--seconds 300]
 */
import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { benchOptions, note } from "./datastore/options.ts";
import { diskWrittenBytes, flushDisk } from "./datastore/loop-disk.ts";
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
  lab("up", "--nodes", "3", "--disk-size", "2048", "--format", "json").trim().split("\n").at(-1) ?? "",
) as {
  nodes: { name: string; dataDir: string }[];
};
note(`three nodes run, ${settleMs / 1000} s of rest`);
await delay(settleMs);
const written = ({ dataDir }: { dataDir: string }) => diskWrittenBytes(dataDir);
const flush = () => {
  for (const { dataDir } of nodes) flushDisk(dataDir);
};
const startedMs = performance.now();
flush();
const before = nodes.map(written);
const bytes = () => nodes.map((node, at) => written(node) - (before[at] ?? NaN));
while (performance.now() - startedMs < seconds * 1000) {
  await delay(stepMs);
  note(
    bytes()
      .map((each) => `${(each / mib).toFixed(2)} MB`)
      .join(", "),
  );
}
flush();
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
