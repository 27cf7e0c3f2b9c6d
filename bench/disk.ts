/**
 * Bytes written to the disk per byte of acknowledged values: puts of 1 KiB over 1,000 keys by one client and by 64. Each side's
 * members are on a disk of their own, and all that was written to it counts: log, state, the file system's journal. What a
 * member does only once in a while (Trivet moves its WAL into its state at 16 MiB) is in it where the run is long enough. Needs root.
 *
 *     npm run bench -- disk [--quick] [--seconds 20] [--rounds 1]
 */
import { sides, startCluster } from "./datastore/cluster.ts";
import { diskWrittenBytes, flushDisk } from "./datastore/loop-disk.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { Scratch } from "./datastore/scratch.ts";
import { median, printTable } from "./table.ts";

const { seconds, rounds } = benchOptions({ seconds: 20, rounds: 1 });
const keys = 1000;
const valueBytes = 1024;
const diskSizeMiB = 4096;
const durationMs = seconds * 1000;
const mib = 1024 ** 2;
const measured = new Map<string, { acknowledged: number; perMember: number }[]>();

const opened = [];
for (const side of sides) {
  const scratch = new Scratch(`disk-${side}`, diskSizeMiB);
  const cluster = await startCluster(side, scratch);
  await cluster.near(await cluster.leader())("fill", { from: 0, to: keys, valueBytes });
  opened.push({ cluster, directory: scratch.directory });
}
for (let round = 1; round <= rounds; round++) {
  for (const clients of [1, 64]) {
    for (const { cluster, directory } of opened) {
      const driver = cluster.near(await cluster.leader());
      flushDisk(directory);
      const before = diskWrittenBytes(directory);
      const load = { operation: "put" as const, clients, durationMs, keys, valueBytes };
      const { answers } = await driver("load", load);
      await cluster.leader();
      flushDisk(directory);
      const written = diskWrittenBytes(directory) - before;
      const result = { acknowledged: answers * valueBytes, perMember: written / cluster.size };
      const key = `${clients} ${cluster.name}`;
      measured.set(key, [...(measured.get(key) ?? []), result]);
      note(
        `round ${round}/${rounds} ${key}: ${(result.perMember / result.acknowledged).toFixed(1)} x per member`,
      );
    }
  }
}
for (const { cluster } of opened) await cluster.close();

printTable(
  `Bytes written per byte of acknowledged values, three members; medians of ${rounds} rounds of ${seconds} s`,
  ["clients", "who", "MiB acknowledged", "MiB written per member", "bytes per byte and member"],
  [1, 64].flatMap((clients) =>
    sides.map((side) => {
      const all = measured.get(`${clients} ${side}`) ?? [];
      return [
        String(clients),
        side,
        (median(all.map((each) => each.acknowledged)) / mib).toFixed(1),
        (median(all.map((each) => each.perMember)) / mib).toFixed(1),
        median(all.map((each) => each.perMember / each.acknowledged)).toFixed(1),
      ];
    }),
  ),
);
