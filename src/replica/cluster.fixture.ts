/** Real replicas on loopback for tests: each with its thread, its directory and its port, joined as nodes are. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "#base/ports.ts";
import type { PeerAuthority } from "./peers/certificates.fixture.ts";
import { makePeerAuthority } from "./peers/certificates.fixture.ts";
import { startReplica } from "./start-replica.ts";
import type { ReplicaHandle, ReplicaOptions, ReplicaStatus } from "./types.ts";

const verbose = process.env["TRIVET_TEST_LOG"] !== undefined;
const line = (level: string, name: string) => (message: string, fields?: Record<string, unknown>) => {
  if (verbose) console.error(name, level, message, fields ?? "");
};

export function testLogger(name: string): Logger {
  return {
    debug: line("debug", name),
    info: line("info", name),
    warn: line("warn", name),
    error: line("error", name),
  };
}

export class TestCluster {
  readonly directory = mkdtempSync(join(tmpdir(), "trivet-replica-"));
  readonly #issue: PeerAuthority;
  readonly handles: ReplicaHandle[] = [];
  readonly #overrides: Partial<ReplicaOptions>;

  private constructor(issue: PeerAuthority, overrides: Partial<ReplicaOptions>) {
    this.#issue = issue;
    this.#overrides = overrides;
  }

  /** `count` nodes, the first of which is bootstrapped; ready when as many vote as should. */
  static async start(count: number, overrides: Partial<ReplicaOptions> = {}): Promise<TestCluster> {
    const cluster = new TestCluster(await makePeerAuthority(), overrides);
    const first = await startReplica({
      ...(await cluster.#common(0)),
      mode: { type: "bootstrap", member: { name: "node0", apiAddress: "", failureDomain: "" } },
    });
    cluster.handles.push(first);
    await until(async () => (await first.status()).ready, "a first leader");
    for (let at = 1; at < count; at++) await cluster.join();
    const voters = Math.min(count % 2 === 0 ? count - 1 : count, 3);
    await cluster.until((status) => status.members.filter((m) => m.role === "voter").length === voters);
    return cluster;
  }

  /** Adds one node, which counts as started once it serves. */
  async join(overrides: Partial<ReplicaOptions> = {}): Promise<ReplicaHandle> {
    const at = this.handles.length;
    const common = await this.#common(at);
    const port = await freePort();
    const grant = await this.handle(0).addMember({
      name: `node${at}`,
      address: `127.0.0.1:${port}`,
      apiAddress: "",
      failureDomain: "",
    });
    const handle = await startReplica({
      ...common,
      listen: { host: "127.0.0.1", port },
      mode: { type: "join", grant },
      ...overrides,
    });
    this.handles.push(handle);
    await until(async () => (await handle.status()).ready, `node${at} to be ready`);
    return handle;
  }

  /** Starts a stopped node again, on its old port. */
  async restart(at: number, overrides: Partial<ReplicaOptions> = {}): Promise<ReplicaHandle> {
    const handle = await startReplica({
      ...(await this.#common(at)),
      listen: { host: "127.0.0.1", port: this.handle(at).port },
      mode: { type: "restart" },
      ...overrides,
    });
    this.handles[at] = handle;
    return handle;
  }

  /** Starts the replica of another directory, as a node of this name. Whoever asks stops it. */
  async open(dataDir: string, name: string): Promise<ReplicaHandle> {
    return startReplica({
      dataDir,
      listen: { host: "127.0.0.1", port: 0 },
      tls: await this.#issue(name),
      logger: testLogger(name),
      mode: { type: "restart" },
    });
  }

  handle(at: number): ReplicaHandle {
    const handle = this.handles[at];
    if (handle === undefined) throw new Error(`there is no node ${at}`);
    return handle;
  }

  async leader(): Promise<number> {
    let found = -1;
    await this.until((status) => {
      found = this.handles.findIndex((handle) => handle.memberId === status.leaderId);
      return found >= 0 && status.ready;
    });
    return found;
  }

  /** Makes this node the leader. On a busy machine it may not catch up in the time that one transfer has. */
  async lead(at: number): Promise<void> {
    const { memberId } = this.handle(at);
    await until(async () => {
      if ((await this.handle(at).status()).leaderId === memberId) return true;
      await this.handle(at)
        .transferLeadership(memberId)
        .catch(() => undefined);
      return false;
    }, `node${at} to lead`);
  }

  /** Waits until the status that any node tells satisfies the condition. */
  async until(condition: (status: ReplicaStatus) => boolean, among: number[] = [0]): Promise<void> {
    await until(async () => {
      for (const at of among) if (condition(await this.handle(at).status())) return true;
      return false;
    }, String(condition));
  }

  async close(): Promise<void> {
    await Promise.all(this.handles.map((handle) => handle.stop()));
    rmSync(this.directory, { recursive: true, force: true });
  }

  dataDir(at: number): string {
    return join(this.directory, `node${at}`);
  }

  async #common(at: number) {
    return {
      dataDir: this.dataDir(at),
      listen: { host: "127.0.0.1", port: 0 },
      tls: await this.#issue(`node${at}`),
      logger: testLogger(`node${at}`),
      ...this.#overrides,
    };
  }
}

export async function until(
  condition: () => Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
