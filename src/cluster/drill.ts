/**
 * The nodes' part in `trivet drill`: whether the cluster may be drilled, how long a node's writes waited, and
 * the outage itself. The command line leads through it; nothing here knows other nodes.
 */
import type { Backend } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { ReplicaStatus } from "#replica/types.ts";

/** What a drill does to the node's replica. */
export interface DrillPorts {
  status(): Promise<ReplicaStatus>;
  /** Resolves when the replica runs again. */
  outage(durationMs: number): Promise<void>;
  transferLeadership(): Promise<void>;
  logError(message: string, error: unknown): void;
}

/** The part of a cluster's status that decides whether it may be drilled. */
export interface DrillView {
  failuresToQuorumLoss: number;
  members: { name: string; role: string; online: boolean; lagEntries: number; isLeader: boolean }[];
  /** Where an etcd of the owner's is the datastore. */
  external?: object;
}

export interface DrillWrites {
  acknowledged: number;
  refused: number;
  /** Between two acknowledged writes, or from the last one to the end. */
  longestGapMs: number;
}

export const drillPrefix = "/trivet/drill/";
const caughtUpEntries = 1000;
const outageMsMax = 60_000;
const writesMsMax = 120_000;
const pauseMs = 5;

/** Why this cluster must not be drilled now; undefined where it may be. */
export function drillRefusal({ members, failuresToQuorumLoss, external }: DrillView): string | undefined {
  if (external !== undefined) return "the datastore is external, and its owner's to drill";
  if (!members.some(({ isLeader }) => isLeader)) return "the datastore has no leader";
  const voters = members.filter(({ role }) => role === "voter");
  if (voters.length < 3)
    return `the datastore is not highly available: it has ${voters.length} ${voters.length === 1 ? "voter" : "voters"}, three are needed (see "trivet add-node")`;
  const offline = voters.filter(({ online }) => !online).map(({ name }) => name);
  if (offline.length > 0) return `not all voters are online: ${offline.join(", ")}`;
  const behind = voters.filter(({ lagEntries }) => lagEntries < 0 || lagEntries > caughtUpEntries);
  if (behind.length > 0)
    return `not all voters have everything yet: ${behind.map(({ name }) => name).join(", ")}`;
  if (failuresToQuorumLoss < 1) return "no node may fail at present";
  return undefined;
}

/** Writes one key again and again through this node's replica, and removes it afterwards. */
export async function measureWrites(backend: Backend, key: string, durationMs: number): Promise<DrillWrites> {
  const begin = performance.now();
  const end = begin + durationMs;
  const measured: DrillWrites = { acknowledged: 0, refused: 0, longestGapMs: 0 };
  let last = begin;
  const note = (): void => {
    const now = performance.now();
    measured.longestGapMs = Math.max(measured.longestGapMs, Math.round(now - last));
    last = now;
  };
  while (performance.now() < end) {
    try {
      const value = new TextEncoder().encode(String(measured.acknowledged));
      await backend.transact({ compare: [], success: [{ type: "put", key, value }], failure: [] });
      measured.acknowledged++;
      note();
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      measured.refused++;
    }
    await new Promise((resolve) => {
      setTimeout(resolve, pauseMs);
    });
  }
  note();
  await backend.transact({ compare: [], success: [{ type: "delete", key }], failure: [] });
  return measured;
}

/** `POST drill/writes {durationMs}` and `POST drill/outage {durationMs, graceful}`, of an administrator. */
export async function runDrillCall(
  name: string,
  backend: Backend,
  drill: DrillPorts,
  body: { durationMs?: number; graceful?: boolean; id?: string },
): Promise<unknown> {
  const durationMs = body.durationMs ?? 0;
  if (name === "writes") {
    requireBetween(durationMs, 1000, writesMsMax);
    const { memberId } = await drill.status();
    return measureWrites(backend, `${drillPrefix}${memberId}`, durationMs);
  }
  if (name !== "outage") throw new StatusError("NotFound", `there is no drill "${name}"`);
  const status = await drill.status();
  // What another node knows of the cluster is half a second old.
  if (status.leaderId !== status.memberId)
    throw new StatusError("Conflict", "another node leads by now: run the drill again");
  const refusal = drillRefusal(status);
  if (refusal !== undefined)
    throw new StatusError("Conflict", `this cluster can't be drilled now: ${refusal}`);
  if (body.graceful === true) await drill.transferLeadership();
  else {
    requireBetween(durationMs, 1000, outageMsMax);
    drill.outage(durationMs).catch((error: unknown) => {
      drill.logError("the replica did not come back from its drill", error);
    });
  }
  return {};
}

function requireBetween(durationMs: number, least: number, most: number): void {
  if (!(durationMs >= least && durationMs <= most))
    throw new StatusError("BadRequest", `a drill takes from ${least / 1000} to ${most / 1000} s`);
}
