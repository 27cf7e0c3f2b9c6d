/** What a replica is told at its start, and what of it concerns raft. */

import type { Logger, Random } from "#base/ports.ts";
import type { NodeId, RaftStorage } from "#raft/types.ts";
import type { FormatRange } from "#store/format.ts";
import { supportedFormats } from "#store/format.ts";
import type { Frame } from "./peers/frames.ts";
import type { Reply } from "./ports.ts";
import type { ReplicaTiming } from "./types.ts";

export interface ReplicaConfig {
  /** This member's id, 16 hex digits. */
  memberId: string;
  timing: ReplicaTiming;
  /** How much log is kept for members that lag; older ones get a snapshot. */
  keptLogBytes: number;
  segmentBytes: number;
  /** About how much of a snapshot travels at a time. */
  snapshotChunkBytes: number;
  /** Deadline of calls, milliseconds. */
  timeoutMs: number;
  /** What this release reads and writes. */
  formats: FormatRange;
}

export const defaultTiming: ReplicaTiming = { tickMs: 50, heartbeatTicks: 2, electionTicks: 10 };

export const defaultConfig = {
  timing: defaultTiming,
  keptLogBytes: 8 << 20,
  segmentBytes: 8 << 20,
  snapshotChunkBytes: 256 << 10,
  timeoutMs: 10_000,
  formats: supportedFormats,
};

/** What the parts around the core (governor, sessions) add to it. */
export interface ReplicaHooks {
  /** Frames that the core does not know. */
  onFrame(from: NodeId, frame: Frame, reply: Reply): void;
  onPeerLost(peer: NodeId): void;
  onTick(): void;
  /** The cluster's membership, or this replica's view of who leads, has changed. */
  onChange(): void;
  handlers: Record<string, (from: NodeId, body: Uint8Array) => Promise<Uint8Array> | Uint8Array>;
  /** Something in the state is not as it was written; the rest is served. */
  onDamage(error: Error): void;
  onFatal(error: Error): void;
}

/** Raft's own settings. `applied` is the index up to which the state has come. */
export function raftConfig(options: {
  id: NodeId;
  timing: ReplicaTiming;
  storage: RaftStorage;
  applied: number;
  random: Random;
  logger: Logger;
}) {
  const { id, timing, storage, applied, random, logger } = options;
  return {
    id,
    electionTicks: timing.electionTicks,
    heartbeatTicks: timing.heartbeatTicks,
    storage,
    applied,
    asyncStorageWrites: true,
    maxSizePerMessageBytes: 1 << 20,
    maxCommittedSizePerReadyBytes: 1 << 20,
    maxUncommittedBytes: 64 << 20,
    maxInflightMessages: 256,
    maxInflightBytes: 8 << 20,
    checkQuorum: true,
    preVote: true,
    readOnlyOption: "safe" as const,
    disableProposalForwarding: true,
    disableConfChangeValidation: false,
    stepDownOnRemoval: true,
    randomInteger: (bound: number) => random.integer(bound),
    trace: (line: string) => logger.debug(line),
  };
}
