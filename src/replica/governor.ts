/**
 * What a replica does as a member of its cluster: the leader reports who is alive and carries out role
 * changes and admissions; the others keep its last report. It works on a `Replica` and decides nothing
 * about consensus; which role change is due is decided in `roles.ts`.
 */

import type { BackendStatus, MemberStatus } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { NodeId } from "#raft/types.ts";
import { Attendance, offlineMs } from "./attendance.ts";
import { ClusterChanges } from "./cluster-changes.ts";
import type { ClusterState } from "./cluster-state.ts";
import { withDecision, withMember, withoutMember, withVoters } from "./cluster-state.ts";
import { Divergence } from "./divergence.ts";
import type { Frame } from "./frames.ts";
import { encodeFrame } from "./frames.ts";
import { HistoryKeeper } from "./history-keeper.ts";
import { formatMemberId, newMemberId, parseMemberId } from "./member-id.ts";
import type { Reply } from "./ports.ts";
import type { Replica } from "./replica.ts";
import { bestStandby } from "./role-candidates.ts";
import type { RoleChange, RoleView } from "./roles.ts";
import { planRemoval, planRoles, toConfChange } from "./roles.ts";
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
/** Raft itself gives a transfer up after an election timeout. */
const transferMs = 1500;
const demotionMs = 3000;
const caughtUpEntries = 1000;

