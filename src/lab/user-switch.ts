/**
 * A switch that can delay, duplicate and reorder, which no kernel facility here does: instead of one bridge,
 * each port has a bridge of its own with a VXLAN device, and all of these end in one program
 * (`relay-process.ts`) in a network namespace beside the switch's. Hosts notice nothing but the time.
 */
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";

import { execute, identify, isAlive, must, signal, waitForExit, waitUntil } from "./processes.ts";
import type { RelayDelay, RelayFaults } from "./relay.ts";
import type { FaultState, HostState, LabState } from "./state.ts";

/** The machine's port: no host has this index. */
const machineIndex = 1000;
const kernelAddress = "10.255.255.1";
const relayAddress = "10.255.255.2";

/** Of the port with this index in the switch's namespace. */
export function bridgeOf(host: Pick<HostState, "index"> | "machine"): string {
  return `b${host === "machine" ? machineIndex : host.index}`;
}

/** The bridges of all ports, connected with the program. Expects the namespace to exist and to be empty. */
export async function createUserSwitch(lab: LabState, namespace: string): Promise<void> {
  const relayNamespace = relayNamespaceOf(namespace);
  await must("ip", ["netns", "add", relayNamespace]);
  const lines = [`link add uplink type veth peer name uplink netns ${relayNamespace}`];
  lines.push(`addr add ${kernelAddress}/30 dev uplink`, "link set uplink mtu 9000 up");
  for (const index of [machineIndex, ...lab.hosts.map((host) => host.index)]) {
    lines.push(
      // One frame per packet: what the kernel would split later, the program could not deliver.
      `link add v${index} gso_max_segs 1 mtu 1500 type vxlan id ${index} remote ${relayAddress} dstport 4789 nolearning`,
      `link add b${index} type bridge`,
      `link set v${index} master b${index} up`,
      `link set b${index} up`,
    );
  }
  await must("ip", ["-n", namespace, "-batch", "-"], `${lines.join("\n")}\n`);
  const far = ["link set lo up", `addr add ${relayAddress}/30 dev uplink`, "link set uplink mtu 9000 up"];
  await must("ip", ["-n", relayNamespace, "-batch", "-"], `${far.join("\n")}\n`);
  await startRelay(lab, relayNamespace);
}

export async function removeUserSwitch(lab: LabState, namespace: string): Promise<void> {
  if (lab.relay !== undefined) {
    signal(lab.relay, "SIGKILL");
    await waitForExit(lab.relay, 5_000);
    delete lab.relay;
  }
  await execute("ip", ["netns", "del", relayNamespaceOf(namespace)]);
}

/** Resolves once the program does as told. */
export async function applyUserFaults(lab: LabState): Promise<void> {
  const order = `${JSON.stringify(compileUserFaults(lab.hosts, lab.faults))}\n`;
  let complaint: unknown;
  const told = await waitUntil(async () => {
    try {
      await tell(controlPathOf(lab), order);
      return true;
    } catch (error) {
      complaint = error;
      return lab.relay !== undefined && !isAlive(lab.relay);
    }
  }, 10_000);
  if (!told || !isAlive(lab.relay))
    throw new Error(`the lab's switch does not answer, see ${lab.dir}/switch.log`, { cause: complaint });
}

/** The faults by index instead of name. Pure. */
export function compileUserFaults(hosts: readonly HostState[], faults: FaultState): RelayFaults {
  const index = (name: string) =>
    name === "machine" ? machineIndex : hosts.find((host) => host.name === name)!.index;
  const byIndex = <T>(values: Record<string, T>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [index(name), value]));
  return {
    cuts: faults.cuts.map(([from, to]) => [index(from), index(to)]),
    loss: byIndex(faults.loss),
    delay: byIndex<RelayDelay>(faults.delay ?? {}),
  };
}

async function startRelay(lab: LabState, relayNamespace: string): Promise<void> {
  const log = await open(join(lab.dir, "switch.log"), "a");
  try {
    const ports = [machineIndex, ...lab.hosts.map((host) => host.index)].join(",");
    const program = join(import.meta.dirname, "relay-process.ts");
    const child = spawn(
      "nsenter",
      [
        `--net=/run/netns/${relayNamespace}`,
        process.execPath,
        program,
        controlPathOf(lab),
        relayAddress,
        kernelAddress,
        ports,
      ],
      { detached: true, stdio: ["ignore", log.fd, log.fd] },
    );
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    // nsenter becomes the program: the process is the same.
    const relay = identify(child.pid!);
    if (relay !== undefined) lab.relay = relay;
    child.unref();
  } finally {
    await log.close();
  }
}

function tell(path: string, order: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(path);
    socket.setTimeout(2_000, () => socket.destroy(new Error("no answer within 2 s")));
    socket.on("connect", () => socket.write(order));
    socket.on("data", (chunk) => (answer += chunk.toString()));
    socket.on("error", reject);
    socket.on("close", () => (answer === "ok\n" ? resolve() : reject(new Error("not taken"))));
  });
}

function controlPathOf(lab: LabState): string {
  return join(lab.dir, "switch.sock");
}

function relayNamespaceOf(namespace: string): string {
  return `${namespace}-relay`;
}
