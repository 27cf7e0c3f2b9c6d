/** `trivet status`: what a node knows of itself and its cluster, in four formats. */
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";
import type { NodeIdentity } from "#cluster/identity.ts";
import { readIdentity } from "#cluster/identity.ts";
import type { CommandContext } from "./context.ts";
import { callManagement, NotRunningError } from "./management-client.ts";
import { findNode } from "./process-control.ts";
import type { RestartsSeen } from "./restarts.ts";
import { restartsLine, restartsSeen, silenceReason } from "./restarts.ts";
import { readWitnessStatus, witnessNotReadyReason } from "./witness-status.ts";
import { workerNotReadyReason } from "./worker-status.ts";
import { parseTimeoutMs } from "./system.ts";

export interface NodeStatus {
  ready: boolean;
  node: string;
  version: string;
  /** Why it is not ready; empty when it is. */
  reason: string;
  highAvailability: {
    enabled: boolean;
    leader: string;
    term: number;
    revision: number;
    /** -1: writes have stopped. */
    failuresToQuorumLoss: number;
    members: {
      name: string;
      id: string;
      address: string;
      /** host:port of its API server; empty for a witness. */
      apiAddress: string;
      role: string;
      online: boolean;
      lagEntries: number;
      failureDomain: string;
      witness: boolean;
    }[];
    /** Where an etcd of the owner's is the datastore: how its members are, as this node reaches them. */
    external?: { endpoints: string[]; members: number; alive: number; led: boolean; failures: string[] };
    /** How many voters there are to be, where there are nodes enough. */
    voterTarget: number;
    /** The latest decisions on roles, oldest first. */
    decisions: { time: string; reason?: string; text: string }[];
  };
  addons: { enabled: string[]; disabled: string[] };
  /** Address of this node's etcd API, where it is served. */
  etcdApi?: string;
  /** What will need its owner's hand. */
  warnings?: string[];
  /** The node has ended by itself, and was started again or will be. */
  restarts?: RestartsSeen;
}

export type StatusFormat = "pretty" | "json" | "yaml" | "short";

export async function readStatus(dataDir: string): Promise<NodeStatus> {
  return callManagement<NodeStatus>(dataDir, "GET", "status", undefined, 10_000);
}

