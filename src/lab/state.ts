/**
 * What the lab remembers on disk, so that any later command, also after a crash in the middle of another,
 * can find and remove everything. Written before the thing it describes is made.
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { identify, isAlive, waitUntil } from "./processes.ts";
import type { ProcessId } from "./processes.ts";
import type { RelayDelay } from "./relay.ts";

export interface ServiceState {
  argv: string[];
  env: Record<string, string>;
  /** Not to be run again by `start`. */
  once: boolean;
  logFile: string;
  process?: ProcessId;
}

export interface HostState {
  name: string;
  /** From 1. Node N has the address 10 + N in the lab's subnet and the port pN of the switch. */
  index: number;
  address: string;
  role: "control-plane" | "worker" | "witness";
  /** The first process of the host's namespaces; while it lives the host is on. */
  init?: ProcessId;
  paused: boolean;
  /** What the host runs, by name, and what `start` runs again. */
  services: Record<string, ServiceState>;
}

export interface FaultState {
  /** Frames from the first to the second are dropped. */
  cuts: [from: string, to: string][];
  /** Percent of the frames from a host that are lost. */
  loss: Record<string, number>;
  /** What a host sends takes longer. Only with the user-space switch. */
  delay?: Record<string, RelayDelay>;
}

export interface LabState {
  version: 1;
  /** Names everything of this lab: switch namespace, machine's device, cgroups. */
  id: string;
  dir: string;
  subnet: string;
  /** Address of the machine itself in the lab's subnet. */
  machineAddress: string;
  hosts: HostState[];
  faults: FaultState;
  /** The switch is a program, which can do more than the kernel's. */
  userSwitch?: boolean;
  /** That program. */
  relay?: ProcessId;
  /** Each host's /var/lib is a file system of this size, which can be filled. Undefined: a directory of the machine's. */
  diskSizeMiB?: number;
  /** The wall clocks of the hosts' programs can be set. */
  movableClocks?: boolean;
  /** Mount points that had to be made on the machine. */
  madePaths: string[];
}

const fileName = "lab.json";
const lockName = "lab.lock";
const lockTimeoutMs = 10_000;

export async function loadState(dir: string): Promise<LabState | undefined> {
  let text: string;
  try {
    text = await readFile(join(dir, fileName), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return JSON.parse(text) as LabState;
}

export async function saveState(state: LabState): Promise<void> {
  await mkdir(state.dir, { recursive: true });
  const path = join(state.dir, fileName);
  await writeFile(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`);
  await rename(`${path}.new`, path);
}

/** Writes down one host as it is here; what other commands have written of other hosts meanwhile stays. */
export async function saveHost(state: LabState, host: HostState): Promise<void> {
  await changeState(state.dir, (latest) => {
    latest.hosts = latest.hosts.map((each) => (each.name === host.name ? host : each));
  });
}

/** Changes the faults as they are on disk, which then are this state's too. */
export async function changeFaults(state: LabState, change: (faults: FaultState) => void): Promise<void> {
  await changeState(state.dir, (latest) => {
    change(latest.faults);
    state.faults = latest.faults;
  });
}

export async function saveRelay(state: LabState, relay: ProcessId): Promise<void> {
  await changeState(state.dir, (latest) => {
    latest.relay = relay;
  });
}

/** One command at a time: several may run at once, as when all nodes are killed together. */
async function changeState(dir: string, change: (latest: LabState) => void): Promise<void> {
  await lock(dir);
  try {
    const latest = await loadState(dir);
    if (latest === undefined) throw new Error(`the lab in ${dir} was removed meanwhile`);
    change(latest);
    await saveState(latest);
  } finally {
    await rm(join(dir, lockName), { force: true });
  }
}

async function lock(dir: string): Promise<void> {
  const path = join(dir, lockName);
  const taken = await waitUntil(async () => {
    try {
      await writeFile(path, JSON.stringify(identify(process.pid)), { flag: "wx" });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = await readFile(path, "utf8").catch(() => "");
    // Empty: it is just being written, or was when its writer died; then the deadline tells.
    if (holder !== "" && !isAlive(JSON.parse(holder) as ProcessId)) await rm(path, { force: true });
    return false;
  }, lockTimeoutMs);
  if (!taken) throw new Error(`another command holds ${path}: wait for its end, or remove that file`);
}
