/**
 * The overlay as a function of the Node objects: one VXLAN device per node, and for each peer a route to
 * its pods, the hardware address of its device and the machine it stands on. Everything about a peer
 * follows from its pod CIDR and its InternalIP, so no node has to publish anything.
 */
import type { Node } from "./objects.ts";

export const overlay = { device: "trivet-vxlan", bridge: "trivet0", vni: 116, port: 8472 } as const;

/** The outer headers of VXLAN over IPv4: Ethernet 14, IP 20, UDP 8, VXLAN 8. */
export const vxlanOverheadBytes = 50;

export interface OverlaySelf {
  name: string;
  /** The address peers reach this node by. The node knows it better than its Node object, which may be stale. */
  nodeIP: string;
}

export interface Peer {
  name: string;
  nodeIP: string;
  podCIDR: string;
  /** First address of its pod CIDR, which its VXLAN device bears. */
  tunnelIP: string;
  mac: string;
}

export interface Overlay {
  podCIDR: string;
  /** Of the pod bridge: the pods' default gateway. */
  gatewayIP: string;
  gatewayMac: string;
  prefixLength: number;
  nodeIP: string;
  tunnelIP: string;
  mac: string;
  peers: Peer[];
}

/** Undefined until this node has been given a pod CIDR. Peers without a CIDR or address are left out until they have both. */
export function compileOverlay(nodes: readonly Node[], self: OverlaySelf): Overlay | undefined {
  const own = nodes.find((node) => node.metadata.name === self.name);
  const podCIDR = own && podCIDROf(own);
  if (podCIDR === undefined) return undefined;
  const peers: Peer[] = [];
  for (const node of nodes) {
    const name = node.metadata.name!;
    const peerCIDR = podCIDROf(node);
    const nodeIP = node.status?.addresses?.find(
      ({ type, address }) => type === "InternalIP" && address.includes("."),
    )?.address;
    if (name === self.name || peerCIDR === undefined || nodeIP === undefined || nodeIP === self.nodeIP)
      continue;
    const tunnelIP = peerCIDR.split("/")[0]!;
    peers.push({ name, nodeIP, podCIDR: peerCIDR, tunnelIP, mac: macOf(tunnelIP) });
  }
  peers.sort((a, b) => (a.name < b.name ? -1 : 1));
  const [tunnelIP, length] = podCIDR.split("/") as [string, string];
  const gatewayIP = nextAddress(tunnelIP);
  return {
    podCIDR,
    gatewayIP,
    gatewayMac: macOf(gatewayIP),
    prefixLength: Number(length),
    nodeIP: self.nodeIP,
    tunnelIP,
    mac: macOf(tunnelIP),
    peers,
  };
}

function podCIDROf(node: Node): string | undefined {
  return [node.spec?.podCIDR, ...(node.spec?.podCIDRs ?? [])].find((cidr) => cidr?.includes("."));
}

/** Locally administered, unicast, and unique as long as pod CIDRs are. */
function macOf(ip: string): string {
  const bytes = ip.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"));
  return `02:74:${bytes.join(":")}`;
}

function nextAddress(ip: string): string {
  const number = ip.split(".").reduce((value, byte) => value * 256 + Number(byte), 0) + 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}

/** What the kernel holds for the VXLAN device. */
export interface OverlayState {
  routes: { dst: string; gateway: string | undefined }[];
  neighbours: { ip: string; mac: string }[];
  forwarding: { mac: string; nodeIP: string }[];
}

/** Lines for `ip -batch` and `bridge -batch` that lead from what is to what should be. */
export function overlayCommands(desired: Overlay, actual: OverlayState): { ip: string[]; bridge: string[] } {
  const { device } = overlay;
  const ip: string[] = [];
  const bridge: string[] = [];
  const wanted = new Map(desired.peers.map((peer) => [peer.tunnelIP, peer]));
  const wantedMacs = new Map(desired.peers.map((peer) => [peer.mac, peer]));

  for (const { dst } of actual.routes) {
    if (![...wanted.values()].some((peer) => peer.podCIDR === dst)) ip.push(`route del ${dst} dev ${device}`);
  }
  for (const neighbour of actual.neighbours) {
    if (!wanted.has(neighbour.ip)) ip.push(`neigh del ${neighbour.ip} dev ${device}`);
  }
  for (const { mac, nodeIP } of actual.forwarding) {
    // An address may have several destinations, and `replace` adds one: the old one goes first.
    if (wantedMacs.get(mac)?.nodeIP !== nodeIP)
      bridge.push(`fdb del ${mac} dev ${device} dst ${nodeIP} self`);
  }
  for (const peer of desired.peers) {
    if (!actual.forwarding.some(({ mac, nodeIP }) => mac === peer.mac && nodeIP === peer.nodeIP))
      bridge.push(`fdb append ${peer.mac} dev ${device} dst ${peer.nodeIP} self permanent`);
    if (!actual.neighbours.some((known) => known.ip === peer.tunnelIP && known.mac === peer.mac))
      ip.push(`neigh replace ${peer.tunnelIP} lladdr ${peer.mac} dev ${device} nud permanent`);
    if (!actual.routes.some(({ dst, gateway }) => dst === peer.podCIDR && gateway === peer.tunnelIP))
      ip.push(`route replace ${peer.podCIDR} via ${peer.tunnelIP} dev ${device} onlink`);
  }
  return { ip, bridge };
}
