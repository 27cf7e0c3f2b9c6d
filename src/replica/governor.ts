/**
 * What a replica does as a member of its cluster: the leader reports who is alive and carries out role
 * changes and admissions; the others keep its last report. It works on a `Replica` and decides nothing
 * about consensus; which role change is due is decided in `roles.ts`.
 */

import type { BackendStatus, MemberStatus } from "#base/backend.ts";
import { FatalError, StatusError } from "#base/errors.ts";
import type { ConfChange, NodeId } from "#raft/types.ts";
import { ProposalDroppedError } from "#raft/types.ts";
import type { ClusterState } from "./cluster-state.ts";
import { withDecision, withMember, withoutMember } from "./cluster-state.ts";
import { noLeaderError, timeoutError } from "./errors.ts";
import type { Frame } from "./frames.ts";
import { encodeFrame } from "./frames.ts";
import { formatMemberId, newMemberId, parseMemberId } from "./member-id.ts";
import type { Replica } from "./replica.ts";
import type { RoleMember } from "./roles.ts";
import { planRoles, toConfChange } from "./roles.ts";
import type {
  JoinGrant,
  MemberRecord,
  ReplicaMemberStatus,
  ReplicaRole,
  ReplicaStatus,
  RoleTargets,
} from "./types.ts";

/** What the leader tells everybody. */
interface Report {
  term: number;
  leader: string;
  revision: number;
  committedIndex: number;
  members: { id: string; role: ReplicaRole; online: boolean; lagEntries: number }[];
  cluster: ClusterState;
  /** A past state and its checksum: whoever has another one at this index has diverged. */
  checksum: { index: number; value: number } | undefined;
  failuresToQuorumLoss: number;
}

export interface NewMember extends Omit<MemberRecord, "id" | "witness"> {
  id?: string;
  witness?: boolean;
}

export type MemberUpdate = Partial<Omit<MemberRecord, "id">>;

const reportMs = 500;
const offlineMs = 3000;
/** Raft itself gives a transfer up after an election timeout. */
const transferMs = 1500;
const caughtUpEntries = 1000;
const keptChecksums = 64;

export class Governor {
  readonly #replica: Replica;
  readonly #targets: RoleTargets;
  readonly #historyMs: number;
  readonly #seeds: ClusterState;
  readonly #onDiverged: (error: Error) => void;
  #report: { report: Report; receivedMs: number } | undefined;
  #reportedMs = -Infinity;
  #changedMs: number;
  #busy = false;
  /** Revisions and when they were reached, by this leader's clock. */
  #past: { revision: number; atMs: number }[] = [];
  readonly #checksums = new Map<number, number>();

  constructor(
    replica: Replica,
    options: {
      targets: RoleTargets;
      historyMs: number;
      /** The cluster as it was told when this node joined. */
      seeds: ClusterState;
      onDiverged: (error: Error) => void;
    },
  ) {
    this.#seeds = options.seeds;
    this.#replica = replica;
    this.#targets = options.targets;
    this.#historyMs = options.historyMs;
    this.#onDiverged = options.onDiverged;
    this.#changedMs = replica.ports.clock.monotonicMs();
  }

