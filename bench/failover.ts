/**
 * How long writes pause when the leader is killed: three replicas in processes of their own on loopback,
 * kill -9 of the one that leads, and the time until a client of another one gets its next write
 * acknowledged. The killed one comes back before the next kill. Every acknowledged write is looked for at the end.
 *
 *     node bench/failover.ts [--kills 20]
 */

import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { makePeerAuthority } from "#replica/certificates.fixture.ts";
import { testLogger } from "#replica/cluster.fixture.ts";
import { startReplica } from "#replica/start-replica.ts";
import type { JoinGrant, PeerTls, ReplicaOptions, ReplicaStatus } from "#replica/types.ts";

type Order =
  | { type: "start"; dataDir: string; port: number; tls: PeerTls; mode: ReplicaOptions["mode"] }
  | { type: "add"; name: string; address: string }
  | { type: "status" }
  | { type: "write" }
  | { type: "stopWriting" }
  | { type: "keys" };

type Report =
  | { type: "acknowledged"; startedMs: number; endedMs: number; key: string }
  | { type: "answer"; value: unknown };

if (process.send === undefined) await main();
else serve();

/** A child: one replica, and a client that writes through it when told to. */
function serve(): void {
  let handle: Awaited<ReturnType<typeof startReplica>>;
  let writing = false;
  const answer = (value: unknown) => process.send?.({ type: "answer", value } satisfies Report);
  process.on("message", async (order: Order) => {
    switch (order.type) {
      case "start": {
        const { dataDir, port, tls, mode } = order;
        const listen = { host: "127.0.0.1", port };
        handle = await startReplica({ dataDir, listen, tls, mode, logger: testLogger(String(port)) });
        answer(handle.memberId);
        return;
      }
      case "add":
        answer(
          await handle.addMember({
            name: order.name,
            address: order.address,
            apiAddress: "",
            failureDomain: "",
          }),
        );
        return;
      case "status":
        answer(await handle.status());
        return;
      case "keys":
        answer(
          (await handle.backend.range({ key: "/w/", end: "/w0", keysOnly: true })).kvs.map((kv) => kv.key),
        );
        return;
      case "stopWriting":
        writing = false;
        answer(undefined);
        return;
      case "write":
        writing = true;
        for (let at = 0; writing; at++) {
          const startedMs = Date.now();
          const key = `/w/${process.pid}-${startedMs}-${at}`;
          try {
            const put = { type: "put" as const, key, value: new Uint8Array(100) };
            await handle.backend.transact({ compare: [], success: [put], failure: [] });
            process.send?.({ type: "acknowledged", startedMs, endedMs: Date.now(), key } satisfies Report);
          } catch {
            // Refused or unknown: not acknowledged, so nothing to account for.
          }
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
    }
  });
  process.on("disconnect", () => process.exit(0));
}

interface Member {
  child: ChildProcess;
  id: string;
  dataDir: string;
  port: number;
  onAcknowledged: (report: Report & { type: "acknowledged" }) => void;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { kills: { type: "string", default: "20" } } });
  const directory = mkdtempSync(join(tmpdir(), "trivet-bench-failover-"));
  const issue = await makePeerAuthority();
  const acknowledged: string[] = [];
  const members: Member[] = [];
  const pausesMs: number[] = [];

  const launch = async (at: number, mode: ReplicaOptions["mode"]): Promise<Member> => {
    const dataDir = join(directory, String(at));
    const port = 21900 + at;
    const child = fork(fileURLToPath(import.meta.url), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const member: Member = { child, id: "", dataDir, port, onAcknowledged: () => undefined };
    child.on("message", (report: Report) => {
      if (report.type !== "acknowledged") return;
      acknowledged.push(report.key);
      member.onAcknowledged(report);
    });
    const tls = await issue(`m${at}`);
    member.id = await ask<string>(member, { type: "start", dataDir, port, tls, mode });
    return member;
  };

  try {
    const member = { name: "m0", apiAddress: "", failureDomain: "" };
    members.push(await launch(0, { type: "bootstrap", member }));
    for (let at = 1; at < 3; at++) {
      const order: Order = { type: "add", name: `m${at}`, address: `127.0.0.1:${21900 + at}` };
      members.push(
        await launch(at, { type: "join", grant: await ask<JoinGrant>(members[0] as Member, order) }),
      );
    }
    for (let kill = 0; kill < Number(values.kills); kill++) {
      const leader = await whenHealthy(members);
      const victim = members[leader] as Member;
      const client = members[(leader + 1 + (kill % 2)) % 3] as Member;
      const first = nextAcknowledged(client, 0);
      client.child.send({ type: "write" } satisfies Order);
      await first;
      await new Promise((resolve) => setTimeout(resolve, 150 + Math.random() * 200));
      const killedMs = Date.now();
      victim.child.kill("SIGKILL");
      const next = await nextAcknowledged(client, killedMs);
      pausesMs.push(next.endedMs - killedMs);
      process.stdout.write(`${next.endedMs - killedMs} `);
      await ask(client, { type: "stopWriting" });
      members[leader] = await launch(leader, { type: "restart" });
    }
    await whenHealthy(members);
    const keys = new Set(await ask<string[]>(members[0] as Member, { type: "keys" }));
    const lost = acknowledged.filter((key) => !keys.has(key));
    pausesMs.sort((a, b) => a - b);
    const median = pausesMs[Math.floor(pausesMs.length / 2)];
    console.log(`\nkill -9 of the leader until the next acknowledged write: ${pausesMs.length} kills`);
    console.log(`median ${median} ms, maximum ${pausesMs.at(-1)} ms`);
    console.log(`${acknowledged.length} acknowledged writes, ${lost.length} lost`);
    if (lost.length > 0) process.exitCode = 1;
  } finally {
    for (const { child } of members) child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
}

async function ask<T>(member: Member, order: Order): Promise<T> {
  const answer = new Promise<T>((resolve, reject) => {
    const onMessage = (report: Report) => {
      if (report.type !== "answer") return;
      member.child.off("message", onMessage);
      member.child.off("exit", onExit);
      resolve(report.value as T);
    };
    const onExit = () => reject(new Error("the member has ended"));
    member.child.on("message", onMessage);
    member.child.once("exit", onExit);
  });
  if (!member.child.connected) await once(member.child, "spawn");
  member.child.send(order);
  return answer;
}

/** Resolves to the leader's place once all three vote, are online and have everything. */
async function whenHealthy(members: Member[]): Promise<number> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const statuses = await Promise.all(
      members.map((member) => ask<ReplicaStatus>(member, { type: "status" })),
    );
    const leader = statuses.findIndex((status) => status.leaderId === status.memberId);
    const view = statuses[leader];
    const healthy = view?.members.every(
      ({ role, online, lagEntries }) => role === "voter" && online && lagEntries === 0,
    );
    const agreed = statuses.every((status) => status.leaderId === view?.memberId && status.ready);
    if (view?.members.length === 3 && healthy === true && agreed) return leader;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the members did not become healthy");
}

function nextAcknowledged(member: Member, afterMs: number): Promise<Report & { type: "acknowledged" }> {
  return new Promise((resolve) => {
    member.onAcknowledged = (report) => {
      // A write that was under way at the kill may be answered by what the leader had sent before.
      if (report.startedMs > afterMs || report.endedMs - afterMs > 100) resolve(report);
    };
  });
}
