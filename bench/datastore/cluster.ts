/**
 * The two sides of a comparison, as the benchmarks handle them: three members each, one process per member, all on
 * one disk, everything durable, mutual TLS between members and for gRPC clients, five minutes of history.
 */
import { findProgram, installPackages } from "#cli/system.ts";
import { createAuthority, issue } from "#cluster/certificates.ts";
import { EtcdCluster } from "./etcd-cluster.ts";
import type { Credentials } from "./grpc-channel.ts";
import type { Scratch } from "./scratch.ts";
import type { Driver } from "./tasks.ts";
import { TrivetCluster } from "./trivet-cluster.ts";

/** Gives a certificate for this name. */
export type Issuer = (commonName: string) => Promise<Credentials>;

export interface Cluster {
  readonly name: "Trivet" | "etcd";
  readonly size: number;
  /** Which member leads, once all agree on it and none is behind. Rejects after 30 s. */
  leader(): Promise<number>;
  pid(member: number): number;
  /** A client as close to the member as there is: in its process, or with etcd over gRPC. */
  near(member: number): Driver;
  /** A client in this process, over gRPC. */
  remote(member: number): Driver;
  /** kill -9. */
  kill(member: number): Promise<void>;
  /** Has the leader leave in order: leadership moves, the process ends. */
  leave(leader: number): Promise<void>;
  /** Starts a member that has ended; resolves once it answers linearizable reads, with the time from the start of its process. */
  restart(member: number): Promise<{ tookMs: number }>;
  close(): Promise<void>;
}

/** In this order they take turns. */
export const sides = ["Trivet", "etcd"] as const;
export type Side = (typeof sides)[number];

export async function startCluster(side: Side, scratch: Scratch, members = 3): Promise<Cluster> {
  const issuer = await makeIssuer();
  if (side === "Trivet") return TrivetCluster.start(scratch, issuer, members);
  await requireEtcd();
  return EtcdCluster.start(scratch, issuer, members);
}

/** Both at once: who has nothing to do only sends heartbeats. */
export async function startBoth(scratch: Scratch, members = 3): Promise<Cluster[]> {
  const clusters: Cluster[] = [];
  for (const side of sides) clusters.push(await startCluster(side, scratch, members));
  return clusters;
}

export async function whileBoth(
  scratch: Scratch,
  measure: (clusters: Cluster[]) => Promise<void>,
  members = 3,
): Promise<void> {
  const clusters = await startBoth(scratch, members);
  await measure(clusters);
  for (const cluster of clusters) await cluster.close();
}

/** A new authority. What it issues serves as a server's certificate and as a client's. */
export async function makeIssuer(): Promise<Issuer> {
  const authority = await createAuthority("trivet-bench", 1);
  return async (commonName) => {
    const hosts = ["localhost", "127.0.0.1"];
    const issued = await issue(authority, {
      commonName,
      hosts,
      usages: ["server", "client"],
      validDays: 1,
    });
    return { authority: authority.certificate, ...issued };
  };
}

/** Debian's etcd is installed where it is missing, which takes root. */
async function requireEtcd(): Promise<void> {
  if (findProgram("etcd") !== undefined) return;
  if (process.getuid?.() !== 0)
    throw new Error("the comparison needs etcd: install Debian's etcd-server, or run this as root");
  console.log("installing etcd-server ...");
  await installPackages(["etcd-server"]);
}
