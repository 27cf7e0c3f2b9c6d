/** A real etcd on loopback, with a directory of its own that is removed at the end. */
import type { ChildProcess } from "node:child_process";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

export const skipWithoutEtcd =
  spawnSync("etcd", ["--version"], { stdio: "ignore" }).status === 0
    ? false
    : "needs etcd (Debian's etcd-server)";

export class RealEtcd {
  readonly endpoint: string;
  readonly #directory = mkdtempSync("/tmp/trivet-real-etcd-");
  readonly #peer: string;
  #process: ChildProcess | undefined;

  private constructor(client: number, peer: number) {
    this.endpoint = `http://127.0.0.1:${client}`;
    this.#peer = `http://127.0.0.1:${peer}`;
  }

  static async start(): Promise<RealEtcd> {
    const etcd = new RealEtcd(await freePort(), await freePort());
    await etcd.run();
    return etcd;
  }

  /** Starts it, or starts it again. */
  async run(): Promise<void> {
    const { endpoint } = this;
    const child = spawn(
      "etcd",
      [
        "--name=one",
        `--data-dir=${this.#directory}/data`,
        `--listen-client-urls=${endpoint}`,
        `--advertise-client-urls=${endpoint}`,
        `--listen-peer-urls=${this.#peer}`,
        `--initial-advertise-peer-urls=${this.#peer}`,
        `--initial-cluster=one=${this.#peer}`,
        "--unsafe-no-fsync",
      ],
      { stdio: "ignore" },
    );
    this.#process = child;
    const deadline = Date.now() + 20_000;
    for (;;) {
      const healthy = await fetch(`${endpoint}/health`).then(
        (answer) => answer.ok,
        () => false,
      );
      if (healthy) return;
      if (Date.now() > deadline || child.exitCode !== null) throw new Error("etcd did not start");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    return new Promise((resolve) => {
      if (child === undefined || child.exitCode !== null) resolve();
      else {
        child.once("exit", () => resolve());
        child.kill("SIGKILL");
      }
    });
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