/** Waits until the node, which may be a worker, is Ready. Throws with the reason it last gave when the time is over. */
export async function waitReady(
  dataDir: string,
  timeoutMs: number,
  report: (reason: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  let last = "";
  for (;;) {
    signal?.throwIfAborted();
    const reason = await notReadyReason(dataDir);
    if (reason === "") return;
    if (reason !== last) report((last = reason));
    if (Date.now() > deadlineMs)
      throw new Error(`the node was not Ready after ${Math.round(timeoutMs / 1000)} s: ${reason}`);
    await delay(100);
  }
}

async function notReadyReason(dataDir: string): Promise<string> {
  const identity = readIdentity(dataDir);
  if (identity?.role === "worker") return workerNotReadyReason(dataDir, identity);
  if (identity?.role === "witness") return witnessNotReadyReason(dataDir);
  try {
    const status = await readStatus(dataDir);
    return status.ready ? "" : status.reason;
  } catch (error) {
    return error instanceof NotRunningError ? silenceReason(dataDir) : (error as Error).message;
  }
}

export async function statusCommand(
  context: CommandContext,
  options: { dataDir: string; waitReady?: boolean; timeout: string; format: StatusFormat },
): Promise<void> {
  const identity = readIdentity(options.dataDir);
  if (identity === undefined)
    throw new Error(`there is no node in ${options.dataDir}: run "trivet up" or "trivet join" first`);
  if (options.waitReady === true)
    await waitReady(options.dataDir, parseTimeoutMs(options.timeout), (reason) =>
      context.progress.line(`waiting: ${reason}`),
    );
  if (identity.role === "witness") return witnessStatus(context, options, identity);
  if (identity.role === "worker") return workerStatus(context, options, identity.name);
  let status: NodeStatus;
  try {
    status = await readStatus(options.dataDir);
  } catch (error) {
    if (!(error instanceof NotRunningError)) throw error;
    status = stoppedStatus(identity.name, context.version, options.dataDir);
  }
  context.print(format(withRestarts(status, options.dataDir), options.format));
  if (!status.ready) process.exitCode = 1;
}

async function witnessStatus(
  context: CommandContext,
  options: { dataDir: string; format: StatusFormat },
  identity: NodeIdentity,
): Promise<void> {
  const status =
    (await readWitnessStatus(options.dataDir)) ??
    stoppedStatus(identity.name, context.version, options.dataDir);
  context.print(format(withRestarts(status, options.dataDir), options.format));
  if (!status.ready) process.exitCode = 1;
}

function workerStatus(
  context: CommandContext,
  options: { dataDir: string; format: StatusFormat },
  name: string,
): void {
  const running = findNode(options.dataDir) !== undefined;
  const restarts = restartsSeen(options.dataDir);
  const value = {
    node: name,
    role: "worker",
    running,
    version: context.version,
    ...(restarts === undefined ? {} : { restarts }),
  };
  if (options.format === "json") context.print(JSON.stringify(value, undefined, 2));
  else if (options.format === "yaml") context.print(stringify(value).trimEnd());
  else
    context.print(
      running
        ? `worker ${name} is running; ask a control-plane node for the cluster's status`
        : `worker ${name} is not running: ${silenceReason(options.dataDir)}`,
    );
  if (!running) process.exitCode = 1;
}

function withRestarts(status: NodeStatus, dataDir: string): NodeStatus {
  const restarts = restartsSeen(dataDir);
  return restarts === undefined ? status : { ...status, restarts };
}

function stoppedStatus(node: string, version: string, dataDir: string): NodeStatus {
  return {
    ready: false,
    node,
    version,
    reason: silenceReason(dataDir),
    highAvailability: {
      enabled: false,
      leader: "",
      term: 0,
      revision: 0,
      failuresToQuorumLoss: -1,
      members: [],
      voterTarget: 0,
      decisions: [],
    },
    addons: { enabled: [], disabled: [] },
  };
}

export function format(status: NodeStatus, as: StatusFormat): string {
  if (as === "json") return JSON.stringify(status, undefined, 2);
  if (as === "yaml") return stringify(status).trimEnd();
  const ha = status.highAvailability;
  const headline = status.ready
    ? `trivet is ready on node ${status.node}`
    : `trivet is not ready on node ${status.node}: ${status.reason}`;
  if (as === "short") return headline;
  const lines = [headline, `version: ${status.version}`];
  if (status.addons.enabled.length > 0) lines.push(`add-ons: ${status.addons.enabled.join(", ")}`);
  if (status.etcdApi !== undefined) lines.push(`etcd API: ${status.etcdApi}`);
  for (const warning of status.warnings ?? []) lines.push(`warning: ${warning}`);
  if (status.restarts !== undefined) lines.push(restartsLine(status.restarts));
  if (ha.members.length > 0) {
    lines.push(
      `high availability: ${ha.enabled ? "enabled" : "not enabled"} (${ha.external === undefined ? quorumText(ha.failuresToQuorumLoss, ha.members.length) : externalText(status)})`,
      ...(ha.external === undefined
        ? [
            `datastore: leader ${ha.leader === "" ? "unknown" : ha.leader}, term ${ha.term}, revision ${ha.revision}`,
          ]
        : externalLines(ha.external, ha.leader, ha.revision)),
      "",
      table(
        ["NODE", "ROLE", "ONLINE", "LAG", "ADDRESS", "FAILURE DOMAIN"],
        ha.members.map((each) => [
          each.name + (each.name === ha.leader ? " (leader)" : ""),
          ha.external !== undefined ? "control-plane" : each.witness ? `${each.role} (witness)` : each.role,
          each.online ? "yes" : "no",
          each.lagEntries < 0 ? "-" : String(each.lagEntries),
          each.address,
          each.failureDomain === "" ? "-" : each.failureDomain,
        ]),
      ),
    );
    if (ha.decisions.length > 0)
      lines.push(
        "",
        "latest changes of roles:",
        ...ha.decisions.slice(-5).map((each) => `  ${each.time}  ${each.text}`),
      );
  }
  return lines.join("\n");
}

function quorumText(failures: number, members: number): string {
  if (failures < 0) return "writes have stopped: no majority of the voters is online";
  if (failures > 0) return `${failures} more ${failures === 1 ? "node" : "nodes"} may fail`;
  if (members === 1) return `one node; add two more with "trivet add-node"`;
  if (members === 2)
    return `the second node holds a full copy, but may not take over by itself: add a third node with "trivet add-node", or a witness with "trivet add-node --witness"`;
  return "no more node may fail";
}

function externalText({ highAvailability: ha }: NodeStatus): string {
  const { failuresToQuorumLoss: failures, members } = ha;
  if (failures < 0) return "writes have stopped: the external etcd has no leader";
  if (failures === 0) return "no member of the external etcd may fail";
  const etcd = `${failures} more ${failures === 1 ? "member" : "members"} of the external etcd may fail`;
  return members.length > 1 ? etcd : `${etcd}; one node: add another with "trivet add-node"`;
}

function externalLines(
  { endpoints, members, alive, failures }: NonNullable<NodeStatus["highAvailability"]["external"]>,
  leader: string,
  revision: number,
): string[] {
  return [
    `datastore: external etcd at ${endpoints.join(", ")}: ${alive} of ${members} members answer, revision ${revision}`,
    ...failures.map((each) => `  no answer from ${each}`),
    `controllers run on: ${leader === "" ? "unknown" : leader}`,
  ];
}

export function table(header: string[], rows: string[][]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  return [header, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
