/**
 * Many nodes on one machine, and the faults they can be given. Each node is a host of namespaces on a
 * switch; what runs on it is a command that the lab is given and starts again after a power cut. All of
 * the lab is written down in its directory, so every command may be the first one after a crash.
 */
import { createHash } from "node:crypto";
import { rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { processesOf, processesOutsideContainers, removeCgroups } from "./cgroups.ts";
import { fillDisk, freeDisk, unmountDisk } from "./disk.ts";
import {
  attachOn,
  boot,
  clockFile,
  diskOf,
  makeMountPoints,
  onDisk,
  powerOff,
  runOn,
  spawnOn,
} from "./host.ts";
import type { RunOptions } from "./host.ts";
import { childrenOf, identify, isAlive, programName, signal, waitForExit } from "./processes.ts";
import type { CommandResult } from "./processes.ts";
import type { RelayDelay } from "./relay.ts";
import { changeFaults, loadState, saveHost, saveRelay, saveState } from "./state.ts";
import type { FaultState, HostState, LabState, ServiceState } from "./state.ts";
import { applyFaults, createSwitch, machinePort, plugIn, removeSwitch, unplug } from "./switch.ts";

export interface LabOptions {
  /** Default /var/lib/trivet-lab. */
  dir?: string;
  /** Control-plane nodes, named n1, n2, ... */
  nodes: number;
  /** Further nodes that are workers. */
  workers?: number;
  /** Behind them, nodes that only vote. */
  witnesses?: number;
  /** A /24. Default 10.66.0.0/24. */
  subnet?: string;
  /**
   * The switch is a program, so that `delay` works. From the start every frame between two nodes takes this
   * long, in milliseconds; may be 0. Undefined: the kernel's switch.
   */
  delayMs?: number;
  /** Gives each node a disk of this size, so that `fillDisk` works. Undefined: the machine's own. */
  diskSizeMiB?: number;
  /** Makes `setClock` work for what is started by `spawn`. */
  movableClocks?: boolean;
}

export interface DelayOptions {
  /** At most this much more, at random. Default 0. */
  jitterMs?: number;
  /** Percent of the frames that arrive twice. Default 0. */
  duplicatePercent?: number;
}

export interface PartitionOptions {
  /** The node is not heard any more, but still hears. */
  oneWay?: boolean;
  /** Only from these nodes; default from all others. */
  from?: readonly string[];
  /** Also from the machine itself. */
  machine?: boolean;
}

export interface KillOptions {
  /** Cut the cable first: peers get silence instead of closed connections, as when a machine loses power. */
  power?: boolean;
  /** Kill what runs beside the containers, but leave those and their shims running. */
  keepPods?: boolean;
}

export interface SpawnOptions {
  env?: Record<string, string>;
  once?: boolean;
}

export type HostStatus = {
  name: string;
  address: string;
  role: HostState["role"];
  /** Stopped: the host is on, but what it should run does not. */
  state: "running" | "stopped" | "paused" | "off";
  pid: number | undefined;
  processes: number;
  cutOffFrom: string[];
};

export const defaultLabDir = "/var/lib/trivet-lab";
/** The service whose pid and state stand for the whole node. */
export const nodeService = "trivet";
const maxHosts = 200;
const maxDelayMs = 10_000;
const stopTimeoutMs = 60_000;

/** Makes the switch and the hosts, switched on and connected, with nothing running on them. */
export async function createLab(options: LabOptions): Promise<Lab> {
  const dir = options.dir ?? defaultLabDir;
  const known = await loadState(dir);
  if (known !== undefined) {
    throw new Error(`there is a lab in ${dir} already; remove it with \`lab down\``);
  }
  const serving = options.nodes + (options.workers ?? 0);
  const count = serving + (options.witnesses ?? 0);
  if (options.nodes < 1 || count > maxHosts)
    throw new Error(`a lab has 1 to ${maxHosts} nodes, not ${count}`);
  const subnet = options.subnet ?? "10.66.0.0/24";
  if (!/^(\d+\.){3}0\/24$/.test(subnet)) throw new Error(`the lab's subnet must be a /24, not ${subnet}`);
  const base = subnet.slice(0, subnet.lastIndexOf("."));
  const hosts: HostState[] = Array.from({ length: count }, (_, at) => ({
    name: `n${at + 1}`,
    index: at + 1,
    address: `${base}.${10 + at + 1}`,
    role: at < options.nodes ? "control-plane" : at < serving ? "worker" : "witness",
    paused: false,
    services: {},
  }));
  const state: LabState = {
    version: 1,
    id: createHash("sha256").update(dir).digest("hex").slice(0, 6),
    dir,
    subnet,
    machineAddress: `${base}.1`,
    hosts,
    faults: { cuts: [], loss: {}, delay: {} },
    madePaths: [],
    ...(options.delayMs === undefined ? {} : { userSwitch: true }),
    ...(options.diskSizeMiB === undefined ? {} : { diskSizeMiB: options.diskSizeMiB }),
    ...(options.movableClocks === true ? { movableClocks: true } : {}),
  };
  if (options.delayMs !== undefined && options.delayMs > 0) {
    for (const { name } of hosts) state.faults.delay![name] = delayOf(options.delayMs);
  }
  await saveState(state);
  const lab = new Lab(state);
  try {
    await makeMountPoints(state);
    await saveState(state);
    await createSwitch(state);
    await saveState(state);
    await applyFaults(state);
    for (const { name } of hosts) await lab.switchOn(name);
  } catch (error) {
    await lab.down();
    throw error;
  }
  return lab;
}

/** The lab in a directory, in whatever condition it is. */
export async function openLab(dir = defaultLabDir): Promise<Lab> {
  const state = await loadState(dir);
  if (state === undefined) throw new Error(`there is no lab in ${dir}; make one with \`lab up\``);
  return new Lab(state);
}

export class Lab {
  readonly #state: LabState;

  constructor(state: LabState) {
    this.#state = state;
  }

  get dir(): string {
    return this.#state.dir;
  }

  /** Of all that the lab makes on the machine: `trivet-ID` is its switch and its cgroups. */
  get id(): string {
    return this.#state.id;
  }

  get machineAddress(): string {
    return this.#state.machineAddress;
  }

  get hosts(): readonly Readonly<HostState>[] {
    return this.#state.hosts;
  }

  host(name: string): Readonly<HostState> {
    return this.#host(name);
  }

  /** Where the machine finds a path of the host's disk (below /var/lib, /var/log or /etc/cni). */
  pathOf(name: string, path: string): string {
    return onDisk(this.#state, this.#host(name), path);
  }

  run(name: string, argv: readonly string[], options?: RunOptions): Promise<CommandResult> {
    return runOn(this.#state, this.#host(name), argv, options);
  }

  /** Like run, but rejects with the program's complaint unless it succeeds; resolves with its output. */
  async must(name: string, argv: readonly string[], options?: RunOptions): Promise<string> {
    const { code, stdout, stderr } = await this.run(name, argv, options);
    if (code !== 0)
      throw new Error(
        `${argv.join(" ")} on ${name}: ${stderr.trim() || stdout.trim() || `exit code ${code}`}`,
      );
    return stdout;
  }

  /** With the caller's terminal. Resolves with the exit code. */
  exec(name: string, argv: readonly string[]): Promise<number> {
    return attachOn(this.#state, this.#host(name), argv);
  }

  /** Starts a service on the host, and again with each `start` unless it is to run once. Resolves with its pid on the machine. */
  async spawn(
    name: string,
    service: string,
    argv: readonly string[],
    options: SpawnOptions = {},
  ): Promise<number> {
    const host = this.#host(name);
    const { env = {}, once = false } = options;
    const logFile = join(this.dir, "logs", `${name}-${service}.log`);
    const entry: ServiceState = { argv: [...argv], env, once, logFile };
    host.services[service] = entry;
    entry.process = await spawnOn(this.#state, host, entry);
    await saveHost(this.#state, host);
    return entry.process.pid;
  }

  /** Switches the host on if it is off and runs its services that don't run. */
  async start(name: string): Promise<void> {
    const host = this.#host(name);
    if (!isAlive(host.init)) await this.switchOn(name);
    for (const service of Object.values(host.services)) {
      if (!service.once && !isAlive(service.process))
        service.process = await spawnOn(this.#state, host, service);
    }
    await saveHost(this.#state, host);
  }

  /** Ends the host's services gracefully, the last started first; containers stay. */
  async stop(name: string): Promise<void> {
    const host = this.#host(name);
    for (const [service, { process, logFile }] of Object.entries(host.services).toReversed()) {
      if (!isAlive(process)) continue;
      signal(process, "SIGTERM");
      if (!(await waitForExit(process, stopTimeoutMs)))
        throw new Error(`${service} on ${name} did not end within ${stopTimeoutMs / 1000} s, see ${logFile}`);
    }
  }

  /** kill -9 of everything on the host, its containers included, which is then off; see the options for less. */
  async kill(name: string, options: KillOptions = {}): Promise<void> {
    const host = this.#host(name);
    if (options.keepPods) return this.#killBesideContainers(host);
    if (!options.power) this.#signalAll(host, "SIGKILL");
    // Before the namespace goes: to unplug it while the kernel takes it down lasts seconds.
    await unplug(this.#state, host);
    await powerOff(this.#state, host);
    host.paused = false;
    await saveHost(this.#state, host);
  }

  /** Stops every process of the host where it stands; connections stay open and silent. */
  async pause(name: string): Promise<void> {
    const host = this.#host(name);
    this.#mustBeOn(host);
    host.paused = true;
    await saveHost(this.#state, host);
    // Until a look finds nobody new: what forks while it is being stopped leaves a running child.
    const stopped = new Set<number>();
    for (;;) {
      const fresh = processesOf(this.#state.id, name).filter(
        (pid) => !stopped.has(pid) && pid !== host.init?.pid,
      );
      if (fresh.length === 0) return;
      for (const pid of fresh) {
        stopped.add(pid);
        const found = identify(pid);
        if (found !== undefined) signal(found, "SIGSTOP");
      }
    }
  }

  async resume(name: string): Promise<void> {
    const host = this.#host(name);
    this.#signalAll(host, "SIGCONT");
    host.paused = false;
    await saveHost(this.#state, host);
  }

  async partition(name: string, options: PartitionOptions = {}): Promise<void> {
    this.#host(name);
    const others = options.from ?? this.hosts.map((host) => host.name).filter((other) => other !== name);
    for (const other of others) this.#host(other);
    const sides = options.machine ? [...others, machinePort] : others;
    await this.#changeFaults(({ cuts }) => {
      const cut = (from: string, to: string) => {
        if (!cuts.some(([a, b]) => a === from && b === to)) cuts.push([from, to]);
      };
      for (const other of sides) {
        cut(name, other);
        if (!options.oneWay) cut(other, name);
      }
    });
  }

  /** Loses this percentage of the frames that the host sends. */
  async lose(name: string, percent: number): Promise<void> {
    this.#host(name);
    if (!(percent >= 0 && percent <= 100)) throw new Error(`a loss of ${percent} percent is impossible`);
    await this.#changeFaults(({ loss }) => {
      if (percent === 0) delete loss[name];
      else loss[name] = Math.round(percent);
    });
  }

  /** What the host sends to anybody arrives this much later, in milliseconds; 0 ends it. Needs `delayMs` of createLab. */
  async delay(name: string, delayMs: number, options: DelayOptions = {}): Promise<void> {
    this.#host(name);
    if (this.#state.userSwitch !== true)
      throw new Error(
        "the lab's switch is the kernel's, which can't delay: make the lab with `lab up --delay 0`",
      );
    const delay = delayOf(delayMs, options);
    const isNone = Object.values(delay).every((value) => value === 0);
    await this.#changeFaults((faults) => {
      faults.delay ??= {};
      if (isNone) delete faults.delay[name];
      else faults.delay[name] = delay;
    });
  }

  /** Takes all room on the host's disk. Needs `diskSizeMiB` of createLab. */
  async fillDisk(name: string): Promise<void> {
    await fillDisk(this.#state, onDisk(this.#state, this.#host(name), "/var/lib"));
  }

  async freeDisk(name: string): Promise<void> {
    await freeDisk(this.#state, onDisk(this.#state, this.#host(name), "/var/lib"));
  }

  /** Sets the wall clock of what the host runs this far off the machine's, in milliseconds. Needs `movableClocks` of createLab. */
  async setClock(name: string, offsetMs: number): Promise<void> {
    if (this.#state.movableClocks !== true)
      throw new Error(
        "the lab's nodes have the machine's clock: make the lab with `lab up --movable-clocks`",
      );
    if (!Number.isFinite(offsetMs)) throw new Error("the clock's offset must be a number of milliseconds");
    await writeFile(onDisk(this.#state, this.#host(name), clockFile), `${offsetMs}\n`);
  }

  /** Removes all faults of the network that the host has a part in. */
  async heal(name: string): Promise<void> {
    this.#host(name);
    await this.#changeFaults((faults) => {
      faults.cuts = faults.cuts.filter((cut) => !cut.includes(name));
      delete faults.loss[name];
      delete faults.delay?.[name];
    });
  }

  status(): HostStatus[] {
    return this.#state.hosts.map((host) => {
      const process = host.services[nodeService]?.process;
      const running = isAlive(process);
      const { cuts } = this.#state.faults;
      const cutOff = cuts.filter((cut) => cut.includes(host.name)).flat();
      return {
        name: host.name,
        address: host.address,
        role: host.role,
        state: !isAlive(host.init) ? "off" : host.paused ? "paused" : running ? "running" : "stopped",
        pid: running ? process.pid : undefined,
        processes: processesOf(this.#state.id, host.name).length,
        cutOffFrom: [...new Set(cutOff)].filter((other) => other !== host.name),
      };
    });
  }

  /** Removes everything the lab has made on the machine. What fails does not keep the rest from being removed. */
  async down(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = (step: () => Promise<unknown>) => step().catch((error: unknown) => failures.push(error));
    for (const host of this.#state.hosts) {
      await attempt(() => unplug(this.#state, host));
      await attempt(() => powerOff(this.#state, host));
    }
    for (const { name } of this.#state.hosts) await attempt(() => unmountDisk(this.pathOf(name, "/var/lib")));
    await attempt(() => removeSwitch(this.#state));
    await attempt(() => removeCgroups(this.#state.id));
    for (const path of this.#state.madePaths) await attempt(() => rmdir(path));
    if (failures.length > 0)
      throw new AggregateError(failures, `the lab is not quite removed: ${String(failures[0])}`);
    await rm(this.#state.dir, { recursive: true, force: true });
  }

  /** Boots the host and connects it, with its disk as it is. */
  async switchOn(name: string): Promise<void> {
    const host = this.#host(name);
    await unplug(this.#state, host);
    await powerOff(this.#state, host); // what an interrupted boot may have left
    await this.#keepSwitch();
    host.init = await boot(this.#state, host);
    host.paused = false;
    await saveHost(this.#state, host);
    await plugIn(this.#state, host);
    await applyFaults(this.#state);
  }

  /** The directory of the host's disk on the machine. */
  diskOf(name: string): string {
    return diskOf(this.#state, this.#host(name));
  }

  #host(name: string): HostState {
    const host = this.#state.hosts.find((candidate) => candidate.name === name);
    if (host !== undefined) return host;
    const names = this.#state.hosts.map((candidate) => candidate.name).join(", ");
    throw new Error(`there is no node ${name} in the lab; it has ${names}`);
  }

  #mustBeOn(host: HostState): void {
    if (!isAlive(host.init)) throw new Error(`node ${host.name} is off`);
  }

  /** All but the process that holds the host's namespaces. */
  #signalAll(host: HostState, name: NodeJS.Signals): void {
    for (const pid of processesOf(this.#state.id, host.name)) {
      const found = pid === host.init?.pid ? undefined : identify(pid);
      if (found !== undefined && programName(pid) !== "unshare") signal(found, name);
    }
  }

  async #changeFaults(change: (faults: FaultState) => void): Promise<void> {
    await changeFaults(this.#state, change);
    await applyFaults(this.#state);
  }

  /** The switch is there, or made again; its program is then another process, which all commands must know. */
  async #keepSwitch(): Promise<void> {
    await createSwitch(this.#state);
    const { relay } = this.#state;
    if (relay !== undefined) await saveRelay(this.#state, relay);
  }

  async #killBesideContainers(host: HostState): Promise<void> {
    this.#mustBeOn(host);
    // The host's own: the process that reaps, what it sleeps in, and the one that made the namespaces.
    const sleepers = childrenOf(host.init!.pid).filter(({ pid }) => programName(pid) === "sleep");
    const own = new Set([host.init!.pid, ...sleepers.map(({ pid }) => pid)]);
    const spared = (pid: number) => own.has(pid) || /^(containerd-shim|unshare$)/.test(programName(pid));
    for (const pid of processesOutsideContainers(this.#state.id, host.name)) {
      const found = identify(pid);
      if (found !== undefined && !spared(pid)) signal(found, "SIGKILL");
    }
    for (const service of Object.values(host.services)) {
      if (service.process !== undefined) await waitForExit(service.process, 10_000);
    }
  }
}

function delayOf(ms: number, { jitterMs = 0, duplicatePercent = 0 }: DelayOptions = {}): RelayDelay {
  if (!(ms >= 0 && ms <= maxDelayMs) || !(jitterMs >= 0 && jitterMs <= maxDelayMs))
    throw new Error(`a delay is 0 to ${maxDelayMs} ms, not ${ms} and up to ${jitterMs} more`);
  if (!(duplicatePercent >= 0 && duplicatePercent <= 100))
    throw new Error(`${duplicatePercent} percent of the frames can't arrive twice`);
  return { ms, jitterMs, duplicatePercent };
}
