/** Debian's etcd-server, one process per member, on loopback. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync, openSync, closeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findProgram } from "#cli/system.ts";
import type { Cluster, Issuer } from "./cluster.ts";
import { GrpcClient } from "./grpc-client.ts";
import type { Scratch } from "./scratch.ts";
import { end, freePorts } from "./scratch.ts";
import type { Driver } from "./tasks.ts";
import { driverOf } from "./tasks.ts";

interface EtcdMember {
  name: string;
  clientPort: number;
  peerPort: number;
  client: GrpcClient;
  process: ChildProcess | undefined;
}

export class EtcdCluster implements Cluster {
  readonly name = "etcd";
  readonly #scratch: Scratch;
  readonly #directory: string;
  readonly #members: EtcdMember[];
  readonly #program = findProgram("etcd") ?? "etcd";

  private constructor(scratch: Scratch, directory: string, members: EtcdMember[]) {
    this.#scratch = scratch;
    this.#directory = directory;
    this.#members = members;
  }

  static async start(scratch: Scratch, issuer: Issuer, size: number): Promise<EtcdCluster> {
    const directory = join(scratch.directory, "etcd");
    mkdirSync(directory);
    const credentials = await issuer("etcd");
    const { authority, certificate, key } = credentials;
    for (const [name, text] of Object.entries({ authority, certificate, key }))
      writeFileSync(join(directory, name), text, { mode: 0o600 });
    const ports = await freePorts(2 * size);
    const members = Array.from({ length: size }, (_, at): EtcdMember => {
      const clientPort = ports[2 * at] as number;
      const client = new GrpcClient(clientPort, credentials);
      return {
        name: `m${at}`,
        clientPort,
        peerPort: ports[2 * at + 1] as number,
        client,
        process: undefined,
      };
    });
    const cluster = new EtcdCluster(scratch, directory, members);
    for (const member of members) cluster.#launch(member);
    await cluster.leader();
    return cluster;
  }

  get size(): number {
    return this.#members.length;
  }

  async leader(): Promise<number> {
    const deadline = performance.now() + 30_000;
    while (performance.now() < deadline) {
      const views = await Promise.all(this.#members.map(({ client }) => client.status().catch(() => null)));
      const [first] = views;
      const newest = Math.max(...views.map((view) => view?.appliedIndex ?? 0));
      const whole = views.every(
        (view) =>
          view !== null &&
          view.leaderId !== "0" &&
          view.leaderId === first?.leaderId &&
          newest - view.appliedIndex < 50,
      );
      if (whole) return views.findIndex((view) => view?.memberId === first?.leaderId);
      await delay(50);
    }
    throw new Error(`etcd has no leader: ${this.#log()}`);
  }

  pid(member: number): number {
    return this.#member(member).process?.pid ?? 0;
  }

  near(member: number): Driver {
    return this.remote(member);
  }

  remote(member: number): Driver {
    return driverOf(this.#member(member).client);
  }

  async kill(member: number): Promise<void> {
    await this.#end(member, "SIGKILL");
  }

  async leave(leader: number): Promise<void> {
    const { client } = this.#member(leader);
    const target = await this.#member((leader + 1) % this.size).client.status();
    await client.moveLeader(target.memberId);
    await this.#end(leader, "SIGTERM");
  }

  async restart(member: number): Promise<{ tookMs: number }> {
    const startedMs = performance.now();
    this.#launch(this.#member(member));
    await answers(() => this.#member(member).client.keysBelow("/nothing/"));
    return { tookMs: performance.now() - startedMs };
  }

  async close(): Promise<void> {
    for (const { client } of this.#members) client.close();
    await Promise.all(this.#members.map((_, at) => this.#end(at, "SIGKILL")));
  }

  #launch(member: EtcdMember): void {
    const { name, clientPort, peerPort } = member;
    const file = (what: string) => join(this.#directory, what);
    const peers = this.#members.map((each) => `${each.name}=https://127.0.0.1:${each.peerPort}`);
    const flags = {
      name,
      "data-dir": file(name),
      "listen-client-urls": `https://127.0.0.1:${clientPort}`,
      "advertise-client-urls": `https://127.0.0.1:${clientPort}`,
      "cert-file": file("certificate"),
      "key-file": file("key"),
      "trusted-ca-file": file("authority"),
      "client-cert-auth": "true",
      "listen-peer-urls": `https://127.0.0.1:${peerPort}`,
      "initial-advertise-peer-urls": `https://127.0.0.1:${peerPort}`,
      "peer-cert-file": file("certificate"),
      "peer-key-file": file("key"),
      "peer-trusted-ca-file": file("authority"),
      "peer-client-cert-auth": "true",
      "initial-cluster": peers.join(","),
      // Its default, 2 GiB, is less than a million keys need.
      "quota-backend-bytes": String(16 * 1024 ** 3),
      "auto-compaction-mode": "periodic",
      "auto-compaction-retention": "5m",
      "log-level": "error",
    };
    const log = openSync(file(`${name}.log`), "a");
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const child = spawn(this.#program, args, { stdio: ["ignore", log, log] });
    closeSync(log);
    member.process = this.#scratch.adopt(child);
  }

  async #end(member: number, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const { process } = this.#member(member);
    if (process !== undefined) await end(process, signal);
  }

  #member(at: number): EtcdMember {
    const member = this.#members[at];
    if (member === undefined) throw new Error(`there is no member ${at}`);
    return member;
  }

  #log(): string {
    return this.#members
      .map(({ name }) => readFileSync(join(this.#directory, `${name}.log`), "utf8").slice(-500))
      .join("\n");
  }
}

/** Resolves once the call does; a connection that was refused is made anew by itself. */
async function answers(call: () => Promise<unknown>): Promise<void> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    try {
      await call();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(20);
    }
  }
}
