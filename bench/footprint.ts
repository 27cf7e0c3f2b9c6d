/**
 * Memory of a member's process with 100,000 keys of 2 KiB, beside an etcd's: idle and empty, full, and after 64 clients
 * have changed keys for a while. The clients of Trivet's leader are in its process; its followers have none.
 *
 *     npm run bench -- footprint [--quick] [--seconds 10]
 */
import { setTimeout as delay } from "node:timers/promises";
import { sides, startCluster } from "./datastore/cluster.ts";
import type { Cluster } from "./datastore/cluster.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { memoryOf } from "./datastore/process-memory.ts";
import { Scratch } from "./datastore/scratch.ts";
import { printTable } from "./table.ts";

const { quick, seconds } = benchOptions({ seconds: 10, rounds: 1 });
const keys = quick ? 10_000 : 100_000;
const valueBytes = 2048;
const settleMs = quick ? 2000 : 10_000;
const rows: string[][] = [];

async function look(cluster: Cluster, what: string): Promise<void> {
  await delay(settleMs);
  const leader = await cluster.leader();
  for (const place of ["leader", "follower"]) {
    const pid = cluster.pid(place === "leader" ? leader : (leader + 1) % cluster.size);
    const { residentMb, privateMb } = memoryOf(pid);
    rows.push([
      `${cluster.name}, ${place}`,
      what,
      `${residentMb.toFixed(0)} MB`,
      `${privateMb.toFixed(0)} MB`,
    ]);
    note(`${cluster.name}, ${place}, ${what}: ${residentMb.toFixed(0)} MB`);
  }
}

for (const side of sides) {
  const cluster = await startCluster(side, new Scratch("footprint"));
  await look(cluster, "empty");
  const driver = cluster.near(await cluster.leader());
  await driver("fill", { from: 0, to: keys, valueBytes });
  await look(cluster, `${keys} keys`);
  await driver("load", { operation: "put", clients: 64, durationMs: seconds * 1000, keys, valueBytes });
  await look(cluster, `after ${seconds} s of puts by 64 clients`);
  await cluster.close();
}
printTable(
  `Memory of a member with ${keys} keys of 2 KiB`,
  ["who", "when", "resident", "of it private"],
  rows,
);
