/**
 * The store beside Debian's etcd, in one run on one machine: 1 KiB puts, 1 and 256 clients, one member and
 * three on loopback, everything durable. Trivet's clients are in the process (the way its API server uses it);
 * etcd's speak gRPC, the only way there is. Rounds alternate, so that both meet the same neighbours.
 *
 *     node bench/store.ts [--seconds 4] [--rounds 3]
 */

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Client, credentials } from "@grpc/grpc-js";
import { TestCluster } from "#replica/cluster.fixture.ts";
import { ByteWriter } from "#store/bytes.ts";

const { values: options } = parseArgs({
  options: { seconds: { type: "string", default: "4" }, rounds: { type: "string", default: "3" } },
});
const durationMs = Number(options.seconds) * 1000;
const rounds = Number(options.rounds);
const value = new Uint8Array(1024).fill(120);

interface Store {
  name: string;
  members: number;
  put(key: string): Promise<unknown>;
  close(): Promise<void>;
}

interface Measure {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
}

async function trivet(members: number): Promise<Store> {
  const cluster = await TestCluster.start(members);
  const { backend } = cluster.handle(await cluster.leader());
  return {
    name: "trivet",
    members,
    put: (key) => backend.transact({ compare: [], success: [{ type: "put", key, value }], failure: [] }),
    close: () => cluster.close(),
  };
}

async function etcd(members: number): Promise<Store> {
  const directory = mkdtempSync(join(tmpdir(), "trivet-bench-etcd-"));
  const peers = Array.from({ length: members }, (_, at) => `m${at}=http://127.0.0.1:${23800 + at}`).join(",");
  const processes: ChildProcess[] = [];
  for (let at = 0; at < members; at++) {
    const client = `http://127.0.0.1:${23790 + at}`;
    const peer = `http://127.0.0.1:${23800 + at}`;
    processes.push(
      spawn(
        "etcd",
        [
          ["--name", `m${at}`],
          ["--data-dir", join(directory, `m${at}`)],
          ["--listen-client-urls", client],
          ["--advertise-client-urls", client],
          ["--listen-peer-urls", peer],
          ["--initial-advertise-peer-urls", peer],
          ["--initial-cluster", peers],
          ["--log-level", "error"],
        ].flat(),
        { stdio: "ignore" },
      ),
    );
  }
  const client = new Client("127.0.0.1:23790", credentials.createInsecure());
  const identity = (bytes: Buffer) => bytes;
  const put = (key: string) =>
    new Promise((resolve, reject) => {
      const request = new ByteWriter(1200).byte(0x0a).key(key).byte(0x12).bytes(value).finish();
      client.makeUnaryRequest(
        "/etcdserverpb.KV/Put",
        identity,
        identity,
        Buffer.from(request),
        (error, answer) => (error === null ? resolve(answer) : reject(error)),
      );
    });
  const deadline = Date.now() + 20_000;
  for (;;) {
    try {
      await put("ready");
      break;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  return {
    name: "etcd",
    members,
    put,
    async close() {
      client.close();
      for (const process of processes) process.kill("SIGKILL");
      await Promise.all(processes.map((process) => new Promise((resolve) => process.once("exit", resolve))));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function measure(store: Store, clients: number): Promise<Measure> {
  const latencies: number[] = [];
  const started = performance.now();
  const end = started + durationMs;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let at = 0; performance.now() < end; at++) {
        const before = performance.now();
        await store.put(`/bench/${client}/${at % 1000}`);
        latencies.push(performance.now() - before);
      }
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? 0;
  return { perSecond: latencies.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

function medianOf(measures: Measure[]): Measure {
  return {
    perSecond: median(measures.map((each) => each.perSecond)),
    p50Ms: median(measures.map((each) => each.p50Ms)),
    p99Ms: median(measures.map((each) => each.p99Ms)),
  };
}

const kinds: [string, (members: number) => Promise<Store>][] = [["trivet", trivet]];
if (existsSync("/usr/bin/etcd")) kinds.push(["etcd", etcd]);
else console.log("etcd is not installed (Debian: etcd-server): Trivet alone");

const results = new Map<string, Measure[]>();
for (let round = 0; round < rounds; round++) {
  for (const members of [1, 3]) {
    for (const [name, open] of kinds) {
      const store = await open(members);
      for (const clients of [1, 256]) {
        const key = `${members} ${clients} ${name}`;
        results.set(key, [...(results.get(key) ?? []), await measure(store, clients)]);
      }
      await store.close();
    }
  }
}

console.log(`1 KiB puts, medians of ${rounds} rounds of ${options.seconds} s`);
console.log("members clients  store    puts/s   p50 ms   p99 ms   rate vs etcd");
for (const members of [1, 3]) {
  for (const clients of [1, 256]) {
    const reference = medianOf(results.get(`${members} ${clients} etcd`) ?? []);
    for (const [name] of kinds) {
      const { perSecond, p50Ms, p99Ms } = medianOf(results.get(`${members} ${clients} ${name}`) ?? []);
      const ratio = reference.perSecond === 0 ? "" : (perSecond / reference.perSecond).toFixed(2);
      console.log(
        [
          String(members).padStart(7),
          String(clients).padStart(7),
          ` ${name.padEnd(7)}`,
          perSecond.toFixed(0).padStart(7),
          p50Ms.toFixed(2).padStart(8),
          p99Ms.toFixed(2).padStart(8),
          ratio.padStart(14),
        ].join(" "),
      );
    }
  }
}
