/** Trivet's datastore, one process per member, on loopback. */
import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { JoinGrant, ReplicaOptions, ReplicaStatus } from "#replica/types.ts";
import type { Cluster, Issuer } from "./cluster.ts";
import { GrpcClient } from "./grpc-client.ts";
import type { Answer, MemberSettings, Order } from "./member.ts";
import type { Scratch } from "./scratch.ts";
import { end, freePorts } from "./scratch.ts";
import type { Driver, TaskArgument, TaskName, TaskResult } from "./tasks.ts";
import { driverOf } from "./tasks.ts";

const program = join(import.meta.dirname, "member.ts");

export class TrivetCluster implements Cluster {
  readonly name = "Trivet";
  readonly #members: TrivetMember[] = [];

  static async start(scratch: Scratch, issuer: Issuer, size: number): Promise<TrivetCluster> {
    const cluster = new TrivetCluster();
    const directory = join(scratch.directory, "trivet");
    mkdirSync(directory);
    const ports = await freePorts(2 * size);
    for (let at = 0; at < size; at++) {
      const member = new TrivetMember(scratch, {
        dataDir: join(directory, `m${at}`),
        peerPort: ports[2 * at] as number,
        apiPort: ports[2 * at + 1] as number,
        // Peers look for the member's name in it.
        credentials: await issuer(`m${at}`),
      });
      await member.start(await cluster.#modeOf(at, ports[2 * at] as number));
      cluster.#members.push(member);
      await cluster.#until(({ ready }) => ready, "a member to be ready");
    }
    const voters = Math.min(size - ((size + 1) % 2), 3);
    await cluster.#until(
      ({ members }) => members.filter(({ role }) => role === "voter").length === voters,
      "the members to vote",
    );
    await cluster.leader();
    return cluster;
  }

  get size(): number {
    return this.#members.length;
  }

  async leader(): Promise<number> {
    let leader = -1;
    await this.#until((status) => {
      leader = this.#members.findIndex(({ id }) => id === status.leaderId);
      return (
        leader >= 0 &&
        status.members.every(({ online, lagEntries }) => online && lagEntries >= 0 && lagEntries < 50)
      );
    }, "a leader with all members");
    return leader;
  }

  pid(member: number): number {
    return this.#member(member).pid;
  }

  near(member: number): Driver {
    return (name, argument) => this.#member(member).run(name, argument);
  }

  remote(member: number): Driver {
    return driverOf(this.#member(member).client);
  }

  async kill(member: number): Promise<void> {
    await this.#member(member).end("SIGKILL");
  }

  async leave(leader: number): Promise<void> {
    await this.#member(leader).end("SIGTERM");
  }

  async restart(member: number): Promise<{ tookMs: number }> {
    const startedMs = performance.now();
    await this.#member(member).start({ type: "restart" });
    await this.#member(member).ask({ type: "read" });
    return { tookMs: performance.now() - startedMs };
  }

  /** As this member sees it. */
  status(member: number): Promise<ReplicaStatus> {
    return this.#member(member).ask<ReplicaStatus>({ type: "status" });
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.close()));
  }

  async #modeOf(at: number, peerPort: number): Promise<ReplicaOptions["mode"]> {
    const name = `m${at}`;
    const [first] = this.#members;
    if (first === undefined)
      return { type: "bootstrap", member: { name, apiAddress: "", failureDomain: "" } };
    const order: Order = { type: "add", name, address: `127.0.0.1:${peerPort}` };
    return { type: "join", grant: await first.ask<JoinGrant>(order) };
  }

  /** Until each member that runs says so of itself, and they agree on who leads. */
  async #until(condition: (status: ReplicaStatus) => boolean, what: string): Promise<void> {
    let seen: unknown;
    const deadline = performance.now() + 30_000;
    while (performance.now() < deadline) {
      const running = this.#members.filter(({ runs }) => runs);
      const statuses = await Promise.all(
        running.map((member) => member.ask<ReplicaStatus>({ type: "status" }).catch(() => undefined)),
      );
      seen = statuses;
      const agreed = statuses.every(
        (status) => status?.ready === true && status.leaderId === statuses[0]?.leaderId && condition(status),
      );
      if (agreed) return;
      await delay(50);
    }
    throw new Error(`waited in vain for ${what}: ${JSON.stringify(seen)}`);
  }

  #member(at: number): TrivetMember {
    const member = this.#members[at];
    if (member === undefined) throw new Error(`there is no member ${at}`);
    return member;
  }
}

class TrivetMember {
  readonly client: GrpcClient;
  id = "";
  readonly #scratch: Scratch;
  readonly #settings: Omit<MemberSettings, "mode">;
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #child: ChildProcess | undefined;
  #lastId = 0;

  constructor(scratch: Scratch, settings: Omit<MemberSettings, "mode"> & { apiPort: number }) {
    this.#scratch = scratch;
    this.#settings = settings;
    this.client = new GrpcClient(settings.apiPort, settings.credentials);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get runs(): boolean {
    return this.#child !== undefined;
  }

  /** Resolves once the replica listens. */
  async start(mode: ReplicaOptions["mode"]): Promise<void> {
    const child = fork(program, {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
    });
    this.#child = this.#scratch.adopt(child);
    child.on("message", (answer: Answer) => {
      const call = this.#calls.get(answer.id);
      this.#calls.delete(answer.id);
      if ("error" in answer) call?.reject(new Error(answer.error));
      else call?.resolve(answer.value);
    });
    child.once("exit", () => {
      if (this.#child === child) this.#child = undefined;
      for (const { reject } of this.#calls.values()) reject(new Error("the member has ended"));
      this.#calls.clear();
    });
    await this.ask({ type: "start", settings: { ...this.#settings, mode } });
    this.id = (await this.ask<ReplicaStatus>({ type: "status" })).memberId;
  }

  ask<T>(order: Order): Promise<T> {
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      if (this.#child === undefined) {
        reject(new Error("the member does not run"));
        return;
      }
      this.#calls.set(id, { resolve: (value) => resolve(value as T), reject });
      this.#child.send({ ...order, id });
    });
  }

  run<Name extends TaskName>(task: Name, argument: TaskArgument<Name>): Promise<TaskResult<Name>> {
    return this.ask({ type: "run", task, argument });
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (this.#child !== undefined) await end(this.#child, signal);
  }

  async close(): Promise<void> {
    this.client.close();
    await this.end("SIGKILL");
  }
}
