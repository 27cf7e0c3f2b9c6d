/**
 * A survivor of a lost majority goes on alone: everything in its log becomes its state, and the state the
 * beginning of a new cluster in which it is the only voter. All others, lost or not, belong to the old cluster;
 * they are told when they meet this one (see succession.ts). Runs before a replica is opened; asked for by a file,
 * so that it works the same for a running node (which starts again) and for a stopped one, and goes on after a crash.
 */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { FatalError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import type { ConfState } from "#raft/types.ts";
import { renewState } from "#store/renewal.ts";
import { FileStateDirectory } from "#store/state-directory.ts";
import type { Store } from "#store/store.ts";
import { openDatabase } from "#store/tables.ts";
import type { ClusterState } from "../cluster-state.ts";
import { FileDisk } from "../log/disk.ts";
import type { ReplicaIdentity } from "../identity-file.ts";
import { readReplicaIdentity, writeDurably, writeReplicaIdentity } from "../identity-file.ts";
import type { RecoveredLog } from "../log/log-recovery.ts";
import { recoverLog } from "../log/log-recovery.ts";
import { parseMemberId } from "../member-id.ts";
import { decodeProposal } from "../proposals.ts";
import { realRandom } from "../real-ports.ts";
import { loneVoter, newClusterId } from "../peers/succession.ts";
import type { ReplicaSurvey } from "../types.ts";

/** What a recovery was decided on, for the log and for `status`. */
export interface RecoveryRequest {
  /** A term above all that were seen among the survivors. */
  term: number;
  timeMs: number;
  /** Names of the members that did not answer. */
  lost: string[];
}

interface Mark extends RecoveryRequest {
  format: 1;
  /** The id of the cluster to come. */
  clusterId: string;
}

/** How far a replica that does not run had come. Undefined where there is none. Throws when it is damaged. */
export function surveyDirectory(dataDir: string): ReplicaSurvey | undefined {
  const identity = readReplicaIdentity(dataDir);
  if (identity === undefined || !existsSync(join(dataDir, "state.db"))) return undefined;
  const log = recoverLog(new FileDisk(join(dataDir, "log")), silent);
  const store = new FileStateDirectory(dataDir).open();
  try {
    const cluster = clusterOf(store);
    const { hardState, compactIndex, compactTerm } = log.state;
    const { index, term, revision } = store.position;
    const last = log.entries.at(-1) ?? { index: compactIndex, term: compactTerm };
    return {
      memberId: identity.memberId,
      clusterId: identity.clusterId,
      lastIndex: Math.max(last.index, index),
      lastTerm: Math.max(last.term, term),
      term: Math.max(hardState.term, term),
      committedIndex: Math.max(hardState.commit, index),
      revision,
      voters: votersOf(JSON.parse(store.note("confState") ?? "null") as ConfState | null, cluster),
      members: cluster.members,
      ready: false,
      leaderId: undefined,
    };
  } finally {
    store.close();
  }
}

/** The next start of the replica in this directory recovers. Durable when it returns. */
export function requestRecovery(dataDir: string, request: RecoveryRequest): { clusterId: string } {
  const clusterId = newClusterId(realRandom);
  writeDurably(markPath(dataDir), { format: 1, clusterId, ...request } satisfies Mark);
  return { clusterId };
}

/** Carries out what `requestRecovery` has asked for, if anything. Safe to repeat after a crash at any place. */
export function recoverIfAsked(dataDir: string, logger: Logger): void {
  if (!existsSync(markPath(dataDir))) return;
  const mark = JSON.parse(readFileSync(markPath(dataDir), "utf8")) as Mark;
  const identity = readReplicaIdentity(dataDir);
  if (identity === undefined) throw new FatalError("badDataDir", `${dataDir} holds no replica to recover`);
  const directory = new FileStateDirectory(dataDir);
  let store = directory.open();
  if (clusterOf(store).clusterId !== mark.clusterId) {
    const log = recoverLog(new FileDisk(join(dataDir, "log")), logger);
    const applied = applyAll(store, log);
    store.flush();
    const cluster = clusterOf(store);
    store.close();
    renew(join(dataDir, "state.db"), identity, cluster, {
      ...mark,
      term: Math.max(mark.term, log.state.hardState.term + 1),
    });
    logger.warn("this replica goes on alone: the majority was given up", {
      applied,
      lost: mark.lost.join(", "),
      cluster: mark.clusterId,
    });
    store = directory.open();
  }
  // The state is durable before the log that made it goes.
  store.flush();
  store.close();
  const aside = join(dataDir, `before-recovery-${mark.clusterId}`);
  mkdirSync(aside, { recursive: true, mode: 0o700 });
  if (existsSync(join(dataDir, "log")) && !existsSync(join(aside, "log")))
    renameSync(join(dataDir, "log"), join(aside, "log"));
  writeReplicaIdentity(dataDir, { ...identity, clusterId: mark.clusterId, peers: [] });
  rmSync(markPath(dataDir));
}

/** Also what was not known to be committed: the answer to its client was, or will be, "unknown". Returns how many. */
function applyAll(store: Store, log: RecoveredLog): number {
  const entries = log.entries.filter(({ index }) => index > store.position.index);
  if (entries[0] !== undefined && entries[0].index !== store.position.index + 1)
    throw new FatalError("corrupt", "the datastore's state is older than the beginning of its log");
  for (let at = 0; at < entries.length; at += 500) {
    store.batch(() => {
      for (const { index, term, type, data } of entries.slice(at, at + 500)) {
        // Membership is decided anew below.
        const command = type === "confChange" || data.length === 0 ? undefined : decodeProposal(data).command;
        store.apply(index, term, command);
      }
    });
  }
  return entries.length;
}

function renew(statePath: string, identity: ReplicaIdentity, old: ClusterState, mark: Mark): void {
  const database = openDatabase(statePath);
  const own = old.members.find(({ id }) => id === identity.memberId);
  if (own === undefined)
    throw new FatalError("badDataDir", "this replica is no member of its cluster: it can't recover it");
  const others = old.members.filter((each) => each !== own);
  try {
    database.exec("PRAGMA synchronous = FULL");
    renewState(database, {
      term: mark.term,
      notes: () => ({
        confState: JSON.stringify(loneVoter(own.id)),
        cluster: JSON.stringify({
          ...old,
          clusterId: mark.clusterId,
          members: [own],
          removed: [...new Set([...old.removed, ...others.map(({ id }) => id)])].slice(-200),
          formerIds: [...(old.formerIds ?? []), old.clusterId].slice(-20),
          decisions: [
            ...old.decisions,
            {
              timeMs: mark.timeMs,
              term: mark.term,
              reason: "Recovered" as const,
              subjects: [own.name],
              text: `recovered from the loss of ${mark.lost.join(", ") || "the majority"}: ${own.name} goes on alone until the others come back`,
            },
          ].slice(-30),
        } satisfies ClusterState),
      }),
    });
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    database.close();
  }
}

function clusterOf(store: Store): ClusterState {
  const note = store.note("cluster");
  if (note === undefined)
    throw new FatalError(
      "badDataDir",
      "this replica has never received a copy of the datastore: it can't recover it",
    );
  return JSON.parse(note) as ClusterState;
}

function votersOf(confState: ConfState | null, cluster: ClusterState): string[] {
  const voters = new Set([...(confState?.voters ?? []), ...(confState?.votersOutgoing ?? [])]);
  return cluster.members.filter(({ id }) => voters.has(parseMemberId(id))).map(({ id }) => id);
}

function markPath(dataDir: string): string {
  return join(dataDir, "recover.json");
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
