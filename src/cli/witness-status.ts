/** What a witness knows of itself and its cluster. It has no API server: its process answers on a socket in its data directory. */
import { request } from "node:http";
import { join } from "node:path";
import type { NodeStatus } from "./status.ts";

const timeoutMs = 5_000;

/** A socket's path is limited to 107 bytes, so its name is short. */
export function witnessSocket(dataDir: string): string {
  return join(dataDir, "w.sock");
}

/** Undefined where no witness answers. */
export function readWitnessStatus(dataDir: string): Promise<NodeStatus | undefined> {
  return new Promise((resolve, reject) => {
    const asking = request(
      { socketPath: witnessSocket(dataDir), path: "/status", timeout: timeoutMs },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          if (answer.statusCode !== 200) resolve(undefined);
          else resolve(JSON.parse(Buffer.concat(chunks).toString("utf8")) as NodeStatus);
        });
      },
    );
    asking.on("timeout", () => asking.destroy());
    asking.on("error", (error: NodeJS.ErrnoException) => {
      if (["ENOENT", "ECONNREFUSED", "ECONNRESET"].includes(error.code ?? "")) resolve(undefined);
      else reject(error);
    });
    asking.end();
  });
}

/** Why the witness does not do its part; empty when it does. */
export async function witnessNotReadyReason(dataDir: string): Promise<string> {
  const status = await readWitnessStatus(dataDir);
  if (status === undefined) return "the witness does not answer yet";
  return status.ready ? "" : status.reason;
}
