/**
 * What a replica does as a member of its cluster: the leader reports who is alive and carries out role
 * changes and admissions; the others take its reports in. It works on a `Replica` and decides nothing
 * about consensus; which role change is due is decided in `roles.ts`, what is seen is in `cluster-view.ts`.
 */

import { StatusError } from "#base/errors.ts";
import type { NodeId } from "#raft/types.ts";
import { ClusterChanges } from "./cluster-changes.ts";
import type { ClusterState } from "../cluster-state.ts";
import type { ClusterView } from "./cluster-view.ts";
import { CopyLosses } from "../damage/damaged-copy.ts";
import { noLeaderError } from "../errors.ts";
import { withDecision, withMember, withoutMember, withVoters } from "../cluster-state.ts";
import type { Frame } from "../peers/frames.ts";
import { encodeFrame } from "../peers/frames.ts";
import { HistoryKeeper } from "./history-keeper.ts";
import { formatMemberId, newMemberId, parseMemberId } from "../member-id.ts";
import { readReport } from "../peers/peer-json.ts";
import type { Reply } from "../ports.ts";
import type { Replica } from "../replica.ts";
import { bestStandby } from "./role-candidates.ts";
import type { RoleChange, RoleView } from "./roles.ts";
import { planRemoval, planRoles, toConfChange } from "./roles.ts";
import type { JoinGrant, MemberRecord, ReplicaRole, RoleTargets } from "../types.ts";

export interface NewMember extends Omit<MemberRecord, "id" | "witness"> {
  id?: string;
  witness?: boolean;
}

export type MemberUpdate = Partial<Omit<MemberRecord, "id">>;

const reportMs = 500;
/** Raft itself gives a transfer up after an election timeout. */
const transferMs = 1500;
const demotionMs = 3000;
/** A new leader has heard from everybody who is there by then. */
const settlingMs = 4000;
const caughtUpEntries = 1000;

export class Governor {
  readonly #replica: Replica;
  readonly #targets: RoleTargets;
  readonly #view: ClusterView;
  readonly #onDiverged: (error: Error) => void;
  readonly #changes: ClusterChanges;
  readonly #history: HistoryKeeper;
  #reportedMs = -Infinity;
  #changedMs: number;
  /** The term in which this replica leads; 0: it does not. */
  #reign = 0;
  #reignSinceMs = Infinity;
  #steppedAsideMs = -Infinity;
  readonly #losses = new CopyLosses();

  constructor(
    replica: Replica,
    view: ClusterView,
    options: { targets: RoleTargets; historyMs: number; onDiverged: (error: Error) => void },
  ) {
    this.#replica = replica;
    this.#view = view;
    this.#targets = options.targets;
    this.#onDiverged = options.onDiverged;
    this.#changes = new ClusterChanges(replica, () => view.cluster());
    this.#history = new HistoryKeeper(replica, options.historyMs);
    this.#changedMs = replica.ports.clock.monotonicMs();
  }

