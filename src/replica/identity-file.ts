/**
 * `replica.json`: whose data a replica's directory holds. Written before anything else; only a recovery or a
 * new copy gives a directory another identity.
 */

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { FatalError } from "#base/errors.ts";
import type { MemberRecord } from "./types.ts";

export interface ReplicaIdentity {
  format: 1;
  clusterId: string;
  memberId: string;
  /** Of a joining replica: whom it can ask until it has a copy of the state. */
  peers: MemberRecord[];
  /** The record of this node's former self, whose copy was damaged: the others have, or still have, to be told. */
  replaces?: MemberRecord;
}

/** Files and directories that together are a copy of the datastore. */
export const copyFiles = ["state.db", "state.db-wal", "state.db-shm", "log"];

/** Undefined where the directory holds no replica. Throws FatalError for a broken file. */
export function readReplicaIdentity(dataDir: string): ReplicaIdentity | undefined {
  const path = join(dataDir, "replica.json");
  if (!existsSync(path)) return undefined;
  try {
    const identity = JSON.parse(readFileSync(path, "utf8")) as ReplicaIdentity;
    if (identity.format === 1 && typeof identity.memberId === "string") return identity;
  } catch (cause) {
    throw new FatalError(
      "badDataDir",
      `${path} is damaged: put it back from a copy, bring the node back from a backup ("trivet restore FILE"), ` +
        `or, if other nodes hold the cluster, run "trivet reset --yes" and join again`,
      { cause },
    );
  }
  throw new FatalError("badDataDir", `${path} was written by another version of Trivet`);
}

export function writeReplicaIdentity(dataDir: string, identity: ReplicaIdentity): void {
  writeDurably(join(dataDir, "replica.json"), identity);
}

/** Writes JSON whole or not at all, and flushes it and its name. */
export function writeDurably(path: string, value: unknown): void {
  const file = openSync(`${path}.new`, "w", 0o600);
  writeSync(file, JSON.stringify(value));
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.new`, path);
  const directory = openSync(dirname(path), "r");
  fsyncSync(directory);
  closeSync(directory);
}
