/**
 * Bytes written to the disk per acknowledged KiB of values, by /proc/PID/io: puts of 1 KiB over 1,000 keys by one client
 * and by 64. What a member writes later, when it moves its log into its state, is only in it where the run is long enough.
 *
 *     npm run bench -- disk [--quick] [--seconds 20] [--rounds 1]
 */
import { whileBoth } from "./datastore/cluster.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { writtenBytes } from "./datastore/process-figures.ts";
import { Scratch } from "./datastore/scratch.ts";
import { median, printTable } from "./table.ts";

const { seconds, rounds } = benchOptions({ seconds: 20, rounds: 1 });
const keys = 1000;
const valueBytes = 1024;
/** Bytes per byte. */
interface Amplification {
  acknowledgedMib: number;
  leader: number;
  follower: number;
}
const measured = new Map<string, Amplification[]>();

await whileBoth(new Scratch("disk"), async (clusters) => {
  for (const cluster of clusters)
    await cluster.near(await cluster.leader())("fill", { from: 0, to: keys, valueBytes });
  for (let round = 1; round <= rounds; round++) {
    for (const clients of [1, 64]) {
      for (const cluster of clusters) {
        const leader = await cluster.leader();
        const written = () =>
          Array.from({ length: cluster.size }, (_, member) => writtenBytes(cluster.pid(member)));
        const before = written();
        const { answers } = await cluster.near(leader)("load", {
          operation: "put",
          clients,
          durationMs: seconds * 1000,
          keys,
          valueBytes,
        });
        await cluster.leader();
        const bytes = answers * valueBytes;
        const ratios = written().map((after, member) => (after - (before[member] ?? NaN)) / bytes);
        const followers = ratios.filter((_, member) => member !== leader);
        const result = {
          acknowledgedMib: bytes / 1024 ** 2,
          leader: ratios[leader] ?? NaN,
          follower: median(followers),
        };
        const key = `${clients} ${cluster.name}`;
        measured.set(key, [...(measured.get(key) ?? []), result]);
        note(
          `round ${round}/${rounds} ${cluster.name}, ${clients} clients: ${result.leader.toFixed(1)} x on the leader`,
        );
      }
    }
  }
});

printTable(
  `Bytes written per byte of acknowledged values, three members; medians of ${rounds} rounds of ${seconds} s`,
  ["clients", "who", "MiB acknowledged", "leader", "follower"],
  [1, 64].flatMap((clients) =>
    ["Trivet", "etcd"].map((side) => {
      const all = measured.get(`${clients} ${side}`) ?? [];
      return [
        String(clients),
        side,
        median(all.map((each) => each.acknowledgedMib)).toFixed(1),
        median(all.map((each) => each.leader)).toFixed(1),
        median(all.map((each) => each.follower)).toFixed(1),
      ];
    }),
  ),
);
