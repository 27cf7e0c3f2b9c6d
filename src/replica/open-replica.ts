/**
 * From a data directory to a running replica: its identity, a new cluster's first state, the real disk,
 * state and peers. Runs in the replica's thread.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "#base/backend.ts";
import { FatalError, StatusError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import { FileStateDirectory } from "#store/state-directory.ts";
import { AddressBook } from "./peers/address-book.ts";
import type { ClusterState } from "./cluster-state.ts";
import { FileDisk } from "./log/disk.ts";
import { isDamage } from "./errors.ts";
import type { ReplicaIdentity } from "./identity-file.ts";
import { copyFiles, readReplicaIdentity, writeDurably, writeReplicaIdentity } from "./identity-file.ts";
import { defaultSlowRequests } from "./metrics/measured-backend.ts";
import { keepIdentity } from "./identity-keeper.ts";
import { newMemberId, parseMemberId } from "./member-id.ts";
import { ReplicaMonitor } from "./metrics/monitor.ts";
import type { Succession } from "./peers/peer-connection.ts";
import { TlsTransport } from "./peers/peer-transport.ts";
import { recoverIfAsked, requestRecovery } from "./backup/recover.ts";
import { realClock, realRandom } from "./real-ports.ts";
import { defaultTiming } from "./replica-config.ts";
import { bootstrapState, ReplicaNode } from "./replica-node.ts";
import { askForSuccessor, greetingOf, newClusterId, SucceededError } from "./peers/succession.ts";
import type { MemberRecord, PeerTls, ReplicaOptions } from "./types.ts";

/** The parts of ReplicaOptions that can be sent to a thread. */
export type ReplicaSettings = Omit<ReplicaOptions, "logger" | "onFatal">;

export interface OpenReplica {
  node: ReplicaNode;
  /** The node's, with a meter on its calls. */
  backend: Backend;
  memberId: string;
  clusterId: string;
  port: number;
  setTls(tls: PeerTls): void;
  /** The next time it is opened it goes on alone. Throws Conflict while it reaches a majority. */
  requestRecovery(request: { term: number; lost: string[] }): void;
  /** In Prometheus' text format. */
  metrics(): string;
  /** Ends it as a crash does. */
  abandon(): Promise<void>;
  stop(): Promise<void>;
}

/** How long a start waits for peers that don't answer, before it trusts that none knows of a successor. */
const askSuccessorMs = 1000;

/** Opens what is in the directory. A copy that is damaged is laid aside, and another is got from the other members. */
export async function openReplica(
  settings: ReplicaSettings,
  logger: Logger,
  onFatal: (error: Error) => void,
): Promise<OpenReplica> {
  const { dataDir, mode } = settings;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  recoverIfAsked(dataDir, logger);
  const found = readReplicaIdentity(dataDir);
  if (found === undefined) refuseOrphan(dataDir);
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
  const succession = found === undefined ? undefined : await findSuccession(settings, found);
  if (found !== undefined && succession !== undefined) {
    const fresh = beginAnew(dataDir, found, succession);
    if (fresh !== undefined) {
      logger.warn("the cluster has gone on without this node: it gets a new copy, as a standby", {
        former: found.clusterId,
        cluster: fresh.clusterId,
      });
      return open(settings, fresh, logger, onFatal);
    }
  }
  if (found !== undefined && existsSync(damageMark(dataDir))) {
    const fresh = beginAnew(dataDir, found);
    if (fresh !== undefined) return open(settings, fresh, logger, onFatal);
  }
  try {
    return await open(settings, identity, logger, onFatal);
  } catch (error) {
    const fresh = found !== undefined && isDamage(error) ? beginAnew(dataDir, found) : undefined;
    if (fresh === undefined) throw found !== undefined && isDamage(error) ? hopeless(dataDir, error) : error;
    logger.error("this node's copy of the datastore is damaged; it gets a new one from the others", {
      error: String(error),
    });
    return open(settings, fresh, logger, onFatal);
  }
}