  /** True while this replica has, or is being sent, a copy of the state. A spare answers through others. */
  get replicates(): boolean {
    const own = formatMemberId(this.#replica.id);
    const fresh = this.#freshReport();
    const told = fresh?.members.find((member) => member.id === own)?.role;
    if (
      told === "spare" &&
      fresh !== undefined &&
      fresh.committedIndex >= this.#replica.store.position.index
    ) {
      return false;
    }
    const { voters, learners, votersOutgoing } = this.#replica.confState;
    return [...voters, ...learners, ...votersOutgoing].includes(this.#replica.id);
  }

  /** Members that could serve a spare, the leader first. */
  helpers(): NodeId[] {
    const cluster = this.#freshReport()?.cluster ?? this.cluster();
    const leader = this.#report?.report.leader;
    const spares = new Set(
      this.#report?.report.members.filter(({ role }) => role === "spare").map(({ id }) => id),
    );
    return cluster.members
      .filter(({ id }) => parseMemberId(id) !== this.#replica.id && !spares.has(id))
      .toSorted((a, b) => Number(b.id === leader) - Number(a.id === leader))
      .map(({ id }) => parseMemberId(id));
  }

  cluster(): ClusterState {
    const own = this.#replica.cluster;
    const told = this.#report?.report.cluster;
    if (told !== undefined && (own === undefined || !this.replicates)) return told;
    return own ?? this.#seeds;
  }

  onTick(): void {
    const now = this.#replica.ports.clock.monotonicMs();
    this.#noteChecksum();
    if (!this.#replica.leadership.leading) {
      this.#past = [];
      return;
    }
    this.#planRoles(now);
    if (now - this.#reportedMs < reportMs) return;
    this.#reportedMs = now;
    this.#sendReport();
    this.#compactHistory();
  }

  onFrame(_from: NodeId, frame: Frame, reply: (frame: Uint8Array) => void): void {
    if (frame.type !== "report") return;
    const report = JSON.parse(frame.text) as Report;
    if (report.term < this.#replica.raftStatus.hardState.term && this.replicates) return;
    this.#report = { report, receivedMs: this.#replica.ports.clock.monotonicMs() };
    reply(encodeFrame({ type: "alive", text: "" }));
    this.#replica.ports.transport.setPeers(
      report.cluster.members
        .map(({ id, address, name }) => ({ id: parseMemberId(id), address, name }))
        .filter((peer) => peer.id !== this.#replica.id),
    );
    this.#compareChecksum(report);
  }

  // What follows is executed on the leader; `admin.ts` brings the calls here.

  async addMember(wanted: NewMember): Promise<JoinGrant> {
    const member: MemberRecord = {
      witness: false,
      ...wanted,
      id: wanted.id ?? newMemberId(this.#replica.ports.random),
    };
    await this.#changeCluster((cluster) => withMember(cluster, member));
    const { clusterId, members } = this.cluster();
    return { clusterId, member, peers: members };
  }

  /** A node whose copy was damaged comes back with a new id and nothing else: its old self is removed. Idempotent. */
  async replaceMember(oldId: string, member: MemberRecord): Promise<JoinGrant> {
    if (this.cluster().members.some(({ id }) => id === member.id)) {
      const { clusterId, members } = this.cluster();
      return { clusterId, member, peers: members };
    }
    await this.removeMember(oldId);
    return this.addMember(member);
  }

  async updateMember(id: string, change: MemberUpdate): Promise<void> {
    await this.#changeCluster((cluster) => {
      const member = cluster.members.find((each) => each.id === id);
      if (member === undefined) throw new StatusError("NotFound", `there is no member ${id}`);
      return withMember(cluster, { ...member, ...change, id });
    });
  }

  async removeMember(id: string): Promise<void> {
    const node = parseMemberId(id);
    const { voters } = this.#replica.confState;
    if (!this.cluster().members.some((member) => member.id === id)) return;
    if (voters.length === 1 && voters[0] === node) {
      throw new StatusError(
        "Conflict",
        "the only voter can't be removed: let another node become voter first",
      );
    }
    if (node === this.#replica.id) {
      throw new StatusError("Conflict", "the leader can't remove itself: leadership is handed over first");
    }
    await this.#exclusively(async () => {
      await this.#waitWhileJoint();
      if (this.#roleOf(node) !== "spare") {
        await this.#changeConfiguration({
          transition: "auto",
          changes: [{ type: "remove", nodeId: node }],
          context: new Uint8Array(0),
        });
      }
      await this.#writeCluster((cluster) => withoutMember(cluster, id));
    });
  }

