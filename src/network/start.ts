/**
 * Composes the node's networking: devices and overlay from the Nodes, Service rules from Services and
 * EndpointSlices, policies, and, once devices and rules stand, the CNI configuration. Holds no decisions of its own.
 */
import { rm } from "node:fs/promises";

import type { Clock, Logger } from "#base/ports.ts";
import { createInformer } from "#client/informer.ts";
import type { Client } from "#client/types.ts";
import { writeCniConfig } from "./cni-config.ts";
import { runCommand } from "./command.ts";
import type { RunCommand } from "./command.ts";
import { compileOverlay } from "./compile-overlay.ts";
import { compileServicePorts, serviceTable } from "./compile-rules.ts";
import { policyTable } from "./compile-policies.ts";
import { flushStaleFlows, staleFlows } from "./conntrack.ts";
import { podMtu, reconcileBridge, reconcileVxlan, removeLinks, setKernelSwitches } from "./links.ts";
import { resources } from "./objects.ts";
import type { EndpointSlice, Node, Service } from "./objects.ts";
import { startPolicies } from "./policies.ts";
import { Reconciler } from "./reconciler.ts";
import { RulesetApplier } from "./ruleset-applier.ts";
import { servicePorts } from "./service-port.ts";
import type { ServicePort } from "./service-port.ts";

export interface NetworkOptions {
  client: Client;
  nodeName: string;
  /** The address by which the other nodes reach this one. */
  nodeIP: string;
  clusterCidr: string;
  serviceCidr: string;
  /** Service addresses that the node answers itself, such as the DNS Service's: they stand on the pod bridge. */
  ownServiceIPs?: readonly string[];
  cniConfDir: string;
  /** Where host-local keeps the addresses in use. */
  cniDataDir: string;
  clock: Clock;
  logger: Logger;
  run?: RunCommand;
}

export interface NodeNetwork {
  podCIDR: string;
  /** The node's own address towards its pods. */
  gatewayIP: string;
  mtu: number;
}

export interface Network {
  /** Resolves when pods can be started: bridge, overlay, Service rules and CNI configuration stand. */
  readonly ready: Promise<NodeNetwork>;
  /** Stops following changes. What the kernel holds stays, so that pods keep their network. */
  close(): Promise<void>;
}

export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const { client, clock, logger, nodeName, nodeIP, clusterCidr, serviceCidr, ownServiceIPs = [] } = options;
  const run = options.run ?? runCommand;
  await setKernelSwitches(run, logger);

  const nodes = createInformer<Node>({ client, clock, logger, resource: resources.nodes });
  const services = createInformer<Service>({ client, clock, logger, resource: resources.services });
  const slices = createInformer<EndpointSlice>({ client, clock, logger, resource: resources.endpointSlices });
  const informers = [nodes, services, slices];

  const ready = Promise.withResolvers<NodeNetwork>();
  // Whoever waits for it learns of a failure; that nobody waits is no failure.
  ready.promise.catch(() => {});
  const applier = new RulesetApplier(run, logger);
  let rulesStand = false;
  let bridgeSeen = false;
  let portsBefore: ServicePort[] = [];

  const proxy = new Reconciler(
    { name: "service proxy", clock, logger, gatherMs: 20, resyncMs: 30_000 },
    async () => {
      if (!informers.every((informer) => informer.synced)) return;
      const zone = nodes.get(nodeName)?.metadata.labels?.["topology.kubernetes.io/zone"];
      const node = {
        name: nodeName,
        clusterCidr,
        serviceCidr,
        ownServiceIPs,
        ...(zone === undefined ? {} : { zone }),
      };
      const ports = servicePorts(services.list(), slices.list(), node);
      await applier.apply(compileServicePorts(ports, node));
      if (!rulesStand) links.trigger();
      rulesStand = true;
      await flushStaleFlows(run, staleFlows(portsBefore, ports));
      portsBefore = ports;
    },
  );

  const links = new Reconciler(
    { name: "overlay", clock, logger, gatherMs: 20, resyncMs: 60_000 },
    async () => {
      if (!nodes.synced) return;
      const overlay = compileOverlay(nodes.list(), { name: nodeName, nodeIP });
      if (overlay === undefined) return;
      const mtu = await podMtu(run, nodeIP);
      const fresh = await reconcileBridge(run, overlay, mtu, { serviceCidr, ownServiceIPs });
      // Without a bridge no pod had a network: after a reboot the addresses that the files call taken are free.
      if (fresh && !bridgeSeen) await rm(options.cniDataDir, { recursive: true, force: true });
      bridgeSeen = true;
      await reconcileVxlan(run, overlay, mtu);
      if (!rulesStand) return; // the proxy triggers again
      const { podCIDR, gatewayIP } = overlay;
      await writeCniConfig(options.cniConfDir, { podCIDR, gatewayIP, mtu, dataDir: options.cniDataDir });
      ready.resolve({ podCIDR, gatewayIP, mtu });
    },
  );

  const policies = startPolicies({ client, clock, logger, run, node: { name: nodeName, ownServiceIPs } });

  nodes.onChange((node, old) => {
    // Heartbeats change Nodes all the time; only these parts matter here.
    if (JSON.stringify(overlayPart(node)) !== JSON.stringify(overlayPart(old))) {
      links.trigger();
      proxy.trigger();
    }
  });
  services.onChange(() => proxy.trigger());
  slices.onChange(() => proxy.trigger());
  const synced = Promise.all(informers.map((informer) => informer.whenSynced()));
  synced.then(
    () => proxy.trigger(),
    (error: unknown) => ready.reject(error),
  );

  return {
    ready: ready.promise,
    async close() {
      for (const informer of informers) informer.stop();
      await Promise.all([proxy.close(), links.close(), policies.close()]);
    },
  };
}

/** Takes away what this room has put into the kernel: devices and rules. Pods lose their network. */
export async function removeNetwork(run: RunCommand = runCommand): Promise<void> {
  for (const table of [serviceTable, policyTable])
    await run("nft", ["-f", "-"], `add table ${table}\ndelete table ${table}\n`);
  await removeLinks(run);
}

function overlayPart(node: Node | undefined): unknown {
  return (
    node && [
      node.spec?.podCIDR,
      node.status?.addresses?.filter(({ type }) => type === "InternalIP"),
      node.metadata.labels?.["topology.kubernetes.io/zone"],
    ]
  );
}
