/**
 * The cluster as this replica sees it: from its own copy, or, while it has none or lags, from the leader's
 * last report. On the leader it makes that report. It decides nothing and changes nothing.
 */

import type { BackendStatus, MemberStatus } from "#base/backend.ts";
import type { NodeId } from "#raft/types.ts";
import { Attendance, offlineMs } from "./attendance.ts";
import type { ClusterState } from "../cluster-state.ts";
import { Divergence } from "../damage/divergence.ts";
import { formatMemberId, parseMemberId } from "../member-id.ts";
import type { Replica } from "../replica.ts";
import type { ReplicaMemberStatus, ReplicaRole, ReplicaStatus, RoleTargets } from "../types.ts";

/** What the leader tells everybody. */
export interface Report {
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

export class ClusterView {
  readonly attendance = new Attendance();
  readonly divergence = new Divergence();
  readonly #replica: Replica;
  readonly #seeds: ClusterState;
  readonly #targets: RoleTargets;
  #held: { report: Report; receivedMs: number } | undefined;

  /** `seeds`: the cluster as it was told when this node joined. */
  constructor(replica: Replica, seeds: ClusterState, targets: RoleTargets) {
    this.#replica = replica;
    this.#seeds = seeds;
    this.#targets = targets;
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
    const leader = this.#held?.report.leader;
    const spares = new Set(
      this.#held?.report.members.filter(({ role }) => role === "spare").map(({ id }) => id),
    );
    return cluster.members
      .filter(({ id }) => parseMemberId(id) !== this.#replica.id && !spares.has(id))
      .toSorted((a, b) => Number(b.id === leader) - Number(a.id === leader))
      .map(({ id }) => parseMemberId(id));
  }

  cluster(): ClusterState {
    const own = this.#replica.cluster;
    const told = this.#held?.report.cluster;
    if (told !== undefined && (own === undefined || !this.replicates)) return told;
    return own ?? this.#seeds;
  }

  /** The leader's word. */
  take(report: Report): void {
    this.#held = { report, receivedMs: this.#replica.ports.clock.monotonicMs() };
  }

  status(): ReplicaStatus {
    const { store, log, trouble } = this.#replica;
    const { hardState, softState } = this.#replica.raftStatus;
    const report = this.#replica.leadership.leading ? this.ownReport() : this.#freshReport();
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
          role: seen?.role ?? this.roleOf(parseMemberId(member.id)),
          online: seen?.online ?? member.id === formatMemberId(this.#replica.id),
          lagEntries: seen?.lagEntries ?? -1,
          isLeader: member.id === leader,
        };
      }),
      voterTarget: this.voterTarget(cluster),
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

  voterTarget(cluster: ClusterState): number {
    return cluster.voters ?? this.#targets.voters;
  }

  roleOf(id: NodeId): ReplicaRole {
    const { voters, learners, learnersNext, votersOutgoing } = this.#replica.confState;
    if (voters.includes(id)) return "voter";
    if (learners.includes(id) || learnersNext.includes(id)) return "standby";
    return votersOutgoing.includes(id) ? "voter" : "spare";
  }

  /** The leader's own. */
  ownReport(): Report {
    const now = this.#replica.ports.clock.monotonicMs();
    const { progress, hardState } = this.#replica.raftStatus;
    const last = this.#replica.log.lastIndex;
    const cluster = this.cluster();
    const members = cluster.members.map(({ id }) => {
      const node = parseMemberId(id);
      const own = node === this.#replica.id;
      const match = progress.get(node)?.match;
      const online = own || this.attendance.presence(node, now).online;
      // A new leader knows nothing of who has been silent since before it led.
      const unknown = match === undefined || (match === 0 && !online);
      return {
        id,
        role: this.roleOf(node),
        online,
        lagEntries: own ? 0 : unknown ? -1 : Math.max(last - match, 0),
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
      checksum: this.divergence.newest,
      failuresToQuorumLoss: online - (Math.floor(voters.length / 2) + 1),
    };
  }

  #freshReport(): Report | undefined {
    const held = this.#held;
    if (held === undefined) return undefined;
    return this.#replica.ports.clock.monotonicMs() - held.receivedMs < offlineMs ? held.report : undefined;
  }
}

function withoutWitness(member: ReplicaMemberStatus): MemberStatus {
  const { id, name, address, role, online, lagEntries, failureDomain, isLeader, apiAddress } = member;
  return { id, name, address, role, online, lagEntries, failureDomain, isLeader, apiAddress };
}