  async transferLeadership(to?: string): Promise<void> {
    const target = to === undefined ? this.#replica.bestSuccessor() : parseMemberId(to);
    if (target === undefined) throw new StatusError("Conflict", "there is no other voter that could lead");
    if (target === this.#replica.id) return;
    if (!this.#replica.confState.voters.includes(target)) {
      throw new StatusError("Conflict", "only a voter can lead");
    }
    this.#replica.transferLeadership(target);
    await this.#until(() => this.#replica.raftStatus.softState.leader === target, transferMs);
  }

  status(): ReplicaStatus {
    const { store, log, trouble } = this.#replica;
    const { hardState, softState } = this.#replica.raftStatus;
    const report = this.#replica.leadership.leading ? this.#makeReport() : this.#freshReport();
    const cluster = this.cluster();
    const failures = report?.failuresToQuorumLoss ?? -1;
    const leader = softState.leader === 0 ? report?.leader : formatMemberId(softState.leader);
    return {
      ready: leader !== undefined && report !== undefined && trouble === undefined,
      clusterId: cluster.clusterId,
      memberId: formatMemberId(this.#replica.id),
      leaderId: leader,
      term: Math.max(hardState.term, report?.term ?? 0),
      revision: this.replicates ? store.revision : (report?.revision ?? 0),
      compactRevision: store.compactRevision,
      appliedIndex: store.position.index,
      committedIndex: Math.max(hardState.commit, report?.committedIndex ?? 0),
      databaseBytes: store.databaseBytes,
      logBytes: log.diskBytes,
      failuresToQuorumLoss: failures,
      highlyAvailable: failures >= 1,
      members: cluster.members.map((member) => {
        const seen = report?.members.find((each) => each.id === member.id);
        return {
          ...member,
          role: seen?.role ?? this.#roleOf(parseMemberId(member.id)),
          online: seen?.online ?? member.id === formatMemberId(this.#replica.id),
          lagEntries: seen?.lagEntries ?? -1,
          isLeader: member.id === leader,
        };
      }),
      decisions: cluster.decisions,
      trouble,
    };
  }

  backendStatus(): BackendStatus {
    const { ready, memberId, leaderId, term, revision, appliedIndex, committedIndex, ...rest } =
      this.status();
    const members: MemberStatus[] = rest.members.map(withoutWitness);
    const { compactRevision, databaseBytes } = rest;
    return {
      ready,
      memberId,
      leaderId,
      term,
      revision,
      appliedIndex,
      committedIndex,
      compactRevision,
      databaseBytes,
      members,
    };
  }

  #planRoles(now: number): void {
    const { voters, votersOutgoing } = this.#replica.confState;
    if (this.#busy) return;
    const joint = votersOutgoing.length > 0;
    const change = planRoles({
      members: this.#roleMembers(now),
      targets: this.#targets,
      changing: joint || voters.length === 0,
      sinceChangeMs: now - this.#changedMs,
    });
    if (change === undefined) return;
    this.#changedMs = now;
    this.#replica.ports.logger.info("roles change", { decision: change.text });
    void this.#exclusively(async () => {
      await this.#changeConfiguration(toConfChange(change, parseMemberId));
      const { clock } = this.#replica.ports;
      const { term } = this.#replica.leadership;
      await this.#writeCluster((cluster) =>
        withDecision(cluster, { timeMs: clock.nowMs(), term, text: change.text }),
      );
    }).catch((error: unknown) => {
      this.#replica.ports.logger.warn("a change of roles was not completed", { error: String(error) });
    });
  }

