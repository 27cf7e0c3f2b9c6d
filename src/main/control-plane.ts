/**
 * A control-plane node: the replica in its thread, the API server over it, and (unless it is the API
 * alone) the manager and what every node has. The rooms find each other here and nowhere else.
 */
import type { Logger } from "#base/ports.ts";
import type { HttpHandler, HttpUser } from "#base/http.ts";
import { startManager } from "#manager/manager.ts";
import { policyTypeWarnings } from "#api/cel/policy-types.ts";
import { createApiServer } from "#api/server.ts";
import type { ApiServer } from "#api/server.ts";
import { createClient } from "#client/client.ts";
import { systemClock, systemRandom } from "#client/system-clock.ts";
import type { ApiClient } from "#client/types.ts";
import type { DatastoreSettings, NodeIdentity } from "#cluster/identity.ts";
import { writeIdentity } from "#cluster/identity.ts";
import { createBackupRoute } from "#cluster/backup.ts";
import { createManagement } from "#cluster/management.ts";
import { readPeerAddresses, removePeerAddresses } from "#cluster/peer-addresses.ts";
import { createRecoveryRoute } from "#cluster/recovery.ts";
import { ensureNodePki } from "#cluster/pki.ts";
import type { NodePki } from "#cluster/pki.ts";
import { readRequest, signAsRequested } from "#cluster/certificate-requests.ts";
import { allKinds } from "#kinds/all.ts";
import { startReplica } from "#replica/start-replica.ts";
import type { ReplicaHandle, ReplicaOptions } from "#replica/types.ts";
import { startAddons } from "./addons.ts";
import { tlsAgentDialer } from "./agent-dialer.ts";
import { startNodeEtcdApi } from "./etcd-api.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import type { NodePaths } from "./paths.ts";
import { nodePaths } from "./paths.ts";
import { apiChain, peerTls, renewNode } from "./renewal.ts";
import type { NodeRenewalOptions, PresentPki } from "./renewal.ts";
import { keepCertificates } from "./certificate-keeper.ts";
import { managementOptions } from "./management-options.ts";
import type { ServingNode } from "./management-options.ts";
import { SilentPeers } from "./silent-peers.ts";
import { startRoleEvents } from "./role-events.ts";
import type { Running } from "./serve.ts";
import { version } from "#base/version.ts";

const masters: HttpUser = { name: "system:trivet", groups: ["system:masters", "system:authenticated"] };

/** The API server behind its port. */
interface ServingApi extends ApiServer {
  port: number;
  management: HttpHandler;
  /** What new connections are shown. */
  setCertificate(cert: string, key: string): void;
}

export interface ControlPlaneOptions {
  apiOnly: boolean;
  apiPort?: number;
}

