/**
 * An etcd of the owner's in the place of this node's replica: the same handle over it. What only replicas can do
 * (roles, backups, recovery) is refused with where to turn instead.
 */
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { StatusError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import type { DatastoreSettings, NodeIdentity } from "#cluster/identity.ts";
import type { NodePki } from "#cluster/pki.ts";
import { EtcdBackend } from "#etcd/client-backend.ts";
import type { EtcdHealth } from "#etcd/client-health.ts";
import { failuresToQuorumLoss } from "#etcd/client-health.ts";
import type { BackendStatus } from "#base/backend.ts";
import type { MemberRecord, ReplicaHandle, ReplicaStatus } from "#replica/types.ts";

const statusMs = 500;
const retryMs = 2_000;

export async function openExternalDatastore(
  identity: NodeIdentity,
  settings: DatastoreSettings,
  pki: NodePki,
  logger: Logger,
): Promise<ReplicaHandle> {
  const clusterId = digest(pki.authorities.cluster.certificate);
  const memberId = memberIdOf(identity.name);
  const { endpoints, prefix, ca, cert, key } = settings;
  const backend = await EtcdBackend.open({
    endpoints,
    prefix,
    clusterId,
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    },
    member: {
      id: memberId,
      name: identity.name,
      apiAddress: `${identity.address}:${identity.ports.api}`,
      failureDomain: identity.failureDomain,
    },
    logger,
  });
  const external = (what: string) => async (): Promise<never> => {
    throw new StatusError(
      "NotImplemented",
      `${what}: the datastore is external (${endpoints.join(", ")}), and its owner's tools are the ones to use`,
    );
  };
  let seen = await backend.status().catch(async (error: unknown) => {
    await backend.close();
    throw error;
  });
  const status = async (): Promise<ReplicaStatus> => {
    const { health } = backend;
    let trouble = troubleOf(health);
    // Nothing is known of an etcd that is silent but what was seen last, and that it is silent.
    if (trouble === undefined)
      await backend.status().then(
        (now) => (seen = now),
        (error: unknown) => {
          if (!(error instanceof StatusError)) throw error;
          trouble = error.message;
        },
      );
    return statusOf(seen, health, endpoints, clusterId, trouble);
  };
  return {
    backend,
    memberId,
    clusterId,
    port: 0,
    addMember: async (wanted) => {
      const { members } = await status();
      if (members.some(({ name, online }) => name === wanted.name && online))
        throw new StatusError("Conflict", `a member named ${wanted.name} exists`);
      const member: MemberRecord = { witness: false, ...wanted, id: memberIdOf(wanted.name) };
      if (member.witness) return external("a witness has nothing to vote on")();
      return { clusterId, member, peers: [...members, member] };
    },
    removeMember: (id) => backend.forget(id),
    updateMember: async () => undefined,
    transferLeadership: () => backend.resign(),
    setVoters: external("there are no voters to set"),
    members: async () => (await status()).members,
    status,
    metrics: async () => "",
    onStatus: (callback) => watchStatus(status, callback),
    setTls: async () => undefined,
    stop: () => backend.close(),
    outage: external("there is no replica to stop"),
    backup: external("no backup is made"),
    survey: external("there is no replica to look at"),
    recover: external("nothing can be recovered here"),
    kill: () => backend.close(),
  };
}

function statusOf(
  seen: BackendStatus,
  health: EtcdHealth,
  endpoints: string[],
  clusterId: string,
  trouble: string | undefined,
): ReplicaStatus {
  const failures = trouble === undefined ? failuresToQuorumLoss(health) : -1;
  return {
    ...seen,
    ready: seen.ready && trouble === undefined,
    clusterId,
    logBytes: 0,
    failuresToQuorumLoss: failures,
    highlyAvailable: failures >= 1 && seen.members.filter(({ online }) => online).length > 1,
    members: seen.members.map((each) => ({ ...each, witness: false })),
    voterTarget: 0,
    decisions: [],
    trouble,
    external: { endpoints, ...health },
  };
}

/** Tries again and again while the etcd does not answer, and logs each new reason. */
export async function patiently(open: () => Promise<ReplicaHandle>, logger: Logger): Promise<ReplicaHandle> {
  for (let last = ""; ;) {
    try {
      return await open();
    } catch (error) {
      // A write that was on its way to a member that died: it is made again.
      if (!(error instanceof StatusError && ["ServiceUnavailable", "Timeout"].includes(error.reason)))
        throw error;
      if (error.message !== last) logger.warn("waiting for the datastore", { error: (last = error.message) });
      await delay(retryMs);
    }
  }
}

function troubleOf(health: EtcdHealth): string | undefined {
  if (failuresToQuorumLoss(health) >= 0) return undefined;
  const { members, alive, failures } = health;
  const why = failures.length === 0 ? "" : ` (${failures.join("; ")})`;
  return `the external datastore has no leader: ${alive} of ${members} members answer${why}`;
}

function watchStatus(
  status: () => Promise<ReplicaStatus>,
  callback: (status: ReplicaStatus) => void,
): () => void {
  let last = "";
  let ended = false;
  let busy = false;
  const look = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    // Without an answer nothing is known; the next look says when that has changed.
    const now = await status().catch(() => undefined);
    busy = false;
    if (ended || now === undefined) return;
    const text = JSON.stringify([now.ready, now.leaderId, now.members, now.external]);
    if (text === last) return;
    last = text;
    callback(now);
  };
  const timer = setInterval(() => void look(), statusMs);
  void look();
  return () => {
    ended = true;
    clearInterval(timer);
  };
}

function memberIdOf(name: string): string {
  return digest(`member ${name}`);
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
