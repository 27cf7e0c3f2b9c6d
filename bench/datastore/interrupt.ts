/** Something happens to the leader while clients of another member write. */
import { setTimeout as delay } from "node:timers/promises";
import type { Cluster } from "./cluster.ts";
import { monotonicMs } from "./percentile.ts";
import type { Acknowledged } from "./steady-writes.ts";
import { steadyPrefix } from "./steady-writes.ts";

export interface Interruption {
  writes: Acknowledged[];
  /** By the monotonic clock. */
  faultMs: number;
  endMs: number;
}

const beforeMs = 500;

/** The writers go on for `afterMs` after the fault. The leader's process must have ended by then; it is started again. */
export async function interrupt(
  cluster: Cluster,
  writers: number,
  afterMs: number,
  fault: (leader: number) => Promise<void>,
): Promise<Interruption> {
  const leader = await cluster.leader();
  const other = (leader + 1 + Math.floor(Math.random() * (cluster.size - 1))) % cluster.size;
  const durationMs = beforeMs + Math.random() * 200 + afterMs;
  const writing = cluster.near(other)("steadyWrites", { writers, durationMs });
  const endMs = monotonicMs() + durationMs;
  await delay(durationMs - afterMs);
  const faultMs = monotonicMs();
  const over = fault(leader);
  const writes = await writing;
  await over;
  await cluster.restart(leader);
  await cluster.leader();
  if (!writes.some(({ endedMs }) => endedMs < faultMs))
    throw new Error("nothing was written before the fault");
  return { writes, faultMs, endMs };
}

/** How many of the acknowledged writes the cluster no longer has. */
export async function countLost(cluster: Cluster, acknowledged: Acknowledged[]): Promise<number> {
  const keys = new Set(await cluster.near(await cluster.leader())("keysBelow", steadyPrefix));
  return acknowledged.filter(({ key }) => !keys.has(key)).length;
}