export async function startControlPlane(
  dataDir: string,
  identity: NodeIdentity,
  logger: Logger,
  options: ControlPlaneOptions,
): Promise<Running> {
  const paths = nodePaths(dataDir);
  const present: PresentPki = { pki: await ensureNodePki(dataDir, identity, systemClock.nowMs()) };
  const { pki } = present;
  const { datastore } = identity.settings;
  const replica =
    datastore === undefined
      ? await startReplica(replicaOptions(identity, paths, pki, logger, options))
      : await openExternal(identity, datastore, pki, logger);
  const running: Running[] = [{ close: () => replica.stop() }];
  try {
    const serving: ServingNode = {};
    const api = await startApi(identity, present, replica, logger, options, serving);
    running.push({ close: () => api.close() });
    const as = (user: HttpUser): ApiClient =>
      createClient({
        transport: (request) => api.handler({ ...request, user }),
        userAgent: `trivet/${version}`,
      });
    // From here on the node says what it waits for: a joined node for its copy, a restarted one for a leader.
    const apiUrl = `https://${identity.address}:${api.port}`;
    const renewal: NodeRenewalOptions = {
      dataDir,
      identity,
      present,
      api,
      replica,
      writeKubeconfig: (now) => writeKubeconfig(paths.kubeconfig, apiUrl, now),
    };
    renewal.writeKubeconfig(pki);
    await api.ready();
    removePeerAddresses(dataDir);
    serving.client = as(masters);
    const etcdApi = await startNodeEtcdApi({ dataDir, identity, pki, replica, logger });
    renewal.etcdApi = etcdApi;
    running.push(etcdApi);
    // Before, only masters could ask; now roles say who else may: the dashboard's users.
    api.addRoute({
      prefix: "/trivet/v1/status",
      authorize: true,
      handler: (request) => api.management({ ...request, user: masters }),
    });
    const addons = startAddons({ api, client: as(masters), apiUrl, logger });
    serving.addons = addons;
    running.push(addons);
    if (!options.apiOnly) {
      running.push(startControllers(identity, pki, replica, api, as(masters), logger));
      const { startNodeComponents } = await import("./node-components.ts");
      const components = await startNodeComponents({
        identity,
        paths,
        agentClient: as({
          name: `system:node:${identity.name}`,
          groups: ["system:nodes", "system:authenticated"],
        }),
        systemClient: as(masters),
        agentCertificate: pki.agent,
        authorityCertificate: pki.authorities.cluster.certificate,
        labels: { "node-role.kubernetes.io/control-plane": "" },
        isSeenByPeers: datastore === undefined,
        logger,
      });
      renewal.components = components;
      running.push(components);
    }
    const renew = (nowMs: number): Promise<string[]> => renewNode(renewal, nowMs);
    running.push(keepCertificates({ clock: systemClock, logger, renew }));
    if (identity.state === "creating") writeIdentity(dataDir, { ...identity, state: "ready" });
    logger.info("node is serving", { node: identity.name, api: api.port });
  } catch (error) {
    await closeAll(running);
    throw error;
  }
  return { close: () => closeAll(running) };
}

async function openExternal(
  identity: NodeIdentity,
  datastore: DatastoreSettings,
  pki: NodePki,
  logger: Logger,
): Promise<ReplicaHandle> {
  const { openExternalDatastore, patiently } = await import("./external-datastore.ts");
  const open = (): Promise<ReplicaHandle> => openExternalDatastore(identity, datastore, pki, logger);
  // Who makes a cluster is told of a mistake at once; a node that has served waits for its datastore.
  return identity.state === "ready" ? patiently(open, logger) : open();
}

/** In the reverse order of their start: whatever uses a room ends before it. */
async function closeAll(running: Running[]): Promise<void> {
  for (const each of running.toReversed()) await each.close();
}

function replicaOptions(
  identity: NodeIdentity,
  paths: NodePaths,
  pki: NodePki,
  logger: Logger,
  options: ControlPlaneOptions,
): ReplicaOptions {
  const { name, address, failureDomain, ports } = identity;
  return {
    dataDir: paths.replica,
    listen: { host: options.apiOnly ? "127.0.0.1" : "0.0.0.0", port: ports.peer },
    ...(options.apiOnly
      ? {}
      : {
          advertise: `${address}:${ports.peer}`,
          apiAddress: `${address}:${ports.api}`,
          peerAddresses: readPeerAddresses(paths.dataDir),
        }),
    tls: peerTls(pki),
    mode:
      identity.state === "ready"
        ? { type: "restart" }
        : identity.grant === undefined
          ? { type: "bootstrap", member: { name, apiAddress: `${address}:${ports.api}`, failureDomain } }
          : { type: "join", grant: identity.grant },
    ...(identity.settings.voters === undefined ? {} : { targets: { voters: identity.settings.voters } }),
    ...slowRequests(),
    logger,
    onFatal: (error) => {
      // The log of this node can't be trusted or written any more: others go on, a supervisor restarts it.
      logger.error("the datastore of this node has died", { error: error.message });
      process.exit(70);
    },
  };
}

