/**
 * From a backup to a node: keys, identity and datastore are made beside what is there, and take its place in the
 * end. What was there is laid aside, never removed; a backup that can't be used changes nothing.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { StatusError } from "#base/errors.ts";
import { readBackup } from "#replica/backup/backup-file.ts";
import type { Restored } from "#replica/backup/restore.ts";
import { restoreReplica } from "#replica/backup/restore.ts";
import type { BackupSecrets } from "./backup.ts";
import type { ClusterSettings, NodeIdentity } from "./identity.ts";
import { writeIdentity } from "./identity.ts";
import type { NewNode } from "./join.ts";
import { readAuthorities, writeAuthorities } from "./pki.ts";

export interface NodeRestore {
  node: NewNode;
  source: AsyncIterable<Uint8Array>;
  /** Go back to this revision, or to what it was at this time. */
  at?: { revision: number } | { timeMs: number };
  takeOver: boolean;
  nowMs: number;
  onChunk?: (chunks: number) => void;
}

/** What a node consists of, in the order in which it is laid aside; without the last there is no node. */
const parts = ["node.json", "kubeconfig", "replica", "pki"];

/**
 * Makes the restored node beside the present one, which may run meanwhile. Throws StatusError BadRequest when the
 * backup can't be used; nothing is left of it then. `putInPlace` does the rest.
 */
export async function prepareRestore(restore: NodeRestore): Promise<Restored> {
  const { node, source, at, takeOver, nowMs, onChunk } = restore;
  const directory = preparedPath(node.dataDir);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    const restored = await restoreReplica(join(directory, "replica"), source, {
      member: {
        name: node.name,
        address: `${node.address}:${node.ports.peer}`,
        apiAddress: `${node.address}:${node.ports.api}`,
        failureDomain: node.failureDomain,
        witness: false,
      },
      takeOver,
      nowMs,
      ...(at === undefined ? {} : { at }),
      ...(onChunk === undefined ? {} : { onChunk }),
    });
    const { authorities } = restored.secrets as Partial<BackupSecrets>;
    if (authorities === undefined)
      throw new StatusError("BadRequest", "the backup can't be used: it has no keys");
    writeAuthorities(directory, authorities);
    readAuthorities(directory);
    writeIdentity(directory, identityOf(node, restored));
    return restored;
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Lays the present node aside and puts the prepared one in its place. No node may run. Returns where the old one is. */
export function putInPlace(dataDir: string, nowMs: number): string | undefined {
  const directory = preparedPath(dataDir);
  const present = parts.filter((name) => existsSync(join(dataDir, name)));
  const aside = asidePath(dataDir, nowMs);
  if (present.length > 0) mkdirSync(aside, { mode: 0o700 });
  for (const name of present) renameSync(join(dataDir, name), join(aside, name));
  for (const name of parts.toReversed())
    if (existsSync(join(directory, name))) renameSync(join(directory, name), join(dataDir, name));
  rmSync(directory, { recursive: true, force: true });
  return present.length > 0 ? aside : undefined;
}

/**
 * Puts back the cluster's keys alone; the datastore stays. No node may run. Returns where the old keys are. Throws
 * StatusError BadRequest when the backup can't be used: nothing has changed then.
 */
export async function restoreKeys(
  dataDir: string,
  source: AsyncIterable<Uint8Array>,
  nowMs: number,
): Promise<string | undefined> {
  let secrets: Partial<BackupSecrets> = {};
  for await (const record of readBackup(source))
    if (record.type === "secrets") secrets = record.secrets as Partial<BackupSecrets>;
  const { authorities } = secrets;
  if (authorities === undefined)
    throw new StatusError("BadRequest", "the backup can't be used: it has no keys");
  const directory = preparedPath(dataDir);
  rmSync(directory, { recursive: true, force: true });
  writeAuthorities(directory, authorities);
  readAuthorities(directory);
  const aside = existsSync(join(dataDir, "pki")) ? asidePath(dataDir, nowMs) : undefined;
  if (aside !== undefined) {
    mkdirSync(aside, { mode: 0o700 });
    renameSync(join(dataDir, "pki"), join(aside, "pki"));
  }
  renameSync(join(directory, "pki"), join(dataDir, "pki"));
  rmSync(directory, { recursive: true, force: true });
  return aside;
}

/** The prepared node is not wanted after all. */
export function dropPrepared(dataDir: string): void {
  rmSync(preparedPath(dataDir), { recursive: true, force: true });
}

function identityOf(node: NewNode, restored: Restored): NodeIdentity {
  return {
    format: 1,
    name: node.name,
    role: "control-plane",
    address: node.address,
    ...(node.addressGiven === true ? { addressGiven: true } : {}),
    failureDomain: node.failureDomain,
    ports: node.ports,
    settings: restored.header.settings as ClusterSettings,
    endpoints: [],
    state: "ready",
  };
}

function asidePath(dataDir: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return join(dataDir, `before-restore-${stamp}`);
}

function preparedPath(dataDir: string): string {
  return join(dataDir, "restoring");
}
