/**
 * The log files of containers on disk: turns a large one over to a new file and removes what is too old.
 * The runtime writes them; reading is `stream/logs.ts`'s.
 */
import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { RuntimeCache } from "./cri/runtime-cache.ts";
import type { RuntimeClient } from "./cri/runtime-client.ts";
import { containerLogPath } from "./paths.ts";
import type { AgentPaths } from "./paths.ts";

/** Upstream's defaults: containerLogMaxSize and containerLogMaxFiles. */
export const logLimits = { maximumBytes: 10 * 1024 * 1024, maximumFiles: 5 };

/** One look at the logs of all running containers. */
export async function rotateLogs(
  context: { runtime: Pick<RuntimeClient, "reopenLog">; cache: Pick<RuntimeCache, "all">; paths: AgentPaths },
  nowMs: number,
  limits = logLimits,
): Promise<void> {
  for (const pod of context.cache.all()) {
    const directory = context.paths.podLogs(pod.namespace, pod.name, pod.uid);
    for (const container of pod.containers) {
      if (container.phase !== "running") continue;
      const path = join(directory, containerLogPath(container.name, container.restartCount));
      const size = await stat(path).then(
        (info) => info.size,
        () => 0,
      );
      if (size < limits.maximumBytes) continue;
      await rename(path, `${path}.${stamp(nowMs)}`);
      // The runtime goes on writing to the old file until it is told.
      await context.runtime.reopenLog(container.id);
      const old = await rotatedFiles(path);
      for (const name of old.slice(0, Math.max(0, old.length - (limits.maximumFiles - 1))))
        await rm(join(dirname(path), name), { force: true });
    }
  }
}

/** Removes the log of one instance of a container, with what was turned over. */
export async function removeLog(path: string): Promise<void> {
  await rm(path, { force: true });
  for (const name of await rotatedFiles(path)) await rm(join(dirname(path), name), { force: true });
}

/** Oldest first. */
async function rotatedFiles(path: string): Promise<string[]> {
  const names = await readdir(dirname(path)).catch(() => []);
  return names.filter((name) => name.startsWith(`${basename(path)}.`)).sort();
}

/** As upstream names them: 20260102-150405. */
function stamp(nowMs: number): string {
  const [date = "", time = ""] = new Date(nowMs).toISOString().split("T");
  return `${date.replaceAll("-", "")}-${time.slice(0, 8).replaceAll(":", "")}`;
}