/** From how many milliseconds on a request of the datastore is told of in the log. */
function slowRequests(): Pick<ReplicaOptions, "slowRequestMs"> {
  const text = process.env["TRIVET_SLOW_REQUEST_MS"];
  if (text === undefined) return {};
  const slowRequestMs = Number(text);
  if (!(slowRequestMs > 0))
    throw new Error(`TRIVET_SLOW_REQUEST_MS must be a number of milliseconds, not "${text}"`);
  return { slowRequestMs };
}

async function startApi(
  identity: NodeIdentity,
  present: PresentPki,
  replica: ReplicaHandle,
  logger: Logger,
  options: ControlPlaneOptions,
  serving: ServingNode,
): Promise<ServingApi> {
  const { settings, address, ports } = identity;
  const { pki } = present;
  const management = createManagement(managementOptions(identity, pki, replica, serving, logger));
  const server = createApiServer({
    backend: replica.backend,
    kinds: allKinds,
    clock: systemClock,
    random: systemRandom,
    logger,
    serviceAccounts: {
      issuer: `https://kubernetes.default.svc.${settings.clusterDomain}`,
      privateKey: pki.authorities.serviceAccountKey,
    },
    serviceCidr: settings.serviceCidr,
    nodePorts: nodePortsOf(identity),
    advertise: { address, port: options.apiPort ?? ports.api },
    extraRoutes: [
      { prefix: "/trivet/v1/", handler: management },
      { prefix: "/trivet/v1/backup", handler: backupRoute(identity, pki, replica) },
      { prefix: "/trivet/v1/recovery", handler: createRecoveryRoute(replica) },
    ],
    moreMetrics: () =>
      replica.metrics().catch((error: unknown) => `# without the datastore's numbers: ${String(error)}\n`),
    agentDialer: tlsAgentDialer(() => ({
      ca: present.pki.authorities.cluster.certificate,
      cert: present.pki.apiClient.certificate,
      key: present.pki.apiClient.key,
    })),
  });
  const listening = await server.listen({
    host: options.apiOnly ? "127.0.0.1" : "0.0.0.0",
    port: options.apiPort ?? ports.api,
    cert: apiChain(pki),
    key: pki.apiServer.key,
    clientCa: pki.authorities.cluster.certificate,
  });
  return {
    ...server,
    port: listening.address.port,
    management,
    setCertificate: (cert, key) => listening.setCertificate(cert, key),
  };
}

function nodePortsOf({ settings }: NodeIdentity): { first: number; last: number } {
  const [first = 30000, last = 32767] = settings.nodePortRange.split("-").map(Number);
  return { first, last };
}

function backupRoute(identity: NodeIdentity, pki: NodePki, replica: ReplicaHandle): HttpHandler {
  return createBackupRoute({
    replica,
    node: identity.name,
    version,
    authorities: pki.authorities,
    settings: identity.settings,
    nowMs: () => systemClock.nowMs(),
  });
}

function startControllers(
  identity: NodeIdentity,
  pki: NodePki,
  replica: ReplicaHandle,
  api: ApiServer,
  client: ApiClient,
  logger: Logger,
): Running {
  const peers = new SilentPeers(systemClock);
  const unsubscribe = replica.onStatus((status) => peers.note(status));
  const roleEvents = startRoleEvents({
    onStatus: (callback) => replica.onStatus(callback),
    client,
    nowMs: () => systemClock.nowMs(),
    logger,
  });
  const manager = startManager({
    client,
    onLeadership: (callback) => replica.backend.onLeadership(callback),
    clock: systemClock,
    random: systemRandom,
    logger,
    nodeName: identity.name,
    clusterCidr: identity.settings.clusterCidr,
    serviceCidr: identity.settings.serviceCidr,
    nodePorts: nodePortsOf(identity),
    rootCa: pki.authorities.cluster.certificate,
    isPeerAlive: (name) => peers.isAlive(name),
    checkPolicyTypes: (policy) => policyTypeWarnings(api.registry, policy),
    certificates: {
      read: readRequest,
      sign: (request) => signAsRequested(pki.authorities.cluster, request),
    },
  });
  return {
    async close() {
      unsubscribe();
      roleEvents.close();
      await manager.close();
    },
  };
}
