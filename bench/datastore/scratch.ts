/**
 * What a benchmark leaves on the machine while it runs: one directory, perhaps on a disk of its own, and its processes. All of it is gone when the
 * benchmark's own process ends, be it by an error or by a signal.
 */
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountOwnDisk, unmountOwnDisk } from "./loop-disk.ts";

export class Scratch {
  readonly directory: string;
  readonly #top: string;
  readonly #children = new Set<ChildProcess>();
  #mounted = false;

  /** `diskSizeMiB`: on a disk of its own, which takes root. */
  constructor(name: string, diskSizeMiB?: number) {
    this.#top = mkdtempSync(join(tmpdir(), `trivet-bench-${name}-`));
    this.directory = join(this.#top, "data");
    mkdirSync(this.directory);
    process.once("exit", () => this.#remove());
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const)
      process.once(signal, () => process.exit(code));
    if (diskSizeMiB === undefined) return;
    mountOwnDisk(join(this.#top, "disk"), this.directory, diskSizeMiB);
    this.#mounted = true;
  }

  /** The child is killed at the end if it still runs then. */
  adopt<Child extends ChildProcess>(child: Child): Child {
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  #remove(): void {
    for (const child of this.#children) child.kill("SIGKILL");
    if (this.#mounted) unmountOwnDisk(this.directory);
    // A killed process may still be writing its last file.
    rmSync(this.#top, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

/** Sends the signal and resolves once the process is gone; it is killed if that takes longer than 20 s. */
export async function end(child: ChildProcess, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  const impatience = setTimeout(() => child.kill("SIGKILL"), 20_000);
  await gone;
  clearTimeout(impatience);
}

/** Ports on loopback that nobody listens on at present; all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
