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
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { FatalError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import { FileStateDirectory } from "#store/state-directory.ts";
import type { ClusterState } from "./cluster-state.ts";
import { FileDisk } from "./disk.ts";
import { newMemberId, parseMemberId } from "./member-id.ts";
import { TlsTransport } from "./peer-transport.ts";
import { realClock, realRandom } from "./real-ports.ts";
import { defaultTiming } from "./replica-config.ts";
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
  /** The record of this node's former self, whose copy was damaged: the others have, or still have, to be told. */
  replaces?: MemberRecord;
}

/** Opens what is in the directory. A copy that is damaged is laid aside, and another is got from the other members. */
export async function openReplica(
  settings: ReplicaSettings,
  logger: Logger,
  onFatal: (error: Error) => void,
): Promise<OpenReplica> {
  const { dataDir, mode } = settings;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const found = readIdentity(dataDir);
  const identity = found ?? newIdentity(mode);
  if (found === undefined) clear(dataDir);
  if (
    found !== undefined &&
    mode.type === "join" &&
    found.memberId !== mode.grant.member.id &&
    found.replaces === undefined
  ) {
    throw new FatalError(
      "badDataDir",
      `${dataDir} holds the replica of another node: empty it before joining`,
    );
  }
  if (found !== undefined && existsSync(damageMark(dataDir))) {
    const fresh = beginAnew(dataDir, found);
    if (fresh !== undefined) return open(settings, fresh, logger, onFatal);
  }
  try {
    return await open(settings, identity, logger, onFatal);
  } catch (error) {
    const fresh = found !== undefined && isDamage(error) ? beginAnew(dataDir, found) : undefined;
    if (fresh === undefined) throw error;
    logger.error("this node's copy of the datastore is damaged; it gets a new one from the others", {
      error: String(error),
    });
    return open(settings, fresh, logger, onFatal);
  }
}

async function open(
  settings: ReplicaSettings,
  identity: Identity,
  logger: Logger,
  onFatal: (error: Error) => void,
): Promise<OpenReplica> {
  const { dataDir, mode, listen, tls } = settings;
  const isNew = !existsSync(join(dataDir, "replica.json"));
  const { memberId, clusterId } = identity;
  const id = parseMemberId(memberId);
  const transport = await TlsTransport.listen({ id, clusterId, listen, tls, logger });
  try {
    const address = settings.advertise ?? `${listen.host}:${transport.port}`;
    const state = new FileStateDirectory(dataDir);
    // The identity is written last: without it the directory counts as empty, and is made anew.
    if (isNew && mode.type === "bootstrap") {
      const { name, apiAddress, failureDomain, witness = false } = mode.member;
      bootstrapState(state, clusterId, { id: memberId, name, address, apiAddress, failureDomain, witness });
    }
    if (isNew) writeIdentity(dataDir, identity);
    const node = new ReplicaNode({
      config: { memberId, timing: { ...defaultTiming, ...settings.timing } },
      ports: {
        clock: realClock,
        random: realRandom,
        disk: new FileDisk(join(dataDir, "log"), () => state.busy),
        state,
        transport,
        logger,
      },
      clusterId,
      peers: identity.peers,
      ...(settings.targets === undefined ? {} : { targets: settings.targets }),
      ...(settings.historyMs === undefined ? {} : { historyMs: settings.historyMs }),
      onFatal(error) {
        // The next start must not trust this copy.
        if (isDamage(error)) writeFileSync(damageMark(dataDir), error.message);
        onFatal(error);
      },
    });
    node.start();
    void (async () => {
      if (identity.replaces !== undefined) await rejoin(node, identity.replaces, memberId, address, logger);
      await announceAddress(node, memberId, address, logger);
    })();
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

/**
 * Lays a damaged copy aside and makes a new identity. The old one can't be kept: what it had voted for and
 * acknowledged is not known any more. Undefined when there is nobody else who has a copy.
 */
function beginAnew(dataDir: string, old: Identity): Identity | undefined {
  const members = knownMembers(dataDir, old);
  const own = old.replaces ?? members.find(({ id }) => id === old.memberId);
  const peers = members.filter(({ id }) => id !== old.memberId && id !== own?.id);
  if (own === undefined || peers.length === 0) return undefined;
  const aside = join(dataDir, "damaged");
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { mode: 0o700 });
  // The identity comes first: an old identity without its log would count as whole.
  const identity: Identity = {
    format: 1,
    clusterId: old.clusterId,
    memberId: newMemberId(realRandom),
    peers,
    replaces: own,
  };
  writeFileSync(damageMark(dataDir), "a new copy is being begun");
  for (const name of copyFiles)
    if (existsSync(join(dataDir, name))) renameSync(join(dataDir, name), join(aside, name));
  writeIdentity(dataDir, identity);
  rmSync(damageMark(dataDir));
  return identity;
}

/** From the state, if it can be read, else as they were told when this node joined. */
function knownMembers(dataDir: string, identity: Identity): MemberRecord[] {
  for (const directory of [dataDir, join(dataDir, "damaged")]) {
    if (!existsSync(join(directory, "state.db"))) continue;
    try {
      const store = new FileStateDirectory(directory).open();
      const note = store.note("cluster");
      store.close();
      if (note !== undefined) return (JSON.parse(note) as ClusterState).members;
    } catch {
      // Damaged too: the next source is asked.
    }
  }
  return identity.peers;
}

async function rejoin(
  node: ReplicaNode,
  old: MemberRecord,
  id: string,
  address: string,
  logger: Logger,
): Promise<void> {
  while (!node.replica.stopped) {
    if (node.replica.cluster?.members.some((member) => member.id === id) === true) return;
    try {
      await node.admin("replaceMember", old.id, { ...old, id, address });
      logger.info("this node has a place in the datastore again, with a new copy", { member: id });
      return;
    } catch (error) {
      logger.warn("the others have not taken this node back yet", { error: String(error) });
      await new Promise((resolve) => {
        setTimeout(resolve, 1000);
      });
    }
  }
}

/** A log that has lost something, a state that diverged or that SQLite can't read. */
function isDamage(error: unknown): error is Error {
  if (error instanceof FatalError) return error.kind === "corrupt";
  const { errcode } = error as { errcode?: number };
  return errcode !== undefined && ((errcode & 0xff) === 11 || (errcode & 0xff) === 26);
}

function damageMark(dataDir: string): string {
  return join(dataDir, "damage.txt");
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

const copyFiles = ["state.db", "state.db-wal", "state.db-shm", "log"];

/** What a start left behind that never came as far as an identity. */
function clear(dataDir: string): void {
  for (const name of copyFiles) {
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
