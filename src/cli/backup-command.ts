/** `trivet backup`: a consistent copy of the cluster in one file, taken while everything runs; and the check of one. */
import { once } from "node:events";
import { createReadStream, existsSync, openSync, renameSync, rmSync } from "node:fs";
import { closeSync, fsyncSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { StatusError } from "#base/errors.ts";
import { httpsTransport } from "#client/https-transport.ts";
import { readKubeconfig } from "#client/kubeconfig.ts";
import type { BackupSummary } from "#cluster/backup.ts";
import { copyBackup, verifyBackup } from "#cluster/backup.ts";
import type { CommandContext } from "./context.ts";
import { kubeconfigPath, NotRunningError } from "./management-client.ts";

const reportEveryMs = 2_000;

export async function backupCommand(
  context: CommandContext,
  file: string,
  flags: { dataDir: string; force?: boolean; unconfirmed?: boolean; verify?: boolean },
): Promise<void> {
  if (flags.verify === true) {
    context.print(describeBackup(await verifyFile(file)).join("\n"));
    return;
  }
  if (file !== "-" && existsSync(file) && flags.force !== true)
    throw new Error(
      `${file} exists: choose another name, or replace it with "trivet backup ${file} --force"`,
    );
  const take = async (report: (detail: string) => void): Promise<BackupSummary> => {
    let reportedMs = Date.now();
    const onProgress = (sizeBytes: number): void => {
      if (Date.now() - reportedMs < reportEveryMs) return;
      reportedMs = Date.now();
      report(`${mebibytes(sizeBytes)} so far`);
    };
    return withBackup(flags.dataDir, flags.unconfirmed === true, async (source) =>
      file === "-" ? copyBackup(source, toStandardOutput, onProgress) : toFile(file, source, onProgress),
    );
  };
  let summary: BackupSummary | undefined;
  await context.progress.step(`backup to ${file === "-" ? "standard output" : file}`, async (report) => {
    summary = await take(report);
    return `${mebibytes(summary.sizeBytes)}, revision ${summary.header.revision}`;
  });
  if (file !== "-" && summary !== undefined) context.print(describeBackup(summary).join("\n"));
}

/** Reads all of a file and checks it. Throws with what is wrong with it. */
export async function verifyFile(file: string): Promise<BackupSummary> {
  if (!existsSync(file)) throw new Error(`there is no file ${file}`);
  try {
    return await verifyBackup(createReadStream(file, { highWaterMark: 1 << 20 }));
  } catch (error) {
    if (error instanceof StatusError) throw new Error(`${file}: ${error.message}`, { cause: error });
    throw error;
  }
}

export function describeBackup({ header, sizeBytes }: BackupSummary): string[] {
  const time = new Date(header.timeMs).toISOString();
  return [
    `  taken      ${time} on ${header.node}, by Trivet ${header.trivet}`,
    `  cluster    ${header.clusterId} (${header.members.map(({ name }) => name).join(", ")})`,
    `  revision   ${header.revision}; history back to ${header.compactRevision}`,
    `  size       ${mebibytes(sizeBytes)}, whole and unchanged`,
    ...(header.confirmed
      ? []
      : ["  NOTE       taken without a majority: writes that were acknowledged last may be missing"]),
  ];
}

/** Written beside its name first: a file of that name is a whole backup. */
async function toFile(
  file: string,
  source: AsyncIterable<Uint8Array>,
  onProgress: (sizeBytes: number) => void,
): Promise<BackupSummary> {
  const partial = `${file}.partial`;
  rmSync(partial, { force: true });
  const descriptor = openSync(partial, "wx", 0o600);
  try {
    const write = async (bytes: Uint8Array): Promise<void> => {
      for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
    };
    const summary = await copyBackup(source, write, onProgress);
    fsyncSync(descriptor);
    renameSync(partial, file);
    const directory = openSync(dirname(file), "r");
    fsyncSync(directory);
    closeSync(directory);
    return summary;
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

async function toStandardOutput(bytes: Uint8Array): Promise<void> {
  if (!process.stdout.write(bytes)) await once(process.stdout, "drain");
}

async function withBackup<T>(
  dataDir: string,
  unconfirmed: boolean,
  use: (source: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const path = kubeconfigPath(dataDir);
  if (!existsSync(path))
    throw new NotRunningError(`there is no node in ${dataDir}: run "trivet up" or "trivet join" first`);
  const transport = httpsTransport({ ...readKubeconfig(path).transport, connectTimeoutMs: 3_000 });
  try {
    const response = await transport
      .handler({
        method: "GET",
        path: "/trivet/v1/backup",
        query: unconfirmed ? "unconfirmed=true" : "",
        headers: {},
        body: new Uint8Array(0),
        signal: new AbortController().signal,
      })
      .catch((cause: unknown) => {
        throw new NotRunningError(
          `the node does not answer: see "trivet status", start it with "trivet start"`,
          {
            cause,
          },
        );
      });
    const { body } = response;
    const source = body instanceof Uint8Array ? pieces(body) : body;
    if (response.status !== 200) throw await refusal(response.status, source);
    return await use(source);
  } finally {
    await transport.close();
  }
}

async function refusal(status: number, source: AsyncIterable<Uint8Array>): Promise<Error> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString("utf8");
  let message = text;
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    // What is not JSON is shown as it is.
  }
  const hint =
    status === 503 || status === 504
      ? '; "--unconfirmed" backs up what this node has, without asking a majority'
      : "";
  return new StatusError("", message + hint, { code: status });
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function mebibytes(sizeBytes: number): string {
  return `${(sizeBytes / 1048576).toFixed(1)} MiB`;
}
