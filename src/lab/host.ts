/**
 * One host of the lab: network, mount, process, host name, IPC and cgroup namespaces around a first
 * process that only reaps. When that process dies the kernel ends everything on the host, as a power cut
 * would; what is on its disk (a directory) stays. `/run` is in memory, as on a real machine.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

import {
  createCgroups,
  hierarchies,
  hostCgroups,
  joinableCgroups,
  makeLeaves,
  processesOf,
  removeCgroups,
} from "./cgroups.ts";
import { mountDisk } from "./disk.ts";
import { childrenOf, execute, identify, isAlive, signal, waitUntil } from "./processes.ts";
import type { CommandResult, ProcessId } from "./processes.ts";
import type { HostState, LabState, ServiceState } from "./state.ts";

/**
 * Directories of the machine that every host has its own of. `/run` comes on top, in memory. /var/lib is
 * the last: the lab's own directory may be in it, and is hidden from then on.
 */
const ownDirectories = ["/etc/cni", "/var/log", "/var/lib"];

export function diskOf(lab: LabState, host: HostState): string {
  return join(lab.dir, "hosts", host.name);
}

/** A path of the host, as the machine sees it. Only for what is on its disk. */
export function onDisk(lab: LabState, host: HostState, path: string): string {
  return join(diskOf(lab, host), path);
}

/** Makes the mount points that the machine lacks; they are removed with the lab. */
export async function makeMountPoints(lab: LabState): Promise<void> {
  for (const path of ownDirectories) {
    if (existsSync(path)) continue;
    lab.madePaths.push(path);
    await mkdir(path, { recursive: true });
  }
}

/** Switches the host on. It has no network yet. */
export async function boot(lab: LabState, host: HostState): Promise<ProcessId> {
  const disk = diskOf(lab, host);
  for (const path of ownDirectories) await mkdir(join(disk, path), { recursive: true });
  await mountDisk(lab, host, join(disk, "var/lib"));
  await mkdir(join(disk, "etc"), { recursive: true });
  await writeFile(join(disk, "etc/hosts"), hostsFile(lab));
  // The machine's name servers are out of reach here; to ask them would only mean to wait.
  await writeFile(join(disk, "etc/resolv.conf"), "");
  await createCgroups(lab.id, host.name);

  // A file, because a script in the arguments would fill every listing of processes.
  const script = join(disk, "boot.sh");
  await writeFile(script, bootScript(host, disk));
  const joinAndUnshare = [
    ...hostCgroups(lab.id, host.name).map((path) => `echo $$ > '${path}/cgroup.procs'`),
    'exec unshare --net --mount --uts --ipc --pid --cgroup --fork sh -e "$1"',
  ].join("\n");
  const child = spawn("sh", ["-ec", joinAndUnshare, "sh", script], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let complaints = "";
  child.stderr.on("data", (chunk: Buffer) => (complaints += chunk.toString()));
  const pid = await new Promise<number>((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", (line) => resolve(Number(line)));
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`host ${host.name} could not be made: ${complaints.trim()}`)));
  });
  child.removeAllListeners("exit");
  child.stdout.destroy();
  child.stderr.destroy();
  child.unref();
  await makeLeaves(lab.id, host.name);
  const init = identify(pid);
  if (init === undefined) throw new Error(`host ${host.name} ended at once: ${complaints.trim()}`);
  return init;
}

/**
 * Runs as process 1 of the host. Its machine-wide pid is read before /proc is the host's own. The loop at
 * the end reaps whatever is orphaned on the host.
 */
function bootScript(host: HostState, disk: string): string {
  const lines = [
    "read -r pid rest < /proc/self/stat",
    `hostname '${host.name}'`,
    "mount -t proc proc /proc",
    "mount -t sysfs sysfs /sys",
    "mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup",
  ];
  // The outermost mount point first: with cgroup v2 alone it is /sys/fs/cgroup itself.
  for (const { mountPoint, controllers } of hierarchies()) {
    lines.push(`mkdir -p '${mountPoint}'`);
    lines.push(
      controllers === undefined
        ? `mount -t cgroup2 cgroup2 '${mountPoint}'`
        : `mount -t cgroup -o '${controllers}' cgroup '${mountPoint}'`,
    );
  }
  lines.push(
    `mount --bind '${disk}/etc/hosts' /etc/hosts`,
    `test ! -f /etc/resolv.conf || mount --bind '${disk}/etc/resolv.conf' /etc/resolv.conf`,
    ...ownDirectories.map((path) => `mount --bind '${disk}${path}' '${path}'`),
    "mount -t tmpfs -o mode=755 tmpfs /run",
    "mkdir -p /run/lock",
    "echo $pid",
    "exec > /dev/null 2>&1",
    "while :; do sleep 2147483 & wait $!; done",
  );
  return lines.join("\n");
}

