/**
 * The cgroups that belong to pods: one per pod below its class (kubelet's layout), with the pod's own
 * limits. Works with cgroup v1 (one tree per controller) and v2 (one tree). Containers' cgroups below
 * are the runtime's.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "./types.ts";
import { qosClass } from "./plan/qos.ts";
import { cpuPeriodUs, cpuWeight, podLimits } from "./plan/resources.ts";

const root = "/sys/fs/cgroup";

export class Cgroups {
  readonly version: 1 | 2;
  #parent: string;

  /** @param parent absolute path within the cgroup tree, for example "/kubepods". */
  constructor(parent: string) {
    this.#parent = parent;
    this.version = existsSync(join(root, "cgroup.controllers")) ? 2 : 1;
  }

  /** The cgroup of a pod, as the runtime wants it named. */
  podPath(pod: Pod): string {
    const qos = qosClass(pod.spec);
    const middle = qos === "Guaranteed" ? "" : `/${qos.toLowerCase()}`;
    return `${this.#parent}${middle}/pod${pod.metadata.uid}`;
  }

  /** Makes the pod's cgroup with its limits. Idempotent. */
  async create(pod: Pod): Promise<void> {
    const path = this.podPath(pod);
    const limits = podLimits(pod.spec);
    if (this.version === 2) {
      await delegate(path);
      await write(path, "cpu.weight", cpuWeight(limits.cpuShares));
      if (limits.cpuQuotaUs !== undefined)
        await write(path, "cpu.max", `${limits.cpuQuotaUs} ${cpuPeriodUs}`);
      if (limits.memoryLimitBytes !== undefined) await write(path, "memory.max", limits.memoryLimitBytes);
      return;
    }
    await mkdir(join(root, "cpu", path), { recursive: true });
    await mkdir(join(root, "memory", path), { recursive: true });
    await write(`cpu${path}`, "cpu.shares", limits.cpuShares);
    if (limits.cpuQuotaUs !== undefined) {
      await write(`cpu${path}`, "cpu.cfs_period_us", cpuPeriodUs);
      await write(`cpu${path}`, "cpu.cfs_quota_us", limits.cpuQuotaUs);
    }
    if (limits.memoryLimitBytes !== undefined)
      await write(`memory${path}`, "memory.limit_in_bytes", limits.memoryLimitBytes);
  }

  /** Removes the cgroups of a pod that has stopped, in whichever class they are. */
  async remove(uid: string): Promise<void> {
    for (const tree of await this.#trees())
      for (const middle of ["", "burstable", "besteffort"])
        await removeTree(join(tree, this.#parent, middle, `pod${uid}`));
  }

  /** Removes the agent's whole part of the tree, where it is empty of processes. */
  async removeAll(): Promise<void> {
    for (const tree of await this.#trees()) await removeTree(join(tree, this.#parent));
  }

  async #trees(): Promise<string[]> {
    if (this.version === 2) return [root];
    const names = await readdir(root);
    return names.map((name) => join(root, name));
  }
}

async function write(path: string, file: string, value: string | number): Promise<void> {
  await writeFile(join(root, path, file), String(value));
}

/** On v2 a controller reaches a cgroup only if every ancestor passes it on. */
async function delegate(path: string): Promise<void> {
  const steps = path.split("/").filter((step) => step !== "");
  let current = "";
  for (const step of steps) {
    await write(current, "cgroup.subtree_control", "+cpu +memory +pids");
    current += `/${step}`;
    await mkdir(join(root, current), { recursive: true });
  }
  await write(current, "cgroup.subtree_control", "+cpu +memory +pids");
}

/** Only rmdir works here, and only from the leaves; a cgroup that still has a process is left alone. */
async function removeTree(path: string): Promise<void> {
  let entries;
  try {
    entries = await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (["ENOENT", "ENODEV", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return;
    throw error;
  }
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(path, entry.name));
  try {
    await rmdir(path);
  } catch (error) {
    if (!["ENOENT", "EBUSY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
