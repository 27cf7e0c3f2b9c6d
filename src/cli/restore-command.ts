/** `trivet restore`: a one-node cluster from a backup, on this machine, in place of the node that may be here. */
import { createReadStream } from "node:fs";
import { isIPv4 } from "node:net";
import { StatusError } from "#base/errors.ts";
import type { BackupSummary } from "#cluster/backup.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import { readIdentity } from "#cluster/identity.ts";
import type { NewNode } from "#cluster/join.ts";
import { dropPrepared, prepareRestore, putInPlace, restoreKeys } from "#cluster/restore.ts";
import { describeBackup, verifyFile } from "./backup-command.ts";
import type { CommandContext } from "./context.ts";
import { isStarted, stopNode, stopTimeoutMs } from "./process-control.ts";
import { requireLinux, requireRoot } from "./system.ts";
import type { NodeFlags } from "./up.ts";
import { describeNode, prepareMachine, requireFreePorts, startAndWait } from "./up.ts";

export interface RestoreFlags extends NodeFlags {
  at?: string;
  yes?: boolean;
  dryRun?: boolean;
  takeOver?: boolean;
  keysOnly?: boolean;
}

export async function restoreCommand(
  context: CommandContext,
  file: string,
  flags: RestoreFlags,
): Promise<void> {
  const at = flags.at === undefined ? undefined : parseMoment(flags.at);
  const summary = await verifyFile(file);
  context.print(describeBackup(summary).join("\n"));
  const present = presentIdentity(flags.dataDir);
  if (flags.keysOnly === true) {
    await restoreKeysOnly(context, file, flags, present);
    return;
  }
  const node = nodeOf(flags, present);
  const text = explain(node, present, summary, flags);
  if (flags.dryRun === true) {
    context.print(["", ...text, "nothing was changed (--dry-run)"].join("\n"));
    return;
  }
  requireLinux();
  requireRoot("restore");
  if (present !== undefined && flags.yes !== true)
    throw new Error([...text, 'say so with "--yes"'].join("\n  "));
  await prepareMachine(context, flags.dataDir);
  // Everything that can fail for the backup's sake fails before the present node is touched.
  await context.progress.step("restoring", async (report) => {
    try {
      const restored = await prepareRestore({
        node,
        source: createReadStream(file, { highWaterMark: 1 << 20 }),
        takeOver: flags.takeOver === true,
        nowMs: Date.now(),
        onChunk: (chunks) => {
          if (chunks % 400 === 0) report(`${chunks} of ${summary.chunks} chunks`);
        },
        ...(at === undefined ? {} : { at }),
      });
      return `content of revision ${restored.content}; the cluster begins at revision ${restored.revision}`;
    } catch (error) {
      throw error instanceof StatusError ? new Error(`${file}: ${error.message}`, { cause: error }) : error;
    }
  });
  try {
    if (isStarted(flags.dataDir))
      await context.progress.step("stopping the node (containers go on running)", () =>
        stopNode(flags.dataDir, stopTimeoutMs),
      );
    await requireFreePorts(node.ports);
  } catch (error) {
    dropPrepared(flags.dataDir);
    throw error;
  }
  const aside = putInPlace(flags.dataDir, Date.now());
  if (aside !== undefined) context.progress.line(`  what was here lies in ${aside}`);
  await startAndWait(context, flags);
  context.print(afterwards(summary, node, flags.takeOver === true).join("\n"));
}

/** For a node whose keys are damaged and whose datastore is whole. */
async function restoreKeysOnly(
  context: CommandContext,
  file: string,
  flags: RestoreFlags,
  present: NodeIdentity | undefined,
): Promise<void> {
  if (present?.role !== "control-plane")
    throw new Error(`there is no control-plane node in ${flags.dataDir} whose keys could be put back`);
  if (flags.dryRun === true) return;
  requireRoot("restore");
  if (flags.yes !== true)
    throw new Error('this puts the keys of the backup in place of this node\'s: say so with "--yes"');
  if (isStarted(flags.dataDir))
    throw new Error('the node runs, with keys that it can read: "trivet stop" stops it');
  await context.progress.step("keys", async () => {
    const aside = await restoreKeys(flags.dataDir, createReadStream(file), Date.now());
    return aside === undefined ? "put back" : `put back; the old ones lie in ${aside}`;
  });
  await startAndWait(context, flags);
}

/** A revision ("12345") or a time that JavaScript's Date understands ("2026-11-23T20:15:00Z"). */
export function parseMoment(text: string): { revision: number } | { timeMs: number } {
  if (/^\d+$/.test(text)) return { revision: Number(text) };
  const timeMs = Date.parse(text);
  if (Number.isNaN(timeMs))
    throw new Error(`--at takes a revision or a time such as 2026-11-23T20:15:00Z, not "${text}"`);
  return { timeMs };
}

/** What can't be read is laid aside like the rest. */
function presentIdentity(dataDir: string): NodeIdentity | undefined {
  try {
    return readIdentity(dataDir);
  } catch {
    return undefined;
  }
}

function nodeOf(flags: RestoreFlags, present: NodeIdentity | undefined): NewNode {
  if (present === undefined) return describeNode(flags);
  if (present.role !== "control-plane")
    throw new Error(`this machine is a ${present.role}: restore on a control-plane node or on a new machine`);
  if (flags.address !== undefined && !isIPv4(flags.address))
    throw new Error(`--address takes an IPv4 address of this machine, not "${flags.address}"`);
  const { name, address, failureDomain, ports } = present;
  const addressGiven = flags.address !== undefined || present.addressGiven === true;
  return {
    dataDir: flags.dataDir,
    name,
    address: flags.address ?? address,
    ...(addressGiven ? { addressGiven } : {}),
    failureDomain,
    ports,
  };
}

function explain(
  node: NewNode,
  present: NodeIdentity | undefined,
  { header }: BackupSummary,
  flags: RestoreFlags,
): string[] {
  const at =
    flags.at === undefined ? `of ${new Date(header.timeMs).toISOString()}` : `as it was at ${flags.at}`;
  const others = header.members.filter(({ name }) => name !== node.name).map(({ name }) => name);
  return [
    `restore makes ${node.name} (${node.address}) a cluster of its own with the state ${at}.`,
    ...(present === undefined
      ? []
      : [
          `What is in ${flags.dataDir} now is laid aside there, not removed; changes since the backup are not in the new cluster.`,
        ]),
    ...(others.length === 0
      ? []
      : flags.takeOver === true
        ? [
            `${others.join(", ")} become members of it as soon as they reach this node; their own copies are laid aside.`,
          ]
        : [
            `${others.join(", ")} stay in the old cluster until they are reset and join again (or are taken over: --take-over).`,
          ]),
  ];
}

function afterwards({ header }: BackupSummary, node: NewNode, takeOver: boolean): string[] {
  const others = header.members.filter(({ name }) => name !== node.name).map(({ name }) => name);
  if (others.length === 0) return ["", "The cluster is restored."];
  return [
    "",
    "The cluster is restored, on this node alone. What to do next:",
    ...(takeOver
      ? [`  start ${others.join(", ")}: they join by themselves`]
      : [
          `  on each of ${others.join(", ")}: trivet reset --yes, then trivet join with an invitation of "trivet add-node"`,
          "  those that never come back: trivet remove-node NAME",
        ]),
  ];
}