function hostsFile(lab: LabState): string {
  const lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"];
  for (const { address, name } of lab.hosts) lines.push(`${address} ${name}`);
  return `${lines.join("\n")}\n`;
}

/** A power cut. Resolves when nothing of the host runs any more and its cgroups are gone. */
export async function powerOff(lab: LabState, host: HostState): Promise<void> {
  if (host.init !== undefined) signal(host.init, "SIGKILL");
  const ended = await waitUntil(() => {
    // Also the few helpers that hold the namespaces open from outside, and what an interrupted boot left.
    for (const pid of processesOf(lab.id, host.name)) {
      const found = identify(pid);
      if (found !== undefined) signal(found, "SIGKILL");
    }
    return !isAlive(host.init) && processesOf(lab.id, host.name).length === 0;
  }, 20_000);
  if (!ended) throw new Error(`some processes of host ${host.name} can't be killed`);
  await removeCgroups(lab.id, host.name);
  delete host.init;
  for (const service of Object.values(host.services)) delete service.process;
}

/** The command line that runs a program on the host: first into its cgroups, then into its namespaces. */
function entering(lab: LabState, host: HostState, argv: readonly string[]): string[] {
  if (!isAlive(host.init))
    throw new Error(`host ${host.name} is off; \`lab start ${host.name}\` switches it on`);
  const join = joinableCgroups(lab.id, host.name).map((path) => `echo $$ > '${path}/cgroup.procs'`);
  const enter = `exec nsenter -t ${host.init.pid} -n -m -u -i -p -C -- "$@"`;
  return ["sh", "-ec", [...join, enter].join("\n"), "sh", ...argv];
}

export interface RunOptions {
  input?: string;
  timeoutMs?: number;
  env?: Record<string, string>;
}

/** Runs a program on the host to its end. */
export async function runOn(
  lab: LabState,
  host: HostState,
  argv: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  const [command, ...args] = entering(lab, host, argv) as [string, ...string[]];
  return execute(command, args, { ...options, env: { ...process.env, ...options.env } });
}

/** Runs a program on the host with the caller's terminal; resolves with its exit code. */
export async function attachOn(lab: LabState, host: HostState, argv: readonly string[]): Promise<number> {
  const [command, ...args] = entering(lab, host, argv) as [string, ...string[]];
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit" });
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

/** Starts a program that outlives the lab's command. Its output goes to the log file. */
export async function spawnOn(lab: LabState, host: HostState, service: ServiceState): Promise<ProcessId> {
  const [command, ...args] = entering(lab, host, service.argv) as [string, ...string[]];
  await mkdir(dirname(service.logFile), { recursive: true });
  const log = await open(service.logFile, "a");
  try {
    const child = spawn(command, args, {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      env: { ...process.env, ...service.env, ...clockEnvironment(lab, service.env) },
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    // nsenter stays outside of the process namespace and starts the program in it.
    let found: ProcessId | undefined;
    await waitUntil(() => {
      found = childrenOf(child.pid!)[0];
      return found !== undefined || child.exitCode !== null;
    }, 10_000);
    child.unref();
    if (found === undefined)
      throw new Error(`${service.argv[0]} did not start on ${host.name}, see ${service.logFile}`);
    return found;
  } finally {
    await log.close();
  }
}

/** Below /var/lib of the host: its wall clock's distance from the machine's, in milliseconds. */
export const clockFile = "/var/lib/trivet-lab-clock";

function clockEnvironment(lab: LabState, env: Record<string, string>): Record<string, string> {
  if (lab.movableClocks !== true) return {};
  const preload = `--require=${join(import.meta.dirname, "movable-clock.ts")}`;
  const options = [env["NODE_OPTIONS"] ?? process.env["NODE_OPTIONS"], preload];
  return { TRIVET_LAB_CLOCK: clockFile, NODE_OPTIONS: options.filter(Boolean).join(" ") };
}
