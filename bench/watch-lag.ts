/**
 * How long a change takes to 100 watchers at 1,000 writes a second, the writer on the leader and the watchers on a
 * follower. Watchers of keys of their own see 1,000 changes a second between them; watchers of everything see 100,000.
 *
 *     npm run bench -- watch-lag [--quick] [--seconds 5] [--rounds 3]
 */
import { whileBoth } from "./datastore/cluster.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { Scratch } from "./datastore/scratch.ts";
import { lagOf } from "./datastore/watch-lag.ts";
import type { WatchLag } from "./datastore/watch-lag.ts";
import { monotonicMs } from "./datastore/percentile.ts";
import { median, printTable } from "./table.ts";

const { seconds, rounds } = benchOptions({ seconds: 5, rounds: 3 });
const settings = { watchers: 100, writesPerSecond: 1000, durationMs: seconds * 1000, valueBytes: 1024 };
/** For the watchers to be there. */
const settleMs = 1000;
const ways = [
  { what: "own keys, in process", near: true, shared: false, sides: ["Trivet"] },
  { what: "own keys, gRPC", near: false, shared: false, sides: ["Trivet", "etcd"] },
  { what: "everything, in process", near: true, shared: true, sides: ["Trivet"] },
  { what: "everything, gRPC", near: false, shared: true, sides: ["Trivet", "etcd"] },
];
const lags = new Map<string, WatchLag[]>();

await whileBoth(new Scratch("watch-lag"), async (clusters) => {
  for (let round = 1; round <= rounds; round++) {
    for (const { what, near, shared, sides } of ways) {
      for (const cluster of clusters.filter(({ name }) => sides.includes(name))) {
        const leader = await cluster.leader();
        const follower = (leader + 1) % cluster.size;
        const driver = (member: number) => (near ? cluster.near(member) : cluster.remote(member));
        const startMs = monotonicMs() + settleMs;
        const load = { ...settings, shared, startMs, prefix: `/watched/${Math.round(startMs)}/` };
        const [writes, sightings] = await Promise.all([
          driver(leader)("paceWrites", load),
          driver(follower)("observe", load),
        ]);
        const lag = lagOf(load, writes, sightings);
        const key = `${cluster.name} ${what}`;
        lags.set(key, [...(lags.get(key) ?? []), lag]);
        note(`round ${round}/${rounds} ${key}: p99 ${lag.afterAnswer.p99Ms.toFixed(1)} ms after the answer`);
      }
    }
  }
});

const rows = ways.flatMap(({ what, sides }) =>
  sides.map((side) => {
    const measured = lags.get(`${side} ${what}`) ?? [];
    const of = (figure: (lag: WatchLag) => number, digits = 1) =>
      median(measured.map(figure)).toFixed(digits);
    return [
      `${side}: ${what}`,
      of((lag) => lag.writesPerSecond, 0),
      `${of((lag) => lag.afterAnswer.p50Ms)} / ${of((lag) => lag.afterAnswer.p99Ms)}`,
      `${of((lag) => lag.afterSending.p50Ms)} / ${of((lag) => lag.afterSending.p99Ms)}`,
      of((lag) => lag.missed, 0),
      side === "Trivet" ? "10 ms" : "",
    ];
  }),
);
printTable(
  `A change to ${settings.watchers} watchers, three members; medians of ${rounds} rounds of ${seconds} s`,
  [
    "who, watching",
    "writes per second",
    "p50 / p99 ms after the writer's answer",
    "p50 / p99 ms after sending",
    "missed",
    "aim (p99)",
  ],
  rows,
);
