/**
 * One cgroup per host in every hierarchy the machine has, so that all that runs on a host, containers
 * included, can be found, stopped and removed. Inside the host it is the root (a cgroup namespace).
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { mkdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface Hierarchy {
  mountPoint: string;
  /** v1: the options that mount the same hierarchy again; v2: undefined. */
  controllers: string | undefined;
}

export function hierarchies(mounts = readFileSync("/proc/self/mounts", "utf8")): Hierarchy[] {
  const found: Hierarchy[] = [];
  for (const line of mounts.split("\n")) {
    const [, mountPoint, type, options] = line.split(" ");
    if (mountPoint === undefined || options === undefined) continue;
    if (type === "cgroup2") found.push({ mountPoint, controllers: undefined });
    else if (type === "cgroup") {
      const controllers = options
        .split(",")
        .filter(
          (option) => !/^(rw|relatime|noatime|nosuid|nodev|noexec|xattr|release_agent=.*)$/.test(option),
        );
      found.push({ mountPoint, controllers: controllers.join(",") });
    }
  }
  return found;
}

export function hostCgroups(labId: string, host: string): string[] {
  return hierarchies().map(({ mountPoint }) => join(mountPoint, `trivet-${labId}`, host));
}

/** Where a host's own processes go: with cgroup v2 a leaf, because its inner cgroups may hold none. */
export function joinableCgroups(labId: string, host: string): string[] {
  return hostCgroups(labId, host).map((path) => (existsSync(join(path, "init")) ? join(path, "init") : path));
}

export async function createCgroups(labId: string, host: string): Promise<void> {
  for (const { mountPoint } of hierarchies()) {
    let path = mountPoint;
    for (const part of [`trivet-${labId}`, host]) {
      const parent = path;
      path = join(path, part);
      await mkdir(path, { recursive: true });
      // cgroup v1: a new cpuset is empty, and nothing can run in it.
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        if (existsSync(join(parent, file)) && existsSync(join(path, "tasks")))
          await writeFile(join(path, file), readFileSync(join(parent, file)));
      }
      await delegate(parent);
    }
  }
}

/** cgroup v2: moves what runs in the host's cgroup into a leaf, so that controllers can be handed down beside it. */
export async function makeLeaves(labId: string, host: string): Promise<void> {
  for (const path of hostCgroups(labId, host)) {
    if (controllersOf(path).length === 0) continue;
    const leaf = join(path, "init");
    await mkdir(leaf, { recursive: true });
    for (const pid of readPids(path)) await writeFile(join(leaf, "cgroup.procs"), String(pid));
    await delegate(path);
  }
}

/** All processes of the host, as the machine numbers them. */
export function processesOf(labId: string, host: string): number[] {
  const pids = new Set<number>();
  for (const path of hostCgroups(labId, host)) for (const pid of pidsBelow(path)) pids.add(pid);
  return [...pids];
}

/** Only those that are in no cgroup below the host's own: what isn't a container. */
export function processesOutsideContainers(labId: string, host: string): number[] {
  const pids = processesOf(labId, host);
  const contained = new Set<number>();
  for (const path of hostCgroups(labId, host)) {
    for (const child of subgroups(path))
      if (child !== "init") for (const pid of pidsBelow(join(path, child))) contained.add(pid);
  }
  return pids.filter((pid) => !contained.has(pid));
}

/** The cgroups of one host, or without a host of the whole lab. They must be empty. */
export async function removeCgroups(labId: string, host = ""): Promise<void> {
  for (const path of hostCgroups(labId, host)) await removeTree(path);
}

async function removeTree(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const child of subgroups(path)) await removeTree(join(path, child));
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
}

async function delegate(path: string): Promise<void> {
  for (const controller of controllersOf(path)) {
    // A controller that can't be handed down (it has processes, or is threaded) is missing below, as on the machine itself.
    await writeFile(join(path, "cgroup.subtree_control"), `+${controller}`).catch(() => {});
  }
}

/** Empty for v1, and for a v2 hierarchy beside it that has none. */
function controllersOf(path: string): string[] {
  try {
    return readFileSync(join(path, "cgroup.controllers"), "utf8").split(/\s+/).filter(Boolean);
  } catch {
    return [];
  }
}

function pidsBelow(path: string): number[] {
  return [...readPids(path), ...subgroups(path).flatMap((child) => pidsBelow(join(path, child)))];
}

function readPids(path: string): number[] {
  try {
    return readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
  } catch {
    return []; // removed meanwhile
  }
}

function subgroups(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}
