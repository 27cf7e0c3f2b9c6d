/**
 * Memory of the replica: resident and private bytes of a process that has nothing but one, beside those of the
 * same process with an empty thread, before and after 60,000 puts over 10,000 keys of 2 KiB.
 *
 *     node bench/memory.ts
 */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { TestCluster } from "#replica/cluster.fixture.ts";
import { printTable } from "./table.ts";

const puts = 60_000;
const keys = 10_000;
const clients = 64;
const settleMs = 10_000;
const value = new Uint8Array(2048).fill(120);

interface Memory {
  resident: number;
  private: number;
}

function memory(): Memory {
  const rollup = readFileSync("/proc/self/smaps_rollup", "utf8");
  const megabytes = (field: string) =>
    Number(new RegExp(`${field}:\\s+(\\d+)`).exec(rollup)?.[1] ?? NaN) / 1024;
  return { resident: megabytes("Rss"), private: megabytes("Anonymous") };
}

const rows: [string, Memory][] = [];
const note = (what: string) => rows.push([what, memory()]);

const empty = new Worker("setInterval(() => undefined, 1000)", { eval: true });
await delay(1000);
note("with an empty thread");
await empty.terminate();

const cluster = await TestCluster.start(1, { historyMs: 30_000 });
await delay(2000);
note("with an idle replica");
const { backend } = cluster.handle(0);
let next = 0;
async function client(upTo: number): Promise<void> {
  while (next < upTo) {
    const key = `/bench/${next++ % keys}`;
    await backend.transact({ compare: [], success: [{ type: "put", key, value }], failure: [] });
  }
}
for (const share of [0.25, 0.5, 0.75, 1]) {
  await Promise.all(Array.from({ length: clients }, () => client(puts * share)));
  note(`after ${puts * share} puts of 2 KiB`);
}
await delay(settleMs);
note(`${settleMs / 1000} s later`);
await cluster.close();

const base = rows[0]?.[1].resident ?? 0;
printTable(
  "Memory of one replica",
  ["what", "resident", "of it private", "above an empty thread"],
  rows.map(([what, { resident, private: own }]) => [
    what,
    `${resident.toFixed(0)} MB`,
    `${own.toFixed(0)} MB`,
    `${(resident - base).toFixed(0)} MB`,
  ]),
);
