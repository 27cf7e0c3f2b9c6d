/**
 * From a backup to the directory of a replica: a cluster of its own with one voter, which takes up the backup's
 * state under a new cluster id. Used while no replica runs there. Nothing is left behind when it fails.
 */

import { mkdirSync, rmSync } from "node:fs";
import { FatalError, StatusError } from "#base/errors.ts";
import { MalformedError } from "#store/bytes.ts";
import type { Renewal } from "#store/renewal.ts";
import { renewState } from "#store/renewal.ts";
import { FileStateDirectory } from "#store/state-directory.ts";
import type { BackupHeader } from "./backup-file.ts";
import { readBackup } from "./backup-file.ts";
import type { ClusterState } from "../cluster-state.ts";
import { writeReplicaIdentity } from "../identity-file.ts";
import { newMemberId } from "../member-id.ts";
import { realRandom } from "../real-ports.ts";
import { loneVoter, newClusterId } from "../peers/succession.ts";
import type { MemberRecord } from "../types.ts";

export interface RestoreOptions {
  /** Who the restored cluster's only member is. */
  member: Omit<MemberRecord, "id">;
  at?: Renewal["at"];
  /** The old cluster's members are told, when they come across this one, that it has taken their cluster's place. */
  takeOver: boolean;
  nowMs: number;
  /** Told after each chunk of the backup. */
  onChunk?: (chunks: number) => void;
}

export interface Restored {
  header: BackupHeader;
  /** What the backup keeps for its owner. */
  secrets: unknown;
  clusterId: string;
  /** The revision whose content was restored. */
  content: number;
  /** The revision at which the restored cluster begins. */
  revision: number;
}

/**
 * Writes a replica to `dataDir`, which must not exist. Throws StatusError BadRequest when the backup can't be used or
 * does not reach `at`.
 */
export async function restoreReplica(
  dataDir: string,
  source: AsyncIterable<Uint8Array>,
  options: RestoreOptions,
): Promise<Restored> {
  mkdirSync(dataDir, { mode: 0o700 });
  try {
    return await restore(dataDir, source, options);
  } catch (error) {
    rmSync(dataDir, { recursive: true, force: true });
    // Checksums are right, so it was written like this: a chunk that this version can't read.
    if (error instanceof MalformedError)
      throw new StatusError("BadRequest", `the backup can't be used: ${error.message}`, { cause: error });
    throw error;
  }
}

async function restore(
  dataDir: string,
  source: AsyncIterable<Uint8Array>,
  options: RestoreOptions,
): Promise<Restored> {
  const state = new FileStateDirectory(dataDir);
  const writer = state.receive();
  let header: BackupHeader | undefined;
  let secrets: unknown;
  try {
    let chunks = 0;
    for await (const record of readBackup(source)) {
      if (record.type === "header") header = record.header;
      if (record.type === "secrets") secrets = record.secrets;
      if (record.type !== "chunk") continue;
      writer.add(record.chunk);
      options.onChunk?.(++chunks);
    }
    if (header === undefined)
      throw new FatalError("corrupt", "a backup without a header was read to its end");
    const clusterId = newClusterId(realRandom);
    const member: MemberRecord = { ...options.member, id: newMemberId(realRandom) };
    const cluster: ClusterState = {
      clusterId,
      members: [member],
      removed: [],
      decisions: [],
      formerIds: options.takeOver ? [header.clusterId] : [],
    };
    const taken = new Date(header.timeMs).toISOString();
    const { content, position } = renewState(writer.database, {
      ...(options.at === undefined ? {} : { at: options.at }),
      notes: ({ term }) => ({
        confState: JSON.stringify(loneVoter(member.id)),
        cluster: JSON.stringify({
          ...cluster,
          decisions: [
            {
              timeMs: options.nowMs,
              term,
              reason: "Restored",
              subjects: [member.name],
              text: `${member.name} was restored from a backup of ${taken}`,
            },
          ],
        } satisfies ClusterState),
      }),
    });
    if (position.revision <= header.revision)
      throw new FatalError("corrupt", "a restored revision went back");
    state.adopt(writer).close();
    writeReplicaIdentity(dataDir, { format: 1, clusterId, memberId: member.id, peers: [] });
    return { header, secrets, clusterId, content, revision: position.revision };
  } finally {
    writer.close();
  }
}
