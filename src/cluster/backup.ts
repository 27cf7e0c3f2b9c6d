/**
 * Backups over the management API: GET /trivet/v1/backup streams one, to cluster administrators. Beside the
 * state it holds the cluster's authorities, without which nobody would trust a restored cluster: whoever has the
 * file is the cluster's administrator.
 */
import { StatusError } from "#base/errors.ts";
import type { HttpHandler, HttpResponse } from "#base/http.ts";
import type { BackupHeader } from "#replica/backup/backup-file.ts";
import { verifyBackup as readToEnd, writeBackup } from "#replica/backup/backup-file.ts";
import type { ReplicaHandle } from "#replica/types.ts";
import type { ClusterSettings } from "./identity.ts";
import type { Authorities } from "./pki.ts";
import { requireAdministrator } from "./recovery.ts";

export interface BackupOptions {
  replica: Pick<ReplicaHandle, "backup">;
  node: string;
  version: string;
  authorities: Authorities;
  settings: ClusterSettings;
  nowMs(): number;
}

/** What a backup keeps secret. */
export interface BackupSecrets {
  authorities: Authorities;
}

/** What a whole backup says of itself. */
export interface BackupSummary {
  header: BackupHeader;
  chunks: number;
  sizeBytes: number;
}

/** `?unconfirmed=true`: of a cluster without a majority, as far as the node knows it. */
export function createBackupRoute(options: BackupOptions): HttpHandler {
  return requireAdministrator(async (request): Promise<HttpResponse> => {
    if (request.method !== "GET") throw new StatusError("MethodNotAllowed", "a backup is read with GET");
    const unconfirmed = new URLSearchParams(request.query).get("unconfirmed") === "true";
    const { info, chunks } = await options.replica.backup(unconfirmed);
    const { node, version, authorities, settings } = options;
    const header: BackupHeader = { trivet: version, node, timeMs: options.nowMs(), ...info, settings };
    const body = writeBackup(header, { authorities } satisfies BackupSecrets, chunks);
    // Who went away reads no end: the frozen state is let go now, not after its idle time.
    request.signal.addEventListener("abort", () => void body.return(undefined));
    return { status: 200, headers: { "content-type": "application/octet-stream" }, body };
  });
}

/**
 * Passes a backup on while checking it. Resolves when all of it was written; `write` resolves when it can take
 * more. Throws StatusError BadRequest for what is not a whole backup: what was written is worth nothing then.
 */
export async function copyBackup(
  source: AsyncIterable<Uint8Array>,
  write: (bytes: Uint8Array) => Promise<void>,
  onProgress: (sizeBytes: number) => void = () => undefined,
): Promise<BackupSummary> {
  let written = 0;
  async function* passedOn(): AsyncGenerator<Uint8Array> {
    for await (const piece of source) {
      await write(piece);
      onProgress((written += piece.length));
      yield piece;
    }
  }
  return readToEnd(passedOn());
}

/** Reads all of a backup and checks it, without keeping anything. Throws as `copyBackup` does. */
export async function verifyBackup(source: AsyncIterable<Uint8Array>): Promise<BackupSummary> {
  return copyBackup(source, async () => undefined);
}
