/**
 * Linearizable reads of single keys by 64 clients, on the leader and on a follower: in Trivet's process, as its API
 * server reads, and over gRPC, the only way that etcd has.
 *
 *     npm run bench -- reads [--quick] [--seconds 3] [--rounds 3]
 */
import { whileBoth } from "./datastore/cluster.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { comparisonHeader, Results } from "./datastore/results.ts";
import { Scratch } from "./datastore/scratch.ts";
import { printTable } from "./table.ts";

const { quick, seconds, rounds } = benchOptions({ seconds: 3, rounds: 3 });
const clients = 64;
const keys = quick ? 1000 : 10_000;
const valueBytes = 1024;
const results = new Results();

await whileBoth(new Scratch("reads"), async (clusters) => {
  for (const cluster of clusters) {
    const leader = await cluster.leader();
    await cluster.near(leader)("fill", { from: 0, to: keys, valueBytes });
  }
  for (let round = 1; round <= rounds; round++) {
    for (const place of ["leader", "follower"] as const) {
      for (const way of ["in process", "gRPC"] as const) {
        for (const cluster of clusters) {
          if (way === "in process" && cluster.name === "etcd") continue;
          const leader = await cluster.leader();
          const member = place === "leader" ? leader : (leader + 1) % cluster.size;
          const driver = way === "gRPC" ? cluster.remote(member) : cluster.near(member);
          const settings = {
            operation: "get" as const,
            clients,
            durationMs: seconds * 1000,
            keys,
            valueBytes,
          };
          const measure = await driver("load", settings);
          results.add(`${place}, ${way}`, cluster.name, measure);
          note(
            `round ${round}/${rounds} ${cluster.name} ${place}, ${way}: ${measure.perSecond.toFixed(0)}/s`,
          );
        }
      }
    }
  }
});

const rows = ["leader", "follower"].flatMap((place) =>
  ["in process", "gRPC"].map((way) => results.row(`${place}, ${way}`, "1.5 x", `${place}, gRPC`)),
);
printTable(
  `Linearizable reads, ${clients} clients, three members; medians of ${rounds} rounds of ${seconds} s; etcd always by gRPC`,
  comparisonHeader,
  rows,
);