export class Governor {
  readonly #replica: Replica;
  readonly #targets: RoleTargets;
  readonly #seeds: ClusterState;
  readonly #onDiverged: (error: Error) => void;
  readonly #attendance = new Attendance();
  readonly #changes: ClusterChanges;
  readonly #divergence = new Divergence();
  readonly #history: HistoryKeeper;
  #report: { report: Report; receivedMs: number } | undefined;
  #reportedMs = -Infinity;
  #changedMs: number;
  /** The term in which this replica leads; 0: it does not. */
  #reign = 0;
  #steppedAsideMs = -Infinity;

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
    this.#onDiverged = options.onDiverged;
    this.#changes = new ClusterChanges(replica, () => this.cluster());
    this.#history = new HistoryKeeper(replica, options.historyMs);
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
    const { index, checksum } = this.#replica.store.position;
    this.#divergence.note(index, checksum);
    this.#noteReign(now);
    if (this.#reign === 0) return;
    this.#noteAttendance(now);
    if (this.#stepsAside(now)) return;
    this.#planRoles(now);
    if (now - this.#reportedMs < reportMs) return;
    this.#reportedMs = now;
    this.#sendReport();
    this.#history.tick();
  }

  onFrame(_from: NodeId, frame: Frame, reply: Reply): void {
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
    const diverged = this.replicates ? this.#divergence.compare(report.checksum) : undefined;
    if (diverged !== undefined) this.#onDiverged(diverged);
  }

  // What follows is executed on the leader; `replica-node.ts` brings the calls here.

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
    // One that is damaged again before it has its new copy knows only its first self.
    const former = this.cluster().members.filter(({ id, name }) => id === oldId || name === member.name);
    // Its vote is lost at once and comes back with the new copy: nobody else gives one up meanwhile.
    for (const { id } of former) await this.#remove(id, () => [{ type: "remove", id }]);
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
    await this.#remove(id, () => planRemoval(this.#roleView(), id));
  }

  async #remove(id: string, plan: () => RoleChange["changes"]): Promise<void> {
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
    await this.#changes.exclusively(async () => {
      await this.#changes.waitWhileJoint();
      const changes = this.#roleOf(node) === "spare" ? [] : plan();
      if (changes.length > 0) {
        await this.#changes.configure(toConfChange(changes, parseMemberId));
        this.#changedMs = this.#replica.ports.clock.monotonicMs();
      }
      await this.#changes.writeCluster((cluster) => withoutMember(cluster, id));
    });
  }

  async setVoters(voters: number): Promise<void> {
    const { clock } = this.#replica.ports;
    await this.#changeCluster((cluster) => {
      if (this.#voterTarget(cluster) === voters) return cluster;
      return withDecision(withVoters(cluster, voters), {
        timeMs: clock.nowMs(),
        term: this.#replica.leadership.term,
        reason: "VotersSet",
        subjects: [],
        text: `the cluster is to have ${voters} voters`,
      });
    });
  }

  /**
   * Leadership goes to another voter, or, where this replica is the only voter, to the best standby, which
   * becomes the only voter in its place. Conflict where nobody can take over.
   */
  async handOver(): Promise<void> {
    if (this.#replica.bestSuccessor() !== undefined) return this.transferLeadership();
    const { voters } = this.#replica.confState;
    const standby = voters.length === 1 ? bestStandby(this.#roleView(), this.#withRole("voter")) : undefined;
    if (standby === undefined)
      throw new StatusError(
        "Conflict",
        "no other node is ready to take over: none is online and has a full copy",
      );
    const { ports, id } = this.#replica;
    await this.#changes.exclusively(async () => {
      const { name } = this.cluster().members.find((member) => parseMemberId(member.id) === id) ?? {
        name: "",
      };
      // Two voters are more fragile than one: the next leader's first decision is to make one of them a standby.
      await this.#change({
        changes: [{ type: "addVoter", id: standby.id }],
        reason: "HandedOver",
        subjects: [standby.name, name],
        text: `${standby.name} became the voter in place of ${name}, which stops or leaves`,
      });
      await this.transferLeadership(standby.id);
    });
    await this.#changes
      .until(() => !this.#replica.confState.voters.includes(id), demotionMs)
      .catch(() => ports.logger.warn("this node was not yet made a standby when it stopped"));
  }

  async transferLeadership(to?: string): Promise<void> {
    const target = to === undefined ? this.#replica.bestSuccessor() : parseMemberId(to);
    if (target === undefined) throw new StatusError("Conflict", "there is no other voter that could lead");
    if (target === this.#replica.id) return;
    if (!this.#replica.confState.voters.includes(target)) {
      throw new StatusError("Conflict", "only a voter can lead");
    }
    this.#replica.transferLeadership(target);
    await this.#changes.until(() => {
      const { leader } = this.#replica.raftStatus.softState;
      return leader !== 0 && leader !== this.#replica.id;
    }, transferMs);
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
      voterTarget: this.#voterTarget(cluster),
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

  #noteReign(now: number): void {
    const { leading, term } = this.#replica.leadership;
    const reign = leading ? term : 0;
    if (reign === this.#reign) return;
    this.#reign = reign;
    this.#history.forget();
    if (reign === 0) return;
    this.#attendance.begin(now);
    this.#changedMs = now;
  }

  #noteAttendance(now: number): void {
    const ids = this.cluster().members.map(({ id }) => parseMemberId(id));
    for (const id of ids) this.#attendance.note(id, this.#replica.heardMs.get(id), now);
    this.#attendance.keep(new Set(ids));
  }

  /** A witness leads only as long as no other voter can. */
  #stepsAside(now: number): boolean {
    const own = formatMemberId(this.#replica.id);
    const { members } = this.cluster();
    if (members.find(({ id }) => id === own)?.witness !== true) return false;
    const successor = this.#replica.bestSuccessor();
    if (successor === undefined || now - this.#steppedAsideMs < transferMs) return false;
    const { name, witness } = members.find(({ id }) => parseMemberId(id) === successor) ?? { witness: true };
    if (witness) return false;
    this.#steppedAsideMs = now;
    this.#replica.ports.logger.info("a witness leads only where nobody else can: handing over", { to: name });
    this.#replica.transferLeadership(successor);
    return true;
  }

  #planRoles(now: number): void {
    if (this.#changes.busy) return;
    const change = planRoles(this.#roleView());
    if (change === undefined) return;
    this.#changedMs = now;
    void this.#changes
      .exclusively(() => this.#change(change))
      .catch((error: unknown) => {
        this.#replica.ports.logger.warn("a change of roles was not completed", { error: String(error) });
      });
  }

  async #change(change: RoleChange): Promise<void> {
    const { clock, logger } = this.#replica.ports;
    const { reason, subjects, text } = change;
    logger.info("roles change", { reason, decision: text });
    await this.#changes.configure(toConfChange(change.changes, parseMemberId));
    this.#changedMs = clock.monotonicMs();
    const { term } = this.#replica.leadership;
    await this.#changes.writeCluster((cluster) =>
      withDecision(cluster, { timeMs: clock.nowMs(), term, reason, subjects, text }),
    );
  }

  #roleView(): RoleView {
    const now = this.#replica.ports.clock.monotonicMs();
    const { progress, hardState } = this.#replica.raftStatus;
    const { voters, votersOutgoing } = this.#replica.confState;
    const cluster = this.cluster();
    const members = cluster.members.map((member) => {
      const id = parseMemberId(member.id);
      const isLeader = id === this.#replica.id;
      const match = progress.get(id)?.match ?? 0;
      const { silentMs, stableMs, outages } = this.#attendance.presence(id, now);
      return {
        id: member.id,
        name: member.name,
        role: this.#roleOf(id),
        silentMs: isLeader ? 0 : silentMs,
        stableMs,
        outages: isLeader ? 0 : outages,
        caughtUp: isLeader || (match > 0 && match + caughtUpEntries >= hardState.commit),
        failureDomain: member.failureDomain,
        witness: member.witness,
        isLeader,
      };
    });
    return {
      members,
      targets: { ...this.#targets, voters: this.#voterTarget(cluster) },
      changing: votersOutgoing.length > 0 || voters.length === 0,
      sinceChangeMs: now - this.#changedMs,
    };
  }

  #withRole(role: ReplicaRole) {
    return this.#roleView().members.filter((member) => member.role === role);
  }

  #voterTarget(cluster: ClusterState): number {
    return cluster.voters ?? this.#targets.voters;
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
        online: own || this.#attendance.presence(node, now).online,
        lagEntries: own ? 0 : match === undefined ? -1 : Math.max(last - match, 0),
      };
    });
    const voters = members.filter((member) => member.role === "voter");
    const online = voters.filter((member) => member.online).length;
    return {
      term: hardState.term,
      leader: formatMemberId(this.#replica.id),
      revision: this.#replica.store.revision,
      committedIndex: hardState.commit,
      members,
      cluster,
      checksum: this.#divergence.newest,
      failuresToQuorumLoss: online - (Math.floor(voters.length / 2) + 1),
    };
  }

  #freshReport(): Report | undefined {
    const held = this.#report;
    if (held === undefined) return undefined;
    return this.#replica.ports.clock.monotonicMs() - held.receivedMs < offlineMs ? held.report : undefined;
  }

  async #changeCluster(change: (cluster: ClusterState) => ClusterState): Promise<void> {
    await this.#changes.exclusively(async () => this.#changes.writeCluster(change));
    this.#reportedMs = -Infinity;
  }
}

function withoutWitness(member: ReplicaMemberStatus): MemberStatus {
  const { id, name, address, role, online, lagEntries, failureDomain, isLeader, apiAddress } = member;
  return { id, name, address, role, online, lagEntries, failureDomain, isLeader, apiAddress };
}
