/**
 * `peers.json`: where other nodes are now, told by whoever moved machines to other addresses. Needed once: as soon as
 * the nodes have found each other, their records say it.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { FatalError } from "#base/errors.ts";
import { readIfThere, writePrivateFile } from "./files.ts";

/** host:port by the node's name. */
export type PeerAddresses = Record<string, string>;

/** Parses "n2=10.0.0.2,n3=10.0.0.3:19001". Throws an Error that says what is wrong. */
export function parsePeerAddresses(text: string, defaultPort: number): PeerAddresses {
  const found: PeerAddresses = {};
  for (const part of text.split(",").map((each) => each.trim())) {
    const match = /^([a-z0-9][-a-z0-9.]*)=(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?$/.exec(part);
    if (match === null) throw new Error(`--peers takes NAME=ADDRESS,NAME=ADDRESS, not "${part}"`);
    const [, name = "", address = "", port] = match;
    found[name] = `${address}:${port ?? defaultPort}`;
  }
  return found;
}

export function readPeerAddresses(dataDir: string): PeerAddresses {
  const text = readIfThere(pathOf(dataDir));
  if (text === undefined) return {};
  try {
    return JSON.parse(text) as PeerAddresses;
  } catch (cause) {
    throw new FatalError("badDataDir", `${pathOf(dataDir)} is not JSON: remove it`, { cause });
  }
}

export function writePeerAddresses(dataDir: string, addresses: PeerAddresses): void {
  writePrivateFile(pathOf(dataDir), JSON.stringify(addresses) + "\n");
}

export function removePeerAddresses(dataDir: string): void {
  rmSync(pathOf(dataDir), { force: true });
}

function pathOf(dataDir: string): string {
  return join(dataDir, "peers.json");
}
