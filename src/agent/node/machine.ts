/** Facts about the machine that this node runs on, read from the kernel and the operating system. */
import { readFile, statfs } from "node:fs/promises";
import { arch, cpus, release, totalmem } from "node:os";

export interface Machine {
  cpuCount: number;
  memoryBytes: number;
  ephemeralBytes: number;
  machineId: string;
  systemUuid: string;
  bootId: string;
  kernelVersion: string;
  osImage: string;
  architecture: string;
}

export async function readMachine(dataDir: string): Promise<Machine> {
  const osRelease = await readText("/etc/os-release");
  const disk = await statfs(dataDir);
  const machineId = (await readText("/etc/machine-id")).trim();
  return {
    cpuCount: cpus().length,
    memoryBytes: totalmem(),
    ephemeralBytes: disk.blocks * disk.bsize,
    machineId,
    systemUuid: (await readText("/sys/class/dmi/id/product_uuid")).trim() || machineId,
    bootId: (await readText("/proc/sys/kernel/random/boot_id")).trim(),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? "Linux",
    architecture: arch() === "x64" ? "amd64" : arch(),
  };
}

export interface MachineLoad {
  availableMemoryBytes: number;
  availableDiskFraction: number;
  availableInodesFraction: number;
  availablePids: number;
}

export async function readLoad(dataDir: string): Promise<MachineLoad> {
  const memory = await readText("/proc/meminfo");
  const availableKib = Number(/^MemAvailable:\s+(\d+)/m.exec(memory)?.[1] ?? 0);
  const disk = await statfs(dataDir);
  const load = await readText("/proc/loadavg");
  const tasks = Number(/\/(\d+) /.exec(load)?.[1] ?? 0);
  const limit = Number((await readText("/proc/sys/kernel/pid_max")).trim() || 32768);
  return {
    availableMemoryBytes: availableKib * 1024,
    availableDiskFraction: disk.bavail / disk.blocks,
    // Some file systems count no inodes.
    availableInodesFraction: disk.files === 0 ? 1 : disk.ffree / disk.files,
    availablePids: limit - tasks,
  };
}

/** Empty when the file can't be read: on some machines these files don't exist. */
async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