  #roleMembers(now: number): RoleMember[] {
    const { progress, hardState } = this.#replica.raftStatus;
    return this.cluster().members.map((member) => {
      const id = parseMemberId(member.id);
      const isLeader = id === this.#replica.id;
      const match = progress.get(id)?.match ?? 0;
      return {
        id: member.id,
        name: member.name,
        role: this.#roleOf(id),
        silentMs: isLeader ? 0 : now - this.#heardMs(id),
        caughtUp: isLeader || (match > 0 && match + caughtUpEntries >= hardState.commit),
        failureDomain: member.failureDomain,
        witness: member.witness,
        isLeader,
      };
    });
  }

  /** A new leader has heard from nobody; it gives everyone the benefit of the time since it leads. */
  #heardMs(id: NodeId): number {
    const { heardMs, ports } = this.#replica;
    let heard = heardMs.get(id);
    if (heard === undefined) heardMs.set(id, (heard = ports.clock.monotonicMs()));
    return heard;
  }

  #roleOf(id: NodeId): ReplicaRole {
    const { voters, learners, learnersNext, votersOutgoing } = this.#replica.confState;
    if (voters.includes(id)) return "voter";
    if (learners.includes(id) || learnersNext.includes(id)) return "standby";
    return votersOutgoing.includes(id) ? "voter" : "spare";
  }

  #sendReport(): void {
    const text = JSON.stringify(this.#makeReport());
    for (const member of this.cluster().members) {
      const id = parseMemberId(member.id);
      if (id !== this.#replica.id) this.#replica.send(id, "raft", { type: "report", text });
    }
  }

  #makeReport(): Report {
    const now = this.#replica.ports.clock.monotonicMs();
    const { progress, hardState } = this.#replica.raftStatus;
    const last = this.#replica.log.lastIndex;
    const cluster = this.cluster();
    const members = cluster.members.map(({ id }) => {
      const node = parseMemberId(id);
      const own = node === this.#replica.id;
      const match = progress.get(node)?.match;
      return {
        id,
        role: this.#roleOf(node),
        online: own || now - this.#heardMs(node) < offlineMs,
        lagEntries: own ? 0 : match === undefined ? -1 : Math.max(last - match, 0),
      };
    });
    const voters = members.filter((member) => member.role === "voter");
    const online = voters.filter((member) => member.online).length;
    const newest = [...this.#checksums].at(-1);
    return {
      term: hardState.term,
      leader: formatMemberId(this.#replica.id),
      revision: this.#replica.store.revision,
      committedIndex: hardState.commit,
      members,
      cluster,
      checksum: newest === undefined ? undefined : { index: newest[0], value: newest[1] },
      failuresToQuorumLoss: online - (Math.floor(voters.length / 2) + 1),
    };
  }

  #freshReport(): Report | undefined {
    const held = this.#report;
    if (held === undefined) return undefined;
    return this.#replica.ports.clock.monotonicMs() - held.receivedMs < offlineMs ? held.report : undefined;
  }

  /** The last states, as they are seen at ticks. Idle replicas stop at the same index, so they meet there. */
  #noteChecksum(): void {
    const { index, checksum } = this.#replica.store.position;
    this.#checksums.delete(index);
    this.#checksums.set(index, checksum);
    const oldest = this.#checksums.keys().next().value;
    if (this.#checksums.size > keptChecksums && oldest !== undefined) this.#checksums.delete(oldest);
  }

  #compareChecksum(report: Report): void {
    if (report.checksum === undefined || !this.replicates) return;
    const own = this.#checksums.get(report.checksum.index);
    if (own === undefined || own === report.checksum.value) return;
    this.#onDiverged(
      new FatalError(
        "corrupt",
        `this replica's state differs from the leader's at index ${report.checksum.index}`,
      ),
    );
  }

  #compactHistory(): void {
    if (this.#historyMs === 0) return;
    const { clock } = this.#replica.ports;
    const { revision, compactRevision } = this.#replica.store;
    const now = clock.monotonicMs();
    const last = this.#past.at(-1);
    if (last === undefined || now - last.atMs >= this.#historyMs / 10)
      this.#past.push({ revision, atMs: now });
    const old = this.#past[0];
    if (old === undefined || now - old.atMs < this.#historyMs) return;
    this.#past.shift();
    if (old.revision <= compactRevision) return;
    this.#replica.compact(old.revision).catch((error: unknown) => {
      this.#replica.ports.logger.debug("compaction is tried again later", { error: String(error) });
    });
  }

  async #changeCluster(change: (cluster: ClusterState) => ClusterState): Promise<void> {
    await this.#exclusively(async () => this.#writeCluster(change));
    this.#reportedMs = -Infinity;
  }

  async #writeCluster(change: (cluster: ClusterState) => ClusterState): Promise<void> {
    const value = JSON.stringify(change(this.cluster()));
    const timeMs = this.#replica.ports.clock.nowMs();
    await this.#replica.propose({ type: "note", timeMs, name: "cluster", value });
  }

  /** Proposes and waits until the change is applied and the configuration is no longer joint. */
  async #changeConfiguration(change: ConfChange): Promise<void> {
    const before = JSON.stringify(this.#replica.confState);
    try {
      this.#replica.proposeConfChange(change);
    } catch (error) {
      if (error instanceof ProposalDroppedError) {
        throw new StatusError(
          "ServiceUnavailable",
          `the datastore can't change its members now: ${error.message}`,
        );
      }
      throw error;
    }
    await this.#until(() => JSON.stringify(this.#replica.confState) !== before, 5000);
    await this.#waitWhileJoint();
    this.#changedMs = this.#replica.ports.clock.monotonicMs();
  }

  async #waitWhileJoint(): Promise<void> {
    await this.#until(() => this.#replica.confState.votersOutgoing.length === 0, 5000);
  }

  /** One change of the cluster at a time, in the order of calls. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    await this.#until(() => !this.#busy, 10_000);
    this.#busy = true;
    try {
      if (!this.#replica.leadership.leading) throw noLeaderError();
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  async #until(condition: () => boolean, timeoutMs: number): Promise<void> {
    const { clock } = this.#replica.ports;
    const deadline = clock.monotonicMs() + timeoutMs;
    while (!condition()) {
      if (this.#replica.stopped || clock.monotonicMs() > deadline) throw timeoutError();
      await new Promise<void>((resolve) => {
        clock.setTimer(10, resolve);
      });
    }
  }
}

function withoutWitness(member: ReplicaMemberStatus): MemberStatus {
  const { id, name, address, role, online, lagEntries, failureDomain, isLeader, apiAddress } = member;
  return { id, name, address, role, online, lagEntries, failureDomain, isLeader, apiAddress };
}
