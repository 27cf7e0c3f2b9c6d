/**
 * How long writes pause when the leader is killed: kill -9 of the member that leads, and the time until a client of
 * another one gets its next write acknowledged. The killed one comes back before the next kill. Every acknowledged
 * write is looked for at the end.
 *
 *     npm run bench -- failover [--quick] [--rounds 15]
 */
import type { Cluster } from "./datastore/cluster.ts";
import { whileBoth } from "./datastore/cluster.ts";
import { countLost, interrupt } from "./datastore/interrupt.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { percentile } from "./datastore/percentile.ts";
import { Scratch } from "./datastore/scratch.ts";
import { pauseAfter } from "./datastore/steady-writes.ts";
import type { Acknowledged } from "./datastore/steady-writes.ts";
import { median, printTable } from "./table.ts";

const { rounds } = benchOptions({ seconds: 0, rounds: 15 });
/** How long is looked. A write that was lost with etcd's leader is not given up for 7 s. */
const afterMs = { Trivet: 3000, etcd: 9000 };
const rows: string[][] = [];

await whileBoth(new Scratch("failover"), async (clusters) => {
  const pausesMs = new Map<Cluster, number[]>(clusters.map((cluster) => [cluster, []]));
  const written = new Map<Cluster, Acknowledged[]>(clusters.map((cluster) => [cluster, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const cluster of clusters) {
      const { writes, faultMs } = await interrupt(cluster, 4, afterMs[cluster.name], (leader) =>
        cluster.kill(leader),
      );
      const pauseMs = pauseAfter(writes, faultMs);
      pausesMs.get(cluster)?.push(pauseMs);
      written.get(cluster)?.push(...writes);
      note(`kill ${round}/${rounds} ${cluster.name}: ${pauseMs.toFixed(0)} ms`);
    }
  }
  for (const cluster of clusters) {
    const pauses = pausesMs.get(cluster) ?? [];
    const acknowledged = written.get(cluster) ?? [];
    const lost = await countLost(cluster, acknowledged);
    const figures = [median(pauses), percentile(pauses, 0.99)].map((pauseMs) => `${pauseMs.toFixed(0)} ms`);
    rows.push([cluster.name, ...figures, `${lost} of ${acknowledged.length}`]);
    if (lost > 0) process.exitCode = 1;
  }
});
printTable(
  `kill -9 of the leader until the next acknowledged write (aim 800 ms, p99 1.5 s); ${rounds} kills`,
  ["who", "median", "p99", "acknowledged writes lost"],
  rows,
);
