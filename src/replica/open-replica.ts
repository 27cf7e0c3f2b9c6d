/**
 * From a data directory to a running replica: its identity, a new cluster's first state, the real disk,
 * state and peers. Runs in the replica's thread.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { FatalError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import { FileStateDirectory } from "#store/state-directory.ts";
import { FileDisk } from "./disk.ts";
import { newMemberId, parseMemberId } from "./member-id.ts";
import { TlsTransport } from "./peer-transport.ts";
import { realClock, realRandom } from "./real-ports.ts";
import { defaultTiming } from "./replica.ts";
import { bootstrapState, ReplicaNode } from "./replica-node.ts";
import type { MemberRecord, PeerTls, ReplicaOptions } from "./types.ts";

/** The parts of ReplicaOptions that can be sent to a thread. */
export type ReplicaSettings = Omit<ReplicaOptions, "logger" | "onFatal">;

export interface OpenReplica {
  node: ReplicaNode;
  memberId: string;
  clusterId: string;
  port: number;
  setTls(tls: PeerTls): void;
  stop(): Promise<void>;
}

/** `replica.json`: whose data this is. Written before anything else and never changed but for `peers`. */
interface Identity {
  format: 1;
  clusterId: string;
  memberId: string;
  /** Of a joining replica: whom it can ask until it has a copy of the state. */
  peers: MemberRecord[];
}

export async function openReplica(
  settings: ReplicaSettings,
  logger: Logger,
  onFatal: (error: Error) => void,
): Promise<OpenReplica> {
  const { dataDir, mode, listen, tls } = settings;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const found = readIdentity(dataDir);
  const identity = found ?? newIdentity(mode);
  if (found === undefined) clear(dataDir);
  if (found !== undefined && mode.type === "join" && found.memberId !== mode.grant.member.id) {
    throw new FatalError(
      "badDataDir",
      `${dataDir} holds the replica of another node: empty it before joining`,
    );
  }
  const { memberId, clusterId } = identity;
  const id = parseMemberId(memberId);
  const transport = await TlsTransport.listen({ id, clusterId, listen, tls, logger });
  try {
    const address = settings.advertise ?? `${listen.host}:${transport.port}`;
    const state = new FileStateDirectory(dataDir);
    // The identity is written last: without it the directory counts as empty, and is made anew.
    if (found === undefined && mode.type === "bootstrap") {
      const { name, apiAddress, failureDomain, witness = false } = mode.member;
      bootstrapState(state, clusterId, { id: memberId, name, address, apiAddress, failureDomain, witness });
    }
    if (found === undefined) writeIdentity(dataDir, identity);
    const node = new ReplicaNode({
      config: { memberId, timing: { ...defaultTiming, ...settings.timing } },
      ports: {
        clock: realClock,
        random: realRandom,
        disk: new FileDisk(join(dataDir, "log")),
        state,
        transport,
        logger,
      },
      clusterId,
      peers: identity.peers,
      ...(settings.targets === undefined ? {} : { targets: settings.targets }),
      ...(settings.historyMs === undefined ? {} : { historyMs: settings.historyMs }),
      onFatal,
    });
    node.start();
    void announceAddress(node, memberId, address, logger);
    return {
      node,
      memberId,
      clusterId,
      port: transport.port,
      setTls: (next) => transport.setTls(next),
      async stop() {
        await node.stop();
        await transport.close();
      },
    };
  } catch (error) {
    await transport.close();
    throw error;
  }
}

/** A node that comes back under another address tells the others. */
async function announceAddress(
  node: ReplicaNode,
  id: string,
  address: string,
  logger: Logger,
): Promise<void> {
  while (!node.replica.stopped) {
    const known = node.governor.cluster().members.find((member) => member.id === id);
    if (known === undefined || known.address === address) return;
    try {
      await node.admin("updateMember", id, { address });
      logger.info("announced the replica's new address", { address });
      return;
    } catch (error) {
      logger.warn("the replica's new address is not known to the others yet", { error: String(error) });
    }
  }
}

function newIdentity(mode: ReplicaSettings["mode"]): Identity {
  switch (mode.type) {
    case "bootstrap": {
      const clusterId = Buffer.from(realRandom.bytes(8)).toString("hex");
      return { format: 1, clusterId, memberId: mode.member.id ?? newMemberId(realRandom), peers: [] };
    }
    case "join": {
      const { clusterId, member, peers } = mode.grant;
      return { format: 1, clusterId, memberId: member.id, peers };
    }
    default:
      throw new FatalError("badDataDir", "the data directory holds no replica that could be restarted");
  }
}

/** What a start left behind that never came as far as an identity. */
function clear(dataDir: string): void {
  for (const name of ["state.db", "state.db-wal", "state.db-shm", "log"]) {
    rmSync(join(dataDir, name), { recursive: true, force: true });
  }
}

function readIdentity(dataDir: string): Identity | undefined {
  const path = join(dataDir, "replica.json");
  if (!existsSync(path)) return undefined;
  try {
    const identity = JSON.parse(readFileSync(path, "utf8")) as Identity;
    if (identity.format === 1 && typeof identity.memberId === "string") return identity;
  } catch (cause) {
    throw new FatalError("badDataDir", `${path} is damaged: restore it or empty the directory`, { cause });
  }
  throw new FatalError("badDataDir", `${path} was written by another version of Trivet`);
}

function writeIdentity(dataDir: string, identity: Identity): void {
  const path = join(dataDir, "replica.json");
  const file = openSync(`${path}.new`, "w", 0o600);
  writeSync(file, JSON.stringify(identity));
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.new`, path);
}
