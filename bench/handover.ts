/**
 * The longest gap in writes when the leader leaves in order: SIGTERM to Trivet's; `etcdctl move-leader`'s call and then
 * SIGTERM to etcd's. Four writers on another member; the one that left comes back before the next round.
 *
 *     npm run bench -- handover [--quick] [--rounds 10]
 */
import type { Cluster } from "./datastore/cluster.ts";
import { whileBoth } from "./datastore/cluster.ts";
import { countLost, interrupt } from "./datastore/interrupt.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { Scratch } from "./datastore/scratch.ts";
import { longestGap } from "./datastore/steady-writes.ts";
import type { Acknowledged } from "./datastore/steady-writes.ts";
import { median, printTable } from "./table.ts";

const { rounds } = benchOptions({ seconds: 0, rounds: 10 });
const rows: string[][] = [];

await whileBoth(new Scratch("handover"), async (clusters) => {
  const gapsMs = new Map<Cluster, number[]>(clusters.map((cluster) => [cluster, []]));
  const written = new Map<Cluster, Acknowledged[]>(clusters.map((cluster) => [cluster, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const cluster of clusters) {
      const leave = (leader: number) => cluster.leave(leader);
      const { writes, faultMs, endMs } = await interrupt(cluster, 4, 2000, leave);
      const gapMs = longestGap(writes, faultMs, endMs);
      gapsMs.get(cluster)?.push(gapMs);
      written.get(cluster)?.push(...writes);
      note(`round ${round}/${rounds} ${cluster.name}: ${gapMs.toFixed(0)} ms`);
    }
  }
  for (const cluster of clusters) {
    const gaps = gapsMs.get(cluster) ?? [];
    const acknowledged = written.get(cluster) ?? [];
    const lost = await countLost(cluster, acknowledged);
    const figures = [median(gaps), Math.max(...gaps)].map((gapMs) => `${gapMs.toFixed(0)} ms`);
    rows.push([cluster.name, ...figures, `${lost} of ${acknowledged.length}`]);
    if (lost > 0) process.exitCode = 1;
  }
});
printTable(
  `Longest gap in writes when the leader leaves in order (aim 100 ms); ${rounds} rounds`,
  ["who", "median", "maximum", "acknowledged writes lost"],
  rows,
);