  onTick(): void {
    const now = this.#replica.ports.clock.monotonicMs();
    const { index, checksum } = this.#replica.store.position;
    this.#view.divergence.note(index, checksum);
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

  onFrame(from: NodeId, frame: Frame, reply: Reply): void {
    if (frame.type !== "report") return;
    const report = readReport(frame.text);
    // Nobody speaks for another: whoever is believed says who the peers are.
    if (parseMemberId(report.leader) !== from) return;
    if (report.term < this.#replica.raftStatus.hardState.term && this.#view.replicates) return;
    this.#view.take(report);
    reply(encodeFrame({ type: "alive", text: "" }));
    this.#replica.ports.transport.setPeers(
      report.cluster.members
        .map(({ id, address, name }) => ({ id: parseMemberId(id), address, name }))
        .filter((peer) => peer.id !== this.#replica.id),
    );
    const diverged = this.#view.replicates ? this.#view.divergence.compare(report.checksum) : undefined;
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
    const { clusterId, members } = this.#view.cluster();
    return { clusterId, member, peers: members };
  }

  /** A node whose copy was damaged comes back with a new id and nothing else: its old self is removed. Idempotent. */
  async replaceMember(oldId: string, member: MemberRecord): Promise<JoinGrant> {
    if (this.#view.cluster().members.some(({ id }) => id === member.id)) {
      const { clusterId, members } = this.#view.cluster();
      return { clusterId, member, peers: members };
    }
    // One that is damaged again before it has its new copy knows only its first self.
    const former = this.#view
      .cluster()
      .members.filter(({ id, name }) => id === oldId || name === member.name);
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
    if (!this.#view.cluster().members.some((member) => member.id === id)) return;
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
      const changes = this.#view.roleOf(node) === "spare" ? [] : plan();
      if (changes.length > 0) {
        await this.#changes.configure(toConfChange(changes, parseMemberId));
        this.#changedMs = this.#replica.ports.clock.monotonicMs();
      }
      await this.#changes.writeCluster((cluster) => withoutMember(cluster, id));
    });
  }

  /** Whether a member whose copy is damaged may give it up now. A new leader does not know whom the last one told so. */
  mayLoseCopy(id: string): boolean {
    const { clock } = this.#replica.ports;
    const nowMs = clock.monotonicMs();
    if (!this.#replica.leadership.leading) throw noLeaderError();
    if (nowMs - this.#reignSinceMs < settlingMs) return false;
    return this.#losses.allow(id, this.#roleView().members, nowMs);
  }

  async setVoters(voters: number): Promise<void> {
    const { clock } = this.#replica.ports;
    await this.#changeCluster((cluster) => {
      if (this.#view.voterTarget(cluster) === voters) return cluster;
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
      const { name } = this.#view.cluster().members.find((member) => parseMemberId(member.id) === id) ?? {
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

  #noteReign(now: number): void {
    const { leading, term } = this.#replica.leadership;
    const reign = leading ? term : 0;
    if (reign === this.#reign) return;
    this.#reign = reign;
    this.#history.forget();
    if (reign === 0) return;
    this.#view.attendance.begin(now);
    this.#reignSinceMs = this.#changedMs = now;
  }

  #noteAttendance(now: number): void {
    const ids = this.#view.cluster().members.map(({ id }) => parseMemberId(id));
    for (const id of ids) this.#view.attendance.note(id, this.#replica.heardMs.get(id), now);
    this.#view.attendance.keep(new Set(ids));
  }

  /** A witness leads only as long as no other voter can. */
  #stepsAside(now: number): boolean {
    const own = formatMemberId(this.#replica.id);
    const { members } = this.#view.cluster();
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
    const cluster = this.#view.cluster();
    const members = cluster.members.map((member) => {
      const id = parseMemberId(member.id);
      const isLeader = id === this.#replica.id;
      const match = progress.get(id)?.match ?? 0;
      const { silentMs, stableMs, outages } = this.#view.attendance.presence(id, now);
      return {
        id: member.id,
        name: member.name,
        role: this.#view.roleOf(id),
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
      targets: { ...this.#targets, voters: this.#view.voterTarget(cluster) },
      changing: votersOutgoing.length > 0 || voters.length === 0,
      sinceChangeMs: now - this.#changedMs,
    };
  }

  #withRole(role: ReplicaRole) {
    return this.#roleView().members.filter((member) => member.role === role);
  }

  #sendReport(): void {
    const text = JSON.stringify(this.#view.ownReport());
    for (const member of this.#view.cluster().members) {
      const id = parseMemberId(member.id);
      if (id !== this.#replica.id) this.#replica.send(id, "raft", { type: "report", text });
    }
  }

  async #changeCluster(change: (cluster: ClusterState) => ClusterState): Promise<void> {
    await this.#changes.exclusively(async () => this.#changes.writeCluster(change));
    this.#reportedMs = -Infinity;
  }
}
