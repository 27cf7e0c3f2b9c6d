/** Starting, stopping and removing the node of this machine. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { readIdentity } from "#cluster/identity.ts";
import type { CommandContext } from "./context.ts";
import { kubeconfigPath } from "./management-client.ts";
import type { MoveFlags } from "./moved-node.ts";
import { noteMove } from "./moved-node.ts";
import { removeUnit, stopNode, stopTimeoutMs } from "./process-control.ts";
import { requireRoot } from "./system.ts";
import { isOurs, startAndWait } from "./up.ts";

export async function startCommand(
  context: CommandContext,
  flags: MoveFlags & { timeout: string },
): Promise<void> {
  requireRoot("start");
  requireNode(flags.dataDir);
  noteMove(context, flags);
  await startAndWait(context, { ...flags, start: true });
}

export async function stopCommand(context: CommandContext, flags: { dataDir: string }): Promise<void> {
  requireRoot("stop");
  requireNode(flags.dataDir);
  await context.progress.step("stopping the node (containers go on running)", () =>
    stopNode(flags.dataDir, stopTimeoutMs),
  );
}

export async function restartCommand(
  context: CommandContext,
  flags: MoveFlags & { timeout: string },
): Promise<void> {
  await stopCommand(context, flags);
  await startCommand(context, flags);
}

export async function resetCommand(
  context: CommandContext,
  flags: { dataDir: string; yes?: boolean },
): Promise<void> {
  requireRoot("reset");
  if (!existsSync(flags.dataDir)) {
    context.progress.line(`there is no node in ${flags.dataDir}: nothing to do`);
    return;
  }
  if (flags.yes !== true)
    throw new Error(
      `reset removes this node with all its containers and data (${flags.dataDir}) for good: say so with "trivet reset --yes"`,
    );
  await removeNodeFromMachine(context, flags.dataDir);
}

/** Stops the node and removes everything of it from this machine. */
export async function removeNodeFromMachine(context: CommandContext, dataDir: string): Promise<void> {
  await context.progress.step("stopping the node", () => stopNode(dataDir, stopTimeoutMs));
  await context.progress.step("removing containers, interfaces and rules", async (report) => {
    await context.hooks.cleanUp(dataDir, report);
    return "removed";
  });
  await context.progress.step("removing the data", () => {
    removeUserKubeconfig(dataDir);
    removeUnit();
    // What is in it first: a directory that is a mount point of its own can be emptied, not removed.
    for (const name of readdirSync(dataDir)) rmSync(join(dataDir, name), { recursive: true, force: true });
    if (isMountPoint(dataDir)) return `${dataDir} emptied`;
    rmSync(dataDir, { recursive: true });
    return `${dataDir} removed`;
  });
}

export function requireNode(dataDir: string): void {
  if (readIdentity(dataDir) === undefined)
    throw new Error(`there is no node in ${dataDir}: run "trivet up" or "trivet join" first`);
}

function removeUserKubeconfig(dataDir: string): void {
  const user = join(homedir(), ".kube", "config");
  const ours = kubeconfigPath(dataDir);
  if (!existsSync(user) || !existsSync(ours) || !isOurs(user)) return;
  if (readFileSync(user, "utf8") === readFileSync(ours, "utf8")) rmSync(user);
}

function isMountPoint(directory: string): boolean {
  return statSync(directory).dev !== statSync(dirname(directory)).dev;
}
