/** Removes what a stopped node leaves on its machine: containers, containerd, mounts, network, cgroups. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { startContainerd } from "#agent/containerd.ts";
import { RuntimeClient } from "#agent/cri/runtime-client.ts";
import { pauseImageName } from "#agent/images/images.ts";
import { systemClock } from "#client/system-clock.ts";
import { removeNetwork } from "#network/start.ts";
import { createLogger } from "./logger.ts";
import { nodePaths } from "./paths.ts";

const cgroupRoot = "/sys/fs/cgroup";
const podsCgroup = "kubepods";
const removeLimitMs = 10_000;

export async function cleanUp(dataDir: string, report: (detail: string) => void): Promise<void> {
  process.env["TRIVET_LOG_LEVEL"] ??= "silent";
  const logger = createLogger("clean-up");
  const paths = nodePaths(dataDir);
  if (existsSync(join(paths.containerd, "config.toml"))) {
    const containerd = await startContainerd({
      dir: paths.containerd,
      socket: paths.containerdSocket,
      sandboxImage: pauseImageName,
      cniConfDir: paths.cniConf,
      logger,
    });
    const removed = await removeSandboxes(containerd.socket);
    if (removed > 0) report(`${removed} pods removed`);
    await containerd.stop();
  }
  unmountBelow(dataDir);
  // Only a node that had set up its network has anything to remove there.
  if (existsSync(paths.cniData) || existsSync(paths.cniConf)) await removeNetwork();
  await removeCgroups();
}

async function removeSandboxes(socket: string): Promise<number> {
  const runtime = new RuntimeClient(socket);
  try {
    const containers = await runtime.listContainers();
    await Promise.all(containers.map((each) => runtime.stopContainer(each.id, 0)));
    const sandboxes = await runtime.listSandboxes();
    for (const sandbox of sandboxes) {
      await runtime.stopSandbox(sandbox.id);
      await runtime.removeSandbox(sandbox.id);
    }
    return sandboxes.length;
  } finally {
    runtime.close();
  }
}

/** The deepest first. */
function unmountBelow(directory: string): void {
  const points = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((point) => point.startsWith(`${directory}/`))
    .sort((a, b) => b.length - a.length);
  for (const point of points) execFileSync("umount", ["--lazy", point]);
}

async function removeCgroups(): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + removeLimitMs;
  const hierarchies = [cgroupRoot, ...readdirSync(cgroupRoot).map((each) => join(cgroupRoot, each))];
  for (const hierarchy of hierarchies) {
    const top = join(hierarchy, podsCgroup);
    while (existsSync(top)) {
      try {
        removeEmpty(top);
      } catch (error) {
        // A container's last processes are still ending.
        if (systemClock.monotonicMs() > deadlineMs) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}

function removeEmpty(cgroup: string): void {
  for (const name of readdirSync(cgroup)) {
    const path = join(cgroup, name);
    if (statSync(path).isDirectory()) removeEmpty(path);
  }
  rmdirSync(cgroup);
}
