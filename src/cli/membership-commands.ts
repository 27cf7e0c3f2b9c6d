/** Inviting, joining, leaving and removing nodes. */
import { joinCluster } from "#cluster/join.ts";
import { readIdentity } from "#cluster/identity.ts";
import type { NodeRole } from "#cluster/token.ts";
import { parseInvitation } from "#cluster/token.ts";
import type { CommandContext } from "./context.ts";
import { callManagement } from "./management-client.ts";
import { removeNodeFromMachine, requireNode } from "./node-commands.ts";
import { readStatus } from "./status.ts";
import { requireLinux, requirePort, requireRoot } from "./system.ts";
import type { NodeFlags } from "./up.ts";
import { describeNode, prepareMachine, requireFreePorts, startAndWait } from "./up.ts";

/** Leadership may have to move first. */
const leaveTimeoutMs = 30_000;

interface RoleFlags {
  worker?: boolean;
  witness?: boolean;
}

export async function addNodeCommand(
  context: CommandContext,
  flags: { dataDir: string; ttl: string; format: "pretty" | "json" | "short" } & RoleFlags,
): Promise<void> {
  const role = roleOf(flags);
  const answer = await callManagement<{
    token: string;
    fingerprint: string;
    endpoints: string[];
    expiresAt: string;
  }>(flags.dataDir, "POST", "tokens", { role, ttlSeconds: seconds(flags.ttl) });
  const invitations = answer.endpoints.map((endpoint) => `${endpoint}/${answer.token}/${answer.fingerprint}`);
  const roleFlag = role === "control-plane" ? "" : ` --${role}`;
  if (flags.format === "json")
    context.print(JSON.stringify({ invitations, role, expiresAt: answer.expiresAt }, undefined, 2));
  else if (flags.format === "short") context.print(invitations[0] ?? "");
  else
    context.print(
      [
        `On the machine that is to join (once, until ${answer.expiresAt}):`,
        "",
        `  sudo ./trivet join${roleFlag} ${invitations[0] ?? ""}`,
        ...(invitations.length > 1 ? ["", "or, if that address can't be reached from there, one of:"] : []),
        ...invitations.slice(1).map((each) => `  sudo ./trivet join${roleFlag} ${each}`),
      ].join("\n"),
    );
}

export async function joinCommand(
  context: CommandContext,
  text: string,
  flags: NodeFlags & RoleFlags,
): Promise<void> {
  requireLinux();
  requireRoot("join");
  const invitation = parseInvitation(text);
  const existing = readIdentity(flags.dataDir);
  if (existing !== undefined)
    throw new Error(
      `this machine already is node "${existing.name}" of a cluster (${flags.dataDir}): run "trivet leave" or "trivet reset" first`,
    );
  const role = roleOf(flags);
  const node = describeNode(flags);
  // A witness serves no API and runs no containers.
  if (role === "witness") await requirePort(node.ports.peer, "peer");
  else {
    await requireFreePorts(node.ports);
    await prepareMachine(context, flags.dataDir);
  }
  await context.progress.step(`joining the cluster at ${invitation.endpoint}`, async () => {
    await joinCluster(node, invitation, role, context.version);
    return `admitted as ${role} "${node.name}"`;
  });
  await startAndWait(context, flags);
  if (flags.start) context.print(`node ${node.name} has joined the cluster; see "trivet status"`);
}

export async function leaveCommand(context: CommandContext, flags: { dataDir: string }): Promise<void> {
  requireRoot("leave");
  requireNode(flags.dataDir);
  const identity = readIdentity(flags.dataDir);
  if (identity?.role === "worker" || identity?.role === "witness")
    throw new Error(
      `a ${identity.role} can't leave by itself: run "trivet remove-node ${identity.name}" on a control-plane node, then "trivet reset --yes" here`,
    );
  const status = await readStatus(flags.dataDir);
  if (status.highAvailability.members.length < 2)
    throw new Error(
      `node "${status.node}" is the only one of its cluster and can't leave: "trivet reset --yes" removes it with all its data`,
    );
  await context.progress.step(`removing node ${status.node} from the cluster`, async () => {
    // Asked of another node: this one has no datastore any more once it is removed.
    const others = status.highAvailability.members.filter(
      (each) => each.name !== status.node && each.online && each.apiAddress !== "",
    );
    if (others.length === 0)
      throw new Error("no other node of the cluster is online: this one can't leave it now");
    const path = `nodes/${encodeURIComponent(status.node)}?leaving=true`;
    const endpoints = others.map((each) => each.apiAddress);
    await callManagement(flags.dataDir, "DELETE", path, undefined, leaveTimeoutMs, endpoints);
    return "removed";
  });
  await removeNodeFromMachine(context, flags.dataDir);
}

export async function removeNodeCommand(
  context: CommandContext,
  name: string,
  flags: { dataDir: string; force?: boolean },
): Promise<void> {
  const identity = readIdentity(flags.dataDir);
  if (identity?.name === name)
    throw new Error(`"${name}" is this node: run "trivet leave" instead, or remove it from another node`);
  await callManagement(
    flags.dataDir,
    "DELETE",
    `nodes/${encodeURIComponent(name)}${flags.force === true ? "?force=true" : ""}`,
  );
  context.print(`node ${name} is removed from the cluster`);
}

function roleOf(flags: RoleFlags): NodeRole {
  if (flags.witness === true && flags.worker === true)
    throw new Error("a node is a worker or a witness: give one of --worker and --witness");
  if (flags.witness === true) return "witness";
  return flags.worker === true ? "worker" : "control-plane";
}

/** "90", "90s", "10m", "2h" in seconds. */
function seconds(text: string): number {
  const match = /^(\d+)(s|m|h)?$/.exec(text);
  if (match === null) throw new Error(`--ttl takes a time such as 10m or 2h, not "${text}"`);
  return Number(match[1]) * ({ s: 1, m: 60, h: 3600 }[match[2] ?? "s"] ?? 1);
}
