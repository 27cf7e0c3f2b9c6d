/**
 * Whether the datastore stays as fast when it is full: 1 KiB puts and linearizable reads by 64 clients of the leader at
 * 1,000 to 1,000,000 keys, and how long a member that was killed takes to start with all of them. Needs 20 GB of disk.
 *
 *     npm run bench -- growth [--quick] [--seconds 3] [--rounds 2]
 */
import { whileBoth } from "./datastore/cluster.ts";
import type { Cluster } from "./datastore/cluster.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { Results } from "./datastore/results.ts";
import { Scratch } from "./datastore/scratch.ts";
import { median, printTable } from "./table.ts";

const { quick, seconds, rounds } = benchOptions({ seconds: 3, rounds: 2 });
const sizes = quick ? [1000, 10_000] : [1000, 10_000, 100_000, 1_000_000];
const most = sizes.at(-1) ?? NaN;
const valueBytes = 1024;
const clients = 64;
const operations = ["put", "get"] as const;
const results = new Results();
const startsMs = new Map<string, number[]>();

await whileBoth(new Scratch("growth"), async (clusters) => {
  let from = 0;
  for (const to of sizes) {
    for (const cluster of clusters) await grow(cluster, from, to);
    from = to;
    for (let round = 1; round <= rounds; round++) {
      for (const operation of operations) {
        for (const cluster of clusters) {
          const driver = cluster.near(await cluster.leader());
          const durationMs = seconds * 1000;
          const measure = await driver("load", { operation, clients, durationMs, keys: to, valueBytes });
          results.add(`${operation} ${to}`, cluster.name, measure);
          note(`${cluster.name} ${operation} at ${to} keys: ${measure.perSecond.toFixed(0)}/s`);
        }
      }
    }
  }
  for (let round = 1; round <= rounds; round++) {
    for (const cluster of clusters) {
      const follower = ((await cluster.leader()) + 1) % cluster.size;
      await cluster.kill(follower);
      const { tookMs } = await cluster.restart(follower);
      startsMs.set(cluster.name, [...(startsMs.get(cluster.name) ?? []), tookMs]);
      note(`${cluster.name} starts with ${most} keys in ${tookMs.toFixed(0)} ms`);
    }
  }
});

/** More keys, no faster than the members that are behind can follow. */
async function grow(cluster: Cluster, from: number, to: number): Promise<void> {
  const startedMs = performance.now();
  const step = 50_000;
  for (let at = from; at < to; at += step) {
    const driver = cluster.near(await cluster.leader());
    await driver("fill", { from: at, to: Math.min(at + step, to), valueBytes });
  }
  await cluster.leader();
  const perSecond = (to - from) / ((performance.now() - startedMs) / 1000);
  note(`${cluster.name} has ${to} keys, filled at ${perSecond.toFixed(0)}/s`);
}

for (const operation of operations) {
  printTable(
    `${operation}s of 1 KiB, ${clients} clients, three members; medians of ${rounds} rounds of ${seconds} s (aim: flat within 2 x)`,
    [
      "keys",
      "Trivet per second",
      "of its first",
      "p99 ms",
      "etcd per second",
      "of its first",
      "p99 ms",
      "rate vs etcd",
    ],
    sizes.map((size) => {
      const [ours, theirs] = (["Trivet", "etcd"] as const).map((side) => {
        const { perSecond, p99Ms } = results.of(`${operation} ${size}`, side);
        const first = results.of(`${operation} ${sizes[0]}`, side).perSecond;
        return { perSecond, cells: [perSecond.toFixed(0), (perSecond / first).toFixed(2), p99Ms.toFixed(1)] };
      });
      const ratio = (ours?.perSecond ?? NaN) / (theirs?.perSecond ?? NaN);
      return [String(size), ...(ours?.cells ?? []), ...(theirs?.cells ?? []), ratio.toFixed(2)];
    }),
  );
}
printTable(
  `A follower that was killed, until it answers linearizable reads, with ${most} keys`,
  ["who", "median"],
  [...startsMs].map(([name, all]) => [name, `${(median(all) / 1000).toFixed(2)} s`]),
);
