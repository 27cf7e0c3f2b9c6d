/** `trivet start --address ... --peers ...`: a node that has moved to another address, and where the others are now. */
import { isIPv4 } from "node:net";
import { readIdentity, writeIdentity } from "#cluster/identity.ts";
import { parsePeerAddresses, writePeerAddresses } from "#cluster/peer-addresses.ts";
import type { CommandContext } from "./context.ts";
import { isStarted } from "./process-control.ts";

export interface MoveFlags {
  dataDir: string;
  address?: string;
  peers?: string;
}

/** Notes the new addresses for the next start. Does nothing without flags. */
export function noteMove(context: CommandContext, flags: MoveFlags): void {
  const { dataDir, address, peers } = flags;
  if (address === undefined && peers === undefined) return;
  if (isStarted(dataDir))
    throw new Error('the node runs: give its new address to "trivet restart", or stop it first');
  const identity = readIdentity(dataDir);
  if (identity === undefined) throw new Error(`there is no node in ${dataDir}`);
  if (address !== undefined && !isIPv4(address))
    throw new Error(`--address takes an IPv4 address of this machine, not "${address}"`);
  const told = peers === undefined ? undefined : parsePeerAddresses(peers, identity.ports.peer);
  if (identity.role === "worker" && told !== undefined) {
    const endpoints = Object.values(told).map((each) => each.replace(/:\d+$/, `:${identity.ports.api}`));
    writeIdentity(dataDir, { ...identity, endpoints });
  } else if (told !== undefined) writePeerAddresses(dataDir, told);
  if (address === undefined || address === identity.address) return;
  context.progress.line(`  this node moves from ${identity.address} to ${address}`);
  const now = readIdentity(dataDir) ?? identity;
  writeIdentity(dataDir, { ...now, address, addressGiven: true });
}
