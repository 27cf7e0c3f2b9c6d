/**
 * The cable between the lab's hosts: a bridge in a network namespace of its own, so that nothing leaves
 * the machine, with one port per host and one for the machine. Faults are nftables rules on the bridge. A lab
 * with the user-space switch has a bridge per port instead (`user-switch.ts`), and faults are that one's.
 */
import { must, execute, isAlive } from "./processes.ts";
import type { FaultState, HostState, LabState } from "./state.ts";
import { applyUserFaults, bridgeOf, createUserSwitch, removeUserSwitch } from "./user-switch.ts";

/** The machine's own port: partitions between hosts don't concern it unless asked to. */
export const machinePort = "machine";

export function switchNamespace(lab: LabState): string {
  return `trivet-${lab.id}`;
}

/** Name of the machine's device in the lab's subnet. */
export function machineDevice(lab: LabState): string {
  return `tlab-${lab.id}`;
}

export function portOf(host: Pick<HostState, "index">): string {
  return `p${host.index}`;
}

/** Makes what is missing of the switch; may be called again. */
export async function createSwitch(lab: LabState): Promise<void> {
  const namespace = switchNamespace(lab);
  const machineBridge = lab.userSwitch === true ? bridgeOf("machine") : "br0";
  const exists = (await execute("ip", ["-n", namespace, "link", "show", machineBridge])).code === 0;
  if (exists && (lab.userSwitch !== true || isAlive(lab.relay))) return;
  await removeSwitch(lab);
  await must("ip", ["netns", "add", namespace]);
  // The switch is no router: bridged packets need not pass the IP rules.
  await must("nsenter", [
    `--net=/run/netns/${namespace}`,
    "sh",
    "-c",
    "for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 > $f; done",
  ]);
  if (lab.userSwitch === true) await createUserSwitch(lab, namespace);
  else {
    await must("ip", ["-n", namespace, "link", "add", "name", "br0", "type", "bridge"]);
    await must("ip", ["-n", namespace, "link", "set", "dev", "br0", "up"]);
  }
  const device = machineDevice(lab);
  const prefix = lab.subnet.split("/")[1];
  await must("ip", [
    "link",
    "add",
    "name",
    device,
    "type",
    "veth",
    "peer",
    "name",
    machinePort,
    "netns",
    namespace,
  ]);
  await must("ip", ["-n", namespace, "link", "set", "dev", machinePort, "master", machineBridge, "up"]);
  await must("ip", ["addr", "add", `${lab.machineAddress}/${prefix}`, "dev", device]);
  await must("ip", ["link", "set", "dev", device, "up"]);
}

export async function removeSwitch(lab: LabState): Promise<void> {
  await execute("ip", ["link", "del", "dev", machineDevice(lab)]);
  const namespace = switchNamespace(lab);
  await removeUserSwitch(lab, namespace);
  await execute("ip", ["netns", "del", namespace]);
}

/** Plugs a running host in, and gives it its address. */
export async function plugIn(lab: LabState, host: HostState): Promise<void> {
  const namespace = switchNamespace(lab);
  const port = portOf(host);
  const bridge = lab.userSwitch === true ? bridgeOf(host) : "br0";
  await unplug(lab, host);
  const pid = String(host.init!.pid);
  const veth = ["link", "add", "name", port, "type", "veth", "peer", "name", "eth0"];
  await must("ip", ["-n", namespace, ...veth, "address", macOf(host.address), "netns", pid]);
  await must("ip", ["-n", namespace, "link", "set", "dev", port, "master", bridge, "up"]);
  const prefix = lab.subnet.split("/")[1];
  const lines = [
    "link set dev lo up",
    `addr add ${host.address}/${prefix} dev eth0`,
    "link set dev eth0 up",
    `route add default via ${lab.machineAddress}`,
  ];
  await must("nsenter", ["-t", pid, "-n", "ip", "-batch", "-"], `${lines.join("\n")}\n`);
}

/** As if the cable were pulled: peers get silence, not refusals. */
export async function unplug(lab: LabState, host: HostState): Promise<void> {
  await execute("ip", ["-n", switchNamespace(lab), "link", "del", "dev", portOf(host)]);
}

export async function applyFaults(lab: LabState): Promise<void> {
  if (lab.userSwitch === true) return applyUserFaults(lab);
  await must(
    "nsenter",
    [`--net=/run/netns/${switchNamespace(lab)}`, "nft", "-f", "-"],
    compileFaults(lab.hosts, lab.faults),
  );
}

/** The faults as one nftables transaction. Pure. */
export function compileFaults(hosts: readonly HostState[], faults: FaultState): string {
  const port = (name: string) =>
    name === machinePort ? machinePort : portOf(hosts.find((host) => host.name === name)!);
  const lines = ["add table bridge faults", "delete table bridge faults", "table bridge faults {"];
  lines.push("  chain forward {", "    type filter hook forward priority 0; policy accept;");
  for (const [from, to] of faults.cuts) lines.push(`    iifname "${port(from)}" oifname "${port(to)}" drop`);
  for (const [from, percent] of Object.entries(faults.loss))
    lines.push(`    iifname "${port(from)}" numgen random mod 100 < ${percent} drop`);
  lines.push("  }", "}", "");
  return lines.join("\n");
}

function macOf(address: string): string {
  const bytes = address.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"));
  return `02:1a:${bytes.join(":")}`;
}
