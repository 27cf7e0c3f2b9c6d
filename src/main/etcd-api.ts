/** The etcd API of a node, where its cluster's settings ask for it: certificates, port, backups. */
import { join } from "node:path";
import type { Logger } from "#base/ports.ts";
import { systemClock } from "#client/system-clock.ts";
import type { EtcdPki } from "#cluster/etcd-pki.ts";
import { ensureEtcdPki } from "#cluster/etcd-pki.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import type { NodePki } from "#cluster/pki.ts";
import { writeBackup } from "#replica/backup/backup-file.ts";
import type { ReplicaHandle } from "#replica/types.ts";
import type { Running } from "./serve.ts";
import { version } from "#base/version.ts";

export interface NodeEtcdApiOptions {
  dataDir: string;
  identity: NodeIdentity;
  pki: NodePki;
  replica: Pick<ReplicaHandle, "backend" | "clusterId" | "transferLeadership" | "backup">;
  logger: Logger;
}

/** Where `trivet status` says that it is; undefined when it is not served. */
export function etcdEndpoint(identity: NodeIdentity): string | undefined {
  const { etcdApiPort } = identity.settings;
  return etcdApiPort === undefined ? undefined : `https://${identity.address}:${etcdApiPort}`;
}

export interface NodeEtcdApi extends Running {
  /** Renews what is due as of this time; says whether the listener's certificate was. Its connections are made anew then. */
  renew(nowMs: number): Promise<boolean>;
}

/** Does nothing where it is not asked for. Needs a leader. */
export async function startNodeEtcdApi(options: NodeEtcdApiOptions): Promise<NodeEtcdApi> {
  const { dataDir, identity, replica } = options;
  const { name, address, settings } = identity;
  const port = settings.etcdApiPort;
  if (port === undefined) return { renew: async () => false, close: async () => undefined };
  const hosts = [name, "localhost", "127.0.0.1", ...(address === "127.0.0.1" ? [] : [address])];
  const ensure = (nowMs: number): Promise<EtcdPki> =>
    ensureEtcdPki(replica.backend, join(dataDir, "etcd"), hosts, nowMs);
  let pki = await ensure(systemClock.nowMs());
  let serving = await listen(options, port, pki);
  return {
    async renew(nowMs) {
      const next = await ensure(nowMs);
      if (next.server.certificate === pki.server.certificate) return false;
      await serving.close();
      serving = await listen(options, port, (pki = next));
      return true;
    },
    close: () => serving.close(),
  };
}

async function listen(options: NodeEtcdApiOptions, port: number, pki: EtcdPki): Promise<Running> {
  const { identity, replica, logger } = options;
  const { address } = identity;
  const { startEtcdApi } = await import("#etcd/server.ts");
  return startEtcdApi({
    backend: replica.backend,
    host: address === "127.0.0.1" ? address : "0.0.0.0",
    port,
    tls: { ca: pki.authorityCertificate, cert: pki.server.certificate, key: pki.server.key },
    clusterId: clusterNumber(replica.clusterId),
    // Members are known by the addresses of their replicas; the port of the etcd API is the cluster's.
    clientUrls: (member) =>
      member.apiAddress === "" ? [] : [`https://${member.address.replace(/:\d+$/, "")}:${port}`],
    maintenance: {
      transferLeadership: (id) => replica.transferLeadership(id),
      backup: () => backupOf(options),
    },
    logger,
  });
}

/** The same file as "trivet backup" makes, so that "trivet restore" takes it. */
async function* backupOf(options: NodeEtcdApiOptions): AsyncGenerator<Uint8Array> {
  const { identity, pki, replica } = options;
  const { info, chunks } = await replica.backup(false);
  const header = {
    trivet: version,
    node: identity.name,
    timeMs: systemClock.nowMs(),
    ...info,
    settings: identity.settings,
  };
  yield* writeBackup(header, { authorities: pki.authorities }, chunks);
}

/** The first 16 hex digits of an id that may have hyphens. */
function clusterNumber(clusterId: string): string {
  const digits = clusterId.replaceAll(/[^0-9a-f]/g, "").slice(0, 16);
  return digits === "" ? "0" : digits;
}
