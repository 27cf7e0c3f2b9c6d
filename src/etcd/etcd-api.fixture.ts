/** An etcd API on loopback over mutual TLS, with what etcdctl and a gRPC client need to speak with it. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Backend } from "#base/backend.ts";
import type { EtcdApiOptions } from "./server.ts";
import { startEtcdApi } from "./server.ts";

export const hasEtcdctl = spawnSync("etcdctl", ["version"], { stdio: "ignore" }).status === 0;
export const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
/** What a test's replica would give as its backup. */
export const fakeBackup = Buffer.alloc(100_001, "backup");

export interface ServedApi {
  port: number;
  directory: string;
  tls: { ca: string; cert: string; key: string };
  /** Flags of etcdctl: endpoint and certificates. */
  flags: string[];
  /** Standard output; rejects when etcdctl fails, with its standard error in the message. */
  etcdctl(...args: string[]): Promise<string>;
  /** The member ids to which leadership was asked to move. */
  moved: string[];
  close(): Promise<void>;
}

export async function serveApi(
  backend: Backend,
  tls: ServedApi["tls"],
  options: Partial<EtcdApiOptions> = {},
): Promise<ServedApi> {
  const directory = mkdtempSync("/tmp/trivet-etcd-");
  const moved: string[] = [];
  const server = await startEtcdApi({
    backend,
    host: "127.0.0.1",
    port: 0,
    tls,
    maintenance: {
      async *backup() {
        yield fakeBackup.subarray(0, 70_000);
        yield fakeBackup.subarray(70_000);
      },
      transferLeadership: async (id) => void moved.push(id),
    },
    logger: silent,
    ...options,
  });
  const files = { cacert: tls.ca, cert: tls.cert, key: tls.key };
  const flags = [`--endpoints=https://127.0.0.1:${server.port}`];
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(directory, name), content);
    flags.push(`--${name}=${join(directory, name)}`);
  }
  return {
    port: server.port,
    directory,
    tls,
    flags,
    moved,
    etcdctl: async (...args) => {
      const { stdout } = await promisify(execFile)("etcdctl", [...flags, ...args], {
        env: { ...process.env, ETCDCTL_API: "3" },
        timeout: 10_000,
      });
      return stdout;
    },
    close: async () => {
      await server.close();
      rmSync(directory, { recursive: true });
    },
  };
}
