/** What is done to the cluster, one entry per row of the drills' table. Undone for all of them by `restore`. */
import type { SeededRandom } from "#sim/seeded-random.ts";
import type { DrillCluster } from "./cluster.ts";

export interface Fault {
  name: string;
  /** How long it lasts before it is undone, milliseconds. */
  holdMs: number;
  /** Size of what is written meanwhile. Default 100. */
  valueBytes?: number;
  begin(scene: Scene): Promise<void>;
}

/** The cluster at the beginning of a fault. */
export interface Scene {
  cluster: DrillCluster;
  leader: string;
  followers: [string, string];
  random: SeededRandom;
}

export const faults: Fault[] = [
  { name: "nothing", holdMs: 1000, begin: async () => undefined },
  {
    name: "kill -9 of the leader",
    holdMs: 3000,
    begin: ({ cluster, leader }) => cluster.killProcess(leader),
  },
  {
    name: "kill -9 of a follower",
    holdMs: 3000,
    begin: ({ cluster, followers }) => cluster.killProcess(followers[0]),
  },
  {
    name: "the leader loses power",
    holdMs: 4000,
    begin: ({ cluster, leader }) => cluster.lab.kill(leader, { power: true }),
  },
  {
    name: "the leader stops gracefully",
    holdMs: 2000,
    begin: ({ cluster, leader }) => cluster.killProcess(leader, "SIGTERM"),
  },
  {
    name: "kill -9 of all at once",
    holdMs: 500,
    begin: async ({ cluster }) => {
      await Promise.all(cluster.names.map((name) => cluster.killProcess(name)));
    },
  },
  {
    name: "all lose power at once",
    holdMs: 500,
    begin: async ({ cluster }) => {
      await Promise.all(cluster.names.map((name) => cluster.lab.kill(name, { power: true })));
    },
  },
  {
    name: "one after the other is killed",
    holdMs: 500,
    begin: async ({ cluster, leader, followers }) => {
      for (const name of [leader, ...followers]) {
        await cluster.killProcess(name);
        await new Promise((resolve) => setTimeout(resolve, 700));
        await cluster.lab.start(name);
        await new Promise((resolve) => setTimeout(resolve, 1500));
      }
    },
  },
  {
    name: "SIGSTOP of the leader for 10 s",
    holdMs: 10_000,
    begin: ({ cluster, leader }) => cluster.lab.pause(leader),
  },
  {
    name: "SIGSTOP of a follower for 10 s",
    holdMs: 10_000,
    begin: ({ cluster, followers }) => cluster.lab.pause(followers[0]),
  },
  {
    name: "the leader is cut off",
    holdMs: 5000,
    begin: ({ cluster, leader }) => cluster.lab.partition(leader),
  },
  {
    name: "a follower is cut off",
    holdMs: 5000,
    begin: ({ cluster, followers }) => cluster.lab.partition(followers[0]),
  },
  {
    name: "each is cut off from each",
    holdMs: 3000,
    begin: async ({ cluster }) => {
      for (const name of cluster.names) await cluster.lab.partition(name);
    },
  },
  {
    name: "the leader is not heard",
    holdMs: 5000,
    begin: ({ cluster, leader }) => cluster.lab.partition(leader, { oneWay: true }),
  },
  {
    name: "the leader does not hear",
    holdMs: 5000,
    begin: async ({ cluster, leader, followers }) => {
      for (const name of followers) await cluster.lab.partition(name, { oneWay: true, from: [leader] });
    },
  },
  {
    name: "the leader and one follower don't reach each other",
    holdMs: 5000,
    begin: ({ cluster, leader, followers }) => cluster.lab.partition(leader, { from: [followers[0]] }),
  },
  {
    name: "the followers don't reach each other",
    holdMs: 5000,
    begin: ({ cluster, followers }) => cluster.lab.partition(followers[0], { from: [followers[1]] }),
  },
  {
    name: "30% of all frames are lost",
    holdMs: 6000,
    begin: async ({ cluster }) => {
      for (const name of cluster.names) await cluster.lab.lose(name, 30);
    },
  },
  {
    name: "100 ms of delay each way",
    holdMs: 6000,
    begin: async ({ cluster }) => {
      for (const name of cluster.names) await cluster.lab.delay(name, 100);
    },
  },
  {
    name: "frames overtake each other and arrive twice",
    holdMs: 5000,
    begin: async ({ cluster }) => {
      for (const name of cluster.names)
        await cluster.lab.delay(name, 5, { jitterMs: 40, duplicatePercent: 20 });
    },
  },
  {
    name: "the leader's disk is full",
    holdMs: 6000,
    valueBytes: 16_384,
    begin: ({ cluster, leader }) => cluster.lab.fillDisk(leader),
  },
  {
    name: "a follower's disk is full",
    holdMs: 6000,
    valueBytes: 16_384,
    begin: ({ cluster, followers }) => cluster.lab.fillDisk(followers[0]),
  },
  {
    name: "a full disk, and kill -9 of that node",
    holdMs: 2500,
    valueBytes: 16_384,
    begin: async ({ cluster, leader }) => {
      await cluster.lab.fillDisk(leader);
      await new Promise((resolve) => setTimeout(resolve, 2500));
      await cluster.killProcess(leader);
      await cluster.lab.start(leader);
    },
  },
  {
    name: "the leader's clock jumps an hour ahead",
    holdMs: 3000,
    begin: ({ cluster, leader }) => cluster.lab.setClock(leader, 3_600_000),
  },
  {
    name: "the leader's clock jumps an hour back",
    holdMs: 3000,
    begin: ({ cluster, leader }) => cluster.lab.setClock(leader, -3_600_000),
  },
  {
    name: "loss, then kill -9 of the leader",
    holdMs: 5000,
    begin: async ({ cluster, leader }) => {
      for (const name of cluster.names) await cluster.lab.lose(name, 15);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await cluster.killProcess(leader);
    },
  },
];

/** Everything is as it should be again: cables, clocks, disks, processes. */
export async function restore(cluster: DrillCluster): Promise<void> {
  const { lab } = cluster;
  for (const { name, state } of lab.status()) {
    if (state === "paused") await lab.resume(name);
    await lab.heal(name);
    await lab.freeDisk(name);
    await lab.setClock(name, 0);
  }
  await Promise.all(lab.status().map(({ name }) => lab.start(name)));
}
