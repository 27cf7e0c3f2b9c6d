/**
 * The node's network devices: pod bridge, VXLAN device, routes, and the kernel switches they need. The
 * shell around compile-overlay.ts; every function may be called again at any time.
 */
import { writeFile } from "node:fs/promises";

import type { Logger } from "#base/ports.ts";
import type { RunCommand } from "./command.ts";
import { overlay, overlayCommands, vxlanOverheadBytes } from "./compile-overlay.ts";
import type { Overlay, OverlayState } from "./compile-overlay.ts";

export interface ServiceAddresses {
  serviceCidr: string;
  /** Service addresses that this node answers itself. */
  ownServiceIPs: readonly string[];
}

/** Lets the kernel forward, and makes it show bridged packets to the rules: answers between pods of one bridge must be rewritten too. */
export async function setKernelSwitches(run: RunCommand, logger: Logger): Promise<void> {
  await writeFile("/proc/sys/net/ipv4/ip_forward", "1");
  const bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables";
  try {
    await writeFile(bridged, "1");
  } catch {
    await run("modprobe", ["br_netfilter"])
      .then(() => writeFile(bridged, "1"))
      .catch((error: unknown) => {
        logger.error(
          "the kernel lacks br_netfilter: pods can't reach Services whose pods are on the same node",
          {
            error: String(error),
          },
        );
      });
  }
}

/** The largest packet pods may send: that of the device which bears the node's address, less the tunnel's headers. */
export async function podMtu(run: RunCommand, nodeIP: string): Promise<number> {
  const links = JSON.parse(await run("ip", ["-json", "addr", "show"])) as {
    mtu: number;
    addr_info: { local?: string }[];
  }[];
  const underlay = links.find((link) => link.addr_info.some((address) => address.local === nodeIP));
  if (underlay === undefined) throw new Error(`no network device has this node's address ${nodeIP}`);
  return Math.min(underlay.mtu, 65_535) - vxlanOverheadBytes;
}

/** The pod bridge with the pods' gateway, the route by which this node's own processes reach Services, and the addresses it answers itself. True if the bridge had to be made. */
export async function reconcileBridge(
  run: RunCommand,
  desired: Overlay,
  mtu: number,
  services: ServiceAddresses,
): Promise<boolean> {
  const { bridge } = overlay;
  const links = await listLinks(run);
  const lines: string[] = [];
  const missing = !links.some(({ ifname }) => ifname === bridge);
  if (missing) {
    // A hardware address of its own: otherwise it would change with the pods that come and go.
    await run("ip", ["link", "add", "name", bridge, "address", desired.gatewayMac, "type", "bridge"]);
  }
  const wanted = [
    `${desired.gatewayIP}/${desired.prefixLength}`,
    ...services.ownServiceIPs.map((ip) => `${ip}/32`),
  ];
  const present = links.find(({ ifname }) => ifname === bridge)?.addresses ?? [];
  for (const address of present)
    if (!wanted.includes(address)) lines.push(`addr del ${address} dev ${bridge}`);
  for (const address of wanted)
    if (!present.includes(address)) lines.push(`addr add ${address} dev ${bridge}`);
  lines.push(`link set dev ${bridge} mtu ${mtu} up`);
  // The source is one that pods anywhere can answer through the overlay.
  lines.push(`route replace ${services.serviceCidr} dev ${bridge} src ${desired.gatewayIP}`);
  await run("ip", ["-batch", "-"], `${lines.join("\n")}\n`);
  return missing;
}

/** The VXLAN device and what it knows of the peers. */
export async function reconcileVxlan(run: RunCommand, desired: Overlay, mtu: number): Promise<void> {
  const { device, vni, port } = overlay;
  const existing = (await listLinks(run)).find(({ ifname }) => ifname === device);
  const fits =
    existing !== undefined &&
    existing.mac === desired.mac &&
    existing.vxlan?.local === desired.nodeIP &&
    existing.vxlan.id === vni &&
    existing.vxlan.port === port;
  if (existing !== undefined && !fits) await run("ip", ["link", "del", "dev", device]);
  if (!fits) {
    const vxlan = ["type", "vxlan", "id", vni, "local", desired.nodeIP, "dstport", port, "nolearning"].map(
      String,
    );
    await run("ip", ["link", "add", "name", device, "address", desired.mac, ...vxlan]);
  }
  const address = `${desired.tunnelIP}/32`;
  const lines = fits && existing.addresses.includes(address) ? [] : [`addr replace ${address} dev ${device}`];
  lines.push(`link set dev ${device} mtu ${mtu} up`);
  await run("ip", ["-batch", "-"], `${lines.join("\n")}\n`);

  const commands = overlayCommands(desired, await readOverlayState(run));
  if (commands.bridge.length > 0) await run("bridge", ["-batch", "-"], `${commands.bridge.join("\n")}\n`);
  if (commands.ip.length > 0) await run("ip", ["-batch", "-"], `${commands.ip.join("\n")}\n`);
}

/** Takes the devices away, and with them their routes. Pods lose their network. */
export async function removeLinks(run: RunCommand): Promise<void> {
  for (const { ifname } of await listLinks(run)) {
    if (ifname === overlay.device || ifname === overlay.bridge)
      await run("ip", ["link", "del", "dev", ifname]);
  }
}

interface Link {
  ifname: string;
  mac: string;
  addresses: string[];
  vxlan: { id: number; local?: string; port: number } | undefined;
}

async function listLinks(run: RunCommand): Promise<Link[]> {
  const links = JSON.parse(await run("ip", ["-json", "-details", "addr", "show"])) as {
    ifname: string;
    address: string;
    addr_info: { family: string; local: string; prefixlen: number }[];
    linkinfo?: { info_kind?: string; info_data?: { id: number; local?: string; port: number } };
  }[];
  return links.map((link) => ({
    ifname: link.ifname,
    mac: link.address,
    addresses: link.addr_info
      .filter(({ family }) => family === "inet")
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    vxlan: link.linkinfo?.info_kind === "vxlan" ? link.linkinfo.info_data : undefined,
  }));
}

async function readOverlayState(run: RunCommand): Promise<OverlayState> {
  const { device } = overlay;
  const [routes, neighbours, forwarding] = await Promise.all([
    run("ip", ["-json", "-4", "route", "show", "dev", device]),
    run("ip", ["-json", "-4", "neigh", "show", "dev", device, "nud", "permanent"]),
    run("bridge", ["-json", "fdb", "show", "dev", device]),
  ]);
  return {
    routes: parseList<{ dst: string; gateway?: string }>(routes).map(({ dst, gateway }) => ({
      dst,
      gateway,
    })),
    neighbours: parseList<{ dst: string; lladdr?: string }>(neighbours).map(({ dst, lladdr }) => ({
      ip: dst,
      mac: lladdr ?? "",
    })),
    forwarding: parseList<{ mac: string; dst?: string }>(forwarding)
      .filter(({ dst }) => dst !== undefined)
      .map(({ mac, dst }) => ({ mac, nodeIP: dst! })),
  };
}

function parseList<T>(text: string): T[] {
  return text.trim() === "" ? [] : (JSON.parse(text) as T[]);
}
