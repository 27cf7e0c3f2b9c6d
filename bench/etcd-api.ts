/**
 * gRPC against gRPC: the same client over mutual TLS at Trivet's etcd API and at etcd. 1 KiB puts by 1, 64 and 256
 * clients of the leader, linearizable reads by 64.
 *
 *     npm run bench -- etcd-api [--quick] [--seconds 3] [--rounds 3]
 */
import { whileBoth } from "./datastore/cluster.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { comparisonHeader, Results } from "./datastore/results.ts";
import { Scratch } from "./datastore/scratch.ts";
import { printTable } from "./table.ts";

const { seconds, rounds } = benchOptions({ seconds: 3, rounds: 3 });
const keys = 1000;
const valueBytes = 1024;
const loads = [
  { what: "put, 1 client", operation: "put", clients: 1, aim: "" },
  { what: "put, 64 clients", operation: "put", clients: 64, aim: "" },
  { what: "put, 256 clients", operation: "put", clients: 256, aim: "1.0 x" },
  { what: "read, 64 clients", operation: "get", clients: 64, aim: "1.5 x" },
] as const;
const results = new Results();

await whileBoth(new Scratch("etcd-api"), async (clusters) => {
  for (const cluster of clusters)
    await cluster.near(await cluster.leader())("fill", { from: 0, to: keys, valueBytes });
  for (let round = 1; round <= rounds; round++) {
    for (const { what, operation, clients } of loads) {
      for (const cluster of clusters) {
        const driver = cluster.remote(await cluster.leader());
        const durationMs = seconds * 1000;
        const measure = await driver("load", { operation, clients, durationMs, keys, valueBytes });
        results.add(what, cluster.name, measure);
        note(`round ${round}/${rounds} ${cluster.name} ${what}: ${measure.perSecond.toFixed(0)}/s`);
      }
    }
  }
});
printTable(
  `etcd's API over gRPC, three members; medians of ${rounds} rounds of ${seconds} s`,
  comparisonHeader,
  loads.map(({ what, aim }) => results.row(what, aim)),
);