async function open(
  settings: ReplicaSettings,
  identity: ReplicaIdentity,
  logger: Logger,
  onFatal: (error: Error) => void,
): Promise<OpenReplica> {
  const { dataDir, mode, listen, tls } = settings;
  const isNew = !existsSync(join(dataDir, "replica.json"));
  const { memberId, clusterId } = identity;
  const id = parseMemberId(memberId);
  let node: ReplicaNode | undefined;
  const transport = await TlsTransport.listen({
    id,
    clusterId,
    listen,
    tls,
    logger,
    ...(settings.advertise === undefined ? {} : { address: settings.advertise }),
    ...(settings.formats === undefined ? {} : { formats: settings.formats }),
    addresses: new AddressBook(new Map(Object.entries(settings.peerAddresses ?? {}))),
    successor: () => successionOfOwn(node),
    onSucceeded(succession) {
      if (node === undefined || node.replica.stopped) return;
      writeDurably(successionPath(dataDir), succession);
      node.kill();
      onFatal(new SucceededError(succession));
    },
  });
  try {
    const address = settings.advertise ?? `${listen.host}:${transport.port}`;
    const state = new FileStateDirectory(dataDir);
    // The identity is written last: without it the directory counts as empty, and is made anew.
    if (isNew && mode.type === "bootstrap") {
      const { name, apiAddress, failureDomain, witness = false } = mode.member;
      const first = { id: memberId, name, address, apiAddress, failureDomain, witness };
      bootstrapState(state, clusterId, first, settings.formats);
    }
    if (isNew) writeReplicaIdentity(dataDir, identity);
    const monitor = new ReplicaMonitor({
      clock: realClock,
      random: realRandom,
      disk: new FileDisk(join(dataDir, "log"), () => state.busy),
      state,
      transport,
      logger,
    });
    const opened = new ReplicaNode({
      config: {
        memberId,
        timing: { ...defaultTiming, ...settings.timing },
        ...(settings.formats === undefined ? {} : { formats: settings.formats }),
      },
      ports: monitor.ports,
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
    node = opened;
    opened.start();
    monitor.start(opened);
    const endKeeping = keepIdentity(
      dataDir,
      identity,
      () => opened.replica.cluster?.members ?? [],
      (error) => logger.warn("replica.json could not be brought up to date", { error: String(error) }),
    );
    void (async () => {
      if (identity.replaces !== undefined) await rejoin(opened, identity.replaces, memberId, address, logger);
      const { apiAddress } = settings;
      await announceAddress(
        opened,
        memberId,
        { address, ...(apiAddress === undefined ? {} : { apiAddress }) },
        logger,
      );
    })();
    return {
      node: opened,
      backend: monitor.backend(opened.backend, {
        ...defaultSlowRequests,
        ...(settings.slowRequestMs === undefined ? {} : { slowMs: settings.slowRequestMs }),
      }),
      memberId,
      clusterId,
      port: transport.port,
      setTls: (next) => transport.setTls(next),
      requestRecovery(request) {
        if (opened.status().ready)
          throw new StatusError(
            "Conflict",
            "this node reaches a majority of the voters: there is nothing to recover",
          );
        requestRecovery(dataDir, { ...request, timeMs: realClock.nowMs() });
      },
      metrics: () => monitor.text(),
      async abandon() {
        endKeeping();
        monitor.stop();
        opened.kill();
        await transport.close();
      },
      async stop() {
        endKeeping();
        await opened.stop();
        monitor.stop();
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
function beginAnew(
  dataDir: string,
  old: ReplicaIdentity,
  succession?: Succession,
): ReplicaIdentity | undefined {
  const members = knownMembers(dataDir, old);
  // Its former self only for as long as the others have not taken the present one in.
  const own = members.find(({ id }) => id === old.memberId) ?? old.replaces;
  const peers = succession?.members ?? members.filter(({ id }) => id !== old.memberId && id !== own?.id);
  if (own === undefined || peers.length === 0) return undefined;
  // What a succeeded cluster had written last may be wanted once more: it is never removed by itself.
  const aside = join(dataDir, succession === undefined ? "damaged" : `superseded-${old.clusterId}`);
  if (succession === undefined) rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true, mode: 0o700 });
  // The identity comes first: an old identity without its log would count as whole.
  const identity: ReplicaIdentity = {
    format: 1,
    clusterId: succession?.clusterId ?? old.clusterId,
    memberId: newMemberId(realRandom),
    peers,
    replaces: own,
  };
  writeFileSync(damageMark(dataDir), "a new copy is being begun");
  for (const name of copyFiles)
    if (existsSync(join(dataDir, name))) renameSync(join(dataDir, name), join(aside, name));
  writeReplicaIdentity(dataDir, identity);
  rmSync(damageMark(dataDir));
  rmSync(successionPath(dataDir), { force: true });
  return identity;
}

/** Whether another cluster took the place of this replica's: it heard so while it ran, or a peer says so now. */
async function findSuccession(
  settings: ReplicaSettings,
  identity: ReplicaIdentity,
): Promise<Succession | undefined> {
  const { dataDir, tls, peerAddresses = {} } = settings;
  const path = successionPath(dataDir);
  if (existsSync(path)) {
    const heard = JSON.parse(readFileSync(path, "utf8")) as Succession;
    if (heard.formerIds.includes(identity.clusterId)) return heard;
  }
  const peers = knownMembers(dataDir, identity)
    .filter(({ id }) => id !== identity.memberId && id !== identity.replaces?.id)
    .map((peer) => ({ ...peer, address: peerAddresses[peer.name] ?? peer.address }));
  const greeting = greetingOf(parseMemberId(identity.memberId), identity.clusterId);
  return askForSuccessor({ peers, greeting, tls, timeoutMs: askSuccessorMs });
}

/** What members of former clusters are told. */
function successionOfOwn(node: ReplicaNode | undefined): Succession | undefined {
  const cluster = node?.view.cluster();
  if (cluster?.formerIds === undefined || cluster.formerIds.length === 0) return undefined;
  const { clusterId, formerIds, members } = cluster;
  return { clusterId, formerIds, members };
}

function successionPath(dataDir: string): string {
  return join(dataDir, "succession.json");
}

/** From the state, if it can be read, else as they were noted while the replica ran, or told when it joined. */
function knownMembers(dataDir: string, identity: ReplicaIdentity): MemberRecord[] {
  const noted = identity.peers.some(({ id }) => id === identity.memberId) ? identity.peers : undefined;
  return membersInState(dataDir) ?? noted ?? membersInState(join(dataDir, "damaged")) ?? identity.peers;
}

function membersInState(directory: string): MemberRecord[] | undefined {
  if (!existsSync(join(directory, "state.db"))) return undefined;
  try {
    const store = new FileStateDirectory(directory).open();
    const note = store.note("cluster");
    store.close();
    return note === undefined ? undefined : (JSON.parse(note) as ClusterState).members;
  } catch {
    // Damaged too: the next source is asked.
    return undefined;
  }
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

function hopeless(dataDir: string, cause: Error): FatalError {
  return new FatalError(
    "corrupt",
    `this node's copy of the datastore in ${dataDir} is damaged (${cause.message}), and no other member is known ` +
      'that could have another: bring it back from a backup ("trivet restore FILE"), or put back a copy of the directory',
    { cause },
  );
}

function damageMark(dataDir: string): string {
  return join(dataDir, "damage.txt");
}

/** A node that comes back under another address tells the others, as often as it takes. */
async function announceAddress(
  node: ReplicaNode,
  id: string,
  now: { address: string; apiAddress?: string },
  logger: Logger,
): Promise<void> {
  while (!node.replica.stopped) {
    const known = node.view.cluster().members.find((member) => member.id === id);
    const same = known?.address === now.address && (now.apiAddress ?? known.apiAddress) === known.apiAddress;
    if (known === undefined || same) return;
    try {
      await node.admin("updateMember", id, now);
      logger.info("announced the replica's new address", now);
      return;
    } catch (error) {
      logger.warn("the replica's new address is not known to the others yet", { error: String(error) });
      await new Promise((resolve) => {
        setTimeout(resolve, 1000);
      });
    }
  }
}

function newIdentity(mode: ReplicaSettings["mode"]): ReplicaIdentity {
  switch (mode.type) {
    case "bootstrap": {
      return {
        format: 1,
        clusterId: newClusterId(realRandom),
        memberId: mode.member.id ?? newMemberId(realRandom),
        peers: [],
      };
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
  for (const name of copyFiles) {
    rmSync(join(dataDir, name), { recursive: true, force: true });
  }
}

/** A copy without an identity is not to be cleared away by mistake. */
function refuseOrphan(dataDir: string): void {
  const log = join(dataDir, "log");
  // The identity was durable before the first segment was begun.
  if (existsSync(log) && readdirSync(log).length > 0) {
    throw new FatalError(
      "badDataDir",
      `${dataDir} holds a replica's log, but replica.json is missing: put it back from a copy, bring the node back ` +
        'from a backup ("trivet restore FILE"), or, if other nodes hold the cluster, run "trivet reset --yes" and join again',
    );
  }
}
