/**
 * Composes the node's DNS server: a view of Services, EndpointSlices and Namespaces, the sockets, the
 * forwarder, and the objects by which others find it. Holds no decisions of its own.
 */
import { readFile } from "node:fs/promises";

import type { Clock, Logger, Random, Timer } from "#base/ports.ts";
import { createInformer } from "#client/informer.ts";
import { systemRandom } from "#client/system-clock.ts";
import type { Client } from "#client/types.ts";
import { Forwarder } from "./forwarder.ts";
import { ensureDnsService, publishEndpoint } from "./kube-dns.ts";
import { listen } from "./listener.ts";
import { createResolver } from "./resolver.ts";
import type { EndpointSlice, Service, ZoneView } from "./zone.ts";

export interface DnsOptions {
  client: Client;
  nodeName: string;
  /** Where it listens. The first that isn't the Service's own address is published as this node's endpoint. */
  bindAddresses: readonly string[];
  port?: number;
  clusterDomain: string;
  dnsServiceIP: string;
  /** For names outside of the cluster. */
  upstreams: readonly string[];
  clock: Clock;
  random?: Random;
  logger: Logger;
}

const ttlSeconds = 5;
const publishRetryMs = 5_000;

/** Rejects if an address can't be listened on. */
export async function startDns(options: DnsOptions): Promise<{ close(): Promise<void> }> {
  const { client, clock, logger, clusterDomain, dnsServiceIP } = options;
  const random = options.random ?? systemRandom;
  const common = { client, clock, logger };
  const services = createInformer<Service>({
    ...common,
    resource: { group: "", version: "v1", plural: "services" },
    indexes: { address: (service) => service.spec?.clusterIPs ?? [service.spec?.clusterIP ?? ""] },
  });
  const slices = createInformer<EndpointSlice>({
    ...common,
    resource: { group: "discovery.k8s.io", version: "v1", plural: "endpointslices" },
    indexes: {
      service: ({ metadata }) => [`${metadata.namespace}/${metadata.labels?.["kubernetes.io/service-name"]}`],
      address: (slice) => (slice.endpoints ?? []).flatMap(({ addresses }) => addresses),
    },
  });
  const namespaces = createInformer({
    ...common,
    resource: { group: "", version: "v1", plural: "namespaces" },
  });
  const informers = [services, slices, namespaces];

  const view: ZoneView = {
    service: (namespace, name) => services.get(`${namespace}/${name}`),
    slices: (namespace, service) => slices.byIndex("service", `${namespace}/${service}`),
    namespaceExists: (namespace) => namespaces.get(namespace) !== undefined,
    servicesByAddress: (ip) => services.byIndex("address", ip),
    slicesByAddress: (ip) => slices.byIndex("address", ip),
  };
  const upstreams = options.upstreams.filter((upstream) => !options.bindAddresses.includes(upstream));
  const handle = createResolver({
    view,
    zone: { clusterDomain, dnsServiceIP, ttlSeconds },
    isSynced: () => informers.every((informer) => informer.synced),
    forwarder: new Forwarder({ upstreams, clock, random, logger }),
    random,
    logger,
  });

  const listeners: { close(): Promise<void> }[] = [];
  const stop = async () => {
    for (const informer of informers) informer.stop();
    await Promise.all(listeners.map((listener) => listener.close()));
  };
  try {
    for (const address of options.bindAddresses)
      listeners.push(await listen(address, options.port ?? 53, handle));
  } catch (error) {
    await stop();
    throw error;
  }

  let timer: Timer | undefined;
  let closed = false;
  const publish = async (): Promise<void> => {
    try {
      await ensureDnsService(client, dnsServiceIP);
      const address = options.bindAddresses.find((candidate) => candidate !== dnsServiceIP);
      if (address !== undefined) await publishEndpoint(client, options.nodeName, address);
    } catch (error) {
      if (closed) return;
      logger.warn("the kube-dns Service can't be published yet", { error: String(error) });
      timer = clock.setTimer(publishRetryMs, () => void publish());
    }
  };
  void publish();

  return {
    async close() {
      closed = true;
      timer?.cancel();
      await stop();
    },
  };
}

/** The name servers that a host uses. */
export async function nameServersOf(resolvConf = "/etc/resolv.conf"): Promise<string[]> {
  const text = await readFile(resolvConf, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1]!);
}
