/** What every node that runs pods has, worker or not: containerd, images, network, DNS and the agent. */
import type { Logger, Timer } from "#base/ports.ts";
import { startAgent } from "#agent/agent.ts";
import { startContainerd } from "#agent/containerd.ts";
import {
  buildDemoImage,
  demoImageName,
  ensurePauseImage,
  importArchive,
  listImages,
  pauseImageName,
} from "#agent/images/images.ts";
import type { Client } from "#client/types.ts";
import { systemClock, systemRandom } from "#client/system-clock.ts";
import { apiClientName } from "#cluster/pki.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import { addressInBlock } from "#cluster/identity.ts";
import type { KeyAndCertificate } from "#cluster/certificates.ts";
import { nameServersOf, startDns } from "#dns/start.ts";
import { startNetwork } from "#network/start.ts";
import type { Network } from "#network/start.ts";
import type { NodePaths } from "./paths.ts";
import type { Running } from "./serve.ts";
import { kubernetesVersion } from "#base/version.ts";

export interface NodeComponentsOptions {
  identity: NodeIdentity;
  paths: NodePaths;
  /** Speaks as the node ("system:node:NAME"). */
  agentClient: Client;
  /** Speaks for network and DNS. */
  systemClient: Client;
  agentCertificate: KeyAndCertificate;
  authorityCertificate: string;
  labels: Record<string, string>;
  /** Peers notice sooner than by the node's lease that it has died: the lease need not be renewed often. */
  isSeenByPeers: boolean;
  logger: Logger;
}

/** A renewal is a flush of every disk of the datastore. As upstream, where something else tells of a death within seconds. */
const leaseTimes = {
  seenByPeers: { leaseDurationSeconds: 40, leaseRenewMs: 10_000 },
  alone: { leaseDurationSeconds: 12, leaseRenewMs: 4_000 },
};
const dnsRetryMs = 2_000;
/** Index of the DNS Service's address in the service block. */
const dnsServiceIndex = 10;

export interface NodeComponents extends Running {
  /** What the agent's listener shows from now on. */
  setAgentCertificate(renewed: KeyAndCertificate): void;
}

/** Rejects when containerd or the agent can't start; network and DNS follow by themselves. */
export async function startNodeComponents(options: NodeComponentsOptions): Promise<NodeComponents> {
  const { identity, paths, logger } = options;
  const { settings } = identity;
  const dnsServiceIP = addressInBlock(settings.serviceCidr, dnsServiceIndex);
  const clock = systemClock;
  const containerd = await startContainerd({
    dir: paths.containerd,
    socket: paths.containerdSocket,
    sandboxImage: pauseImageName,
    cniConfDir: paths.cniConf,
    logger,
  });
  await ensurePauseImage(containerd.socket);
  const agent = await startAgent({
    client: options.agentClient,
    nodeName: identity.name,
    nodeIPs: [identity.address],
    containerdSocket: containerd.socket,
    dataDir: paths.agent,
    logDir: paths.podLogs,
    serving: {
      host: "0.0.0.0",
      port: identity.ports.agent,
      cert: options.agentCertificate.certificate,
      key: options.agentCertificate.key,
      clientCa: options.authorityCertificate,
      authorize: (peer) => peer.commonName === apiClientName,
    },
    clusterDns: [dnsServiceIP],
    clusterDomain: settings.clusterDomain,
    staticLabels: options.labels,
    version: kubernetesVersion,
    ...(options.isSeenByPeers ? leaseTimes.seenByPeers : leaseTimes.alone),
    clock,
    logger,
  });
  const network = await startNetwork({
    client: options.systemClient,
    nodeName: identity.name,
    nodeIP: identity.address,
    clusterCidr: settings.clusterCidr,
    serviceCidr: settings.serviceCidr,
    ownServiceIPs: [dnsServiceIP],
    cniConfDir: paths.cniConf,
    cniDataDir: paths.cniData,
    clock,
    logger,
  });
  const demo = ensureDemoImage(containerd.socket);
  demo.catch((error: unknown) => logger.warn("the demo image can't be made", { error: String(error) }));
  const dns = startDnsWhenPossible(options, network, dnsServiceIP);
  return {
    setAgentCertificate: ({ certificate, key }) => agent.setCertificate(certificate, key),
    async close() {
      await dns.close();
      await agent.close();
      await network.close();
      await containerd.close();
    },
  };
}

/** DNS needs the pod bridge's address, and port 53 there, which an earlier process may still hold. */
function startDnsWhenPossible(
  options: NodeComponentsOptions,
  network: Network,
  dnsServiceIP: string,
): Running {
  const { identity, logger } = options;
  let running: Running | undefined;
  let closed = false;
  let timer: Timer | undefined;
  const start = async (): Promise<void> => {
    const { gatewayIP } = await network.ready;
    if (closed) return;
    running = await startDns({
      client: options.systemClient,
      nodeName: identity.name,
      bindAddresses: [gatewayIP, dnsServiceIP],
      clusterDomain: identity.settings.clusterDomain,
      dnsServiceIP,
      upstreams: await nameServersOf(),
      clock: systemClock,
      random: systemRandom,
      logger,
    });
  };
  const attempt = (): void => {
    start().catch((error: unknown) => {
      if (closed) return;
      logger.warn("the cluster's DNS can't start yet, it is tried again", { error: String(error) });
      timer = systemClock.setTimer(dnsRetryMs, attempt);
    });
  };
  attempt();
  return {
    async close() {
      closed = true;
      timer?.cancel();
      await running?.close();
    },
  };
}

async function ensureDemoImage(socket: string): Promise<void> {
  const images = await listImages(socket);
  if (!images.some((each) => each.names.includes(demoImageName)))
    await importArchive(socket, await buildDemoImage());
}
