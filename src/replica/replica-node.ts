/**
 * A whole replica as it lives in its thread, or in a simulated machine: the core, its government, the
 * backend that the node serves, and the calls by which its owner changes the cluster.
 */

import type { Backend } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { Timer } from "#base/ports.ts";
import type { NodeId } from "#raft/types.ts";
import type { FormatRange } from "#store/format.ts";
import { supportedFormats } from "#store/format.ts";
import type { StateDirectory } from "#store/state-directory.ts";
import { BackupSource } from "./backup/backup-source.ts";
import { ClusterView } from "./roles/cluster-view.ts";
import { DamagedCopy } from "./damage/damaged-copy.ts";
import { noLeaderError } from "./errors.ts";
import type { MemberUpdate, NewMember } from "./roles/governor.ts";
import { Governor } from "./roles/governor.ts";
import { Lessor } from "./lessor.ts";
import { formatMemberId, parseMemberId } from "./member-id.ts";
import { NodeBackend } from "./session/node-backend.ts";
import { readAdminMessage } from "./peers/peer-json.ts";
import type { ReplicaPorts } from "./ports.ts";
import { Replica } from "./replica.ts";
import type { ReplicaConfig } from "./replica-config.ts";
import { defaultConfig } from "./replica-config.ts";
import { StatusFeed } from "./status-feed.ts";
import type { JoinGrant, MemberRecord, ReplicaStatus, ReplicaSurvey, RoleTargets } from "./types.ts";

/** What the cluster's members can be asked to do; executed by the leader. */
export interface AdminCalls {
  addMember: [NewMember];
  updateMember: [string, MemberUpdate];
  removeMember: [string];
  replaceMember: [string, MemberRecord];
  transferLeadership: [string?];
  setVoters: [number];
}

export type AdminMethod = keyof AdminCalls;

/** A call on its way to the leader. */
export interface AdminMessage {
  method: AdminMethod;
  args: unknown[];
  /** Already by a member that does not lead: once is enough. */
  passedOn?: boolean;
}

export interface ReplicaNodeOptions {
  config: Partial<ReplicaConfig> & { memberId: string };
  ports: ReplicaPorts;
  targets?: Partial<RoleTargets>;
  historyMs?: number;
  /** Who can be asked before this replica has a state of its own. */
  peers?: MemberRecord[];
  clusterId: string;
  onFatal(error: Error): void;
}

export const defaultTargets: RoleTargets = { voters: 3, standbys: 3, unresponsiveMs: 10_000 };
export const defaultHistoryMs = 300_000;

/** Writes the first state of a new cluster: one voter, entry 1 applied, in the newest format that its only member knows. */
export function bootstrapState(
  state: StateDirectory,
  clusterId: string,
  member: MemberRecord,
  formats: FormatRange = supportedFormats,
): void {
  const store = state.open();
  const confState = {
    voters: [parseMemberId(member.id)],
    learners: [],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
  store.batch(() => {
    store.apply(1, 1, undefined);
    store.setNote("received", "1");
    store.setNote("format", String(formats.max));
    store.setNote("confState", JSON.stringify(confState));
    store.setNote("cluster", JSON.stringify({ clusterId, members: [member], removed: [], decisions: [] }));
  });
  store.flush();
  store.close();
}

export class ReplicaNode {
  readonly replica: Replica;
  readonly view: ClusterView;
  readonly governor: Governor;
  readonly backend: Backend;
  readonly backups: BackupSource;
  readonly #backend: NodeBackend;
  readonly #lessor: Lessor;
  readonly #options: ReplicaNodeOptions;
  #statusFeed: StatusFeed | undefined;
  #timer: Timer | undefined;
  #asked = 0;

  constructor(options: ReplicaNodeOptions) {
    this.#options = options;
    this.replica = new Replica({ ...defaultConfig, ...options.config }, options.ports, {
      onFrame: (from, frame, reply) => {
        if (frame.type === "session") this.#backend.onFrame(from, frame, reply);
        else this.governor.onFrame(from, frame, reply);
      },
      onPeerLost: (peer) => this.#backend.onPeerLost(peer),
      onTick: () => {
        this.governor.onTick();
        this.#lessor.onTick();
        this.#statusFeed?.tick(this.replica.ports.clock.monotonicMs());
      },
      onChange: () => this.#statusFeed?.ask(),
      handlers: {
        admin: (_, body) => this.#onAdmin(body),
        backup: (_, body) => this.backups.serve(body),
        loseCopy: (from) => Buffer.from(String(this.governor.mayLoseCopy(formatMemberId(from)))),
        lease: (_, body) => this.#lessor.serve(body),
        probe: () => new Uint8Array(0),
      },
      onDamage: (error) => damaged.found(error),
      onFatal: (error) => options.onFatal(error),
    });
    const end = (error: Error) => {
      this.replica.stop();
      options.onFatal(error);
    };
    const { clock, logger } = options.ports;
    const damaged = new DamagedCopy({
      clock,
      logger,
      mayLoseCopy: () => this.#mayLoseCopy(),
      handOver: async () => {
        if (this.replica.leadership.leading) await this.governor.handOver();
      },
      isStopped: () => this.replica.stopped,
      copy: () => this.replica.store,
      giveUp: end,
    });
    const targets = { ...defaultTargets, ...options.targets };
    const { clusterId, peers: members = [] } = options;
    this.view = new ClusterView(this.replica, { clusterId, members, removed: [], decisions: [] }, targets);
    this.governor = new Governor(this.replica, this.view, {
      targets,
      historyMs: options.historyMs ?? defaultHistoryMs,
      onDiverged: end,
    });
    this.#lessor = new Lessor(this.replica);
    this.#backend = new NodeBackend(this.replica, this.view, this.#lessor);
    this.backend = this.#backend;
    this.backups = new BackupSource(this.replica, this.view);
  }

  start(): void {
    const { transport } = this.#options.ports;
    const seeds = (this.#options.peers ?? []).map(({ id, address, name }) => ({
      id: parseMemberId(id),
      address,
      name,
    }));
    transport.setPeers(seeds.filter((peer) => peer.id !== this.replica.id));
    this.replica.start();
    this.#arm();
  }

  /** Asks the leader, wherever it is, waiting for one as long as the deadline allows. */
  async admin<M extends AdminMethod>(method: M, ...args: AdminCalls[M]): Promise<unknown> {
    const { clock } = this.#options.ports;
    const deadline = clock.monotonicMs() + this.replica.config.timeoutMs;
    for (;;) {
      try {
        return await this.#adminOnce(method, args);
      } catch (error) {
        const again = error instanceof StatusError && error.reason === "ServiceUnavailable";
        if (!again || this.replica.stopped || clock.monotonicMs() > deadline) throw error;
      }
      await new Promise<void>((resolve) => {
        clock.setTimer(100, resolve);
      });
    }
  }

  async members(): Promise<MemberRecord[]> {
    return this.view.cluster().members;
  }

  status(): ReplicaStatus {
    return this.view.status();
  }

  /** Told at once and at every change but those of revisions and lags; see `ReplicaHandle.onStatus`. */
  onStatus(callback: (status: ReplicaStatus) => void): void {
    this.#statusFeed = new StatusFeed(() => this.status(), callback);
  }

  survey(): ReplicaSurvey {
    const { raftStatus, log, store, confState } = this.replica;
    const { index, term, revision } = store.position;
    const { lastIndex } = log;
    const { members, clusterId } = this.view.cluster();
    const { ready, leaderId } = this.view.status();
    const voters = new Set([...confState.voters, ...confState.votersOutgoing]);
    return {
      memberId: formatMemberId(this.replica.id),
      clusterId,
      lastIndex: Math.max(lastIndex, index),
      lastTerm: lastIndex > index ? log.term(lastIndex) : term,
      term: raftStatus.hardState.term,
      committedIndex: raftStatus.hardState.commit,
      revision,
      voters: members.map(({ id }) => id).filter((id) => voters.has(parseMemberId(id))),
      members,
      ready,
      leaderId,
    };
  }

  /** Hands leadership over first, if there is anybody to take it. */
  async stop(): Promise<void> {
    if (this.replica.stopped) return;
    if (this.replica.leadership.leading && this.view.cluster().members.length > 1) {
      await this.governor.handOver().catch((error: unknown) => {
        this.#options.ports.logger.warn("leadership was not handed over", { error: String(error) });
      });
    }
    this.#timer?.cancel();
    await this.#backend.close();
    this.backups.close();
    this.replica.stop();
  }

  /** As in a crash: nothing is handed over, nothing is finished. */
  kill(): void {
    this.#timer?.cancel();
    this.replica.stop();
  }

  async #mayLoseCopy(): Promise<boolean> {
    const { replica } = this;
    if (replica.leadership.leading) return this.governor.mayLoseCopy(formatMemberId(replica.id));
    const leader = this.#leader();
    if (leader === undefined) throw noLeaderError();
    const answer = await replica.calls.call(leader, "loseCopy", new Uint8Array(0), replica.config.timeoutMs);
    return Buffer.from(answer).toString() === "true";
  }

  #arm(): void {
    this.#timer = this.#options.ports.clock.setTimer(1000, () => {
      if (this.replica.stopped) return;
      this.#backend.tick();
      this.backups.tick();
      this.#arm();
    });
  }

  async #adminOnce(method: AdminMethod, args: unknown[]): Promise<unknown> {
    if (this.replica.leadership.leading) {
      if (!this.#removesSelf(method, args)) return this.#execute(method, args);
      await this.governor.handOver();
    }
    const leader = this.#leader() ?? this.#anyMember();
    if (leader === undefined || leader === this.replica.id) throw noLeaderError();
    const answer = await this.#askOther(leader, { method, args });
    const text = Buffer.from(answer).toString("utf8");
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }

  #askOther(member: NodeId, call: AdminMessage): Promise<Uint8Array> {
    const body = Buffer.from(JSON.stringify(call));
    return this.replica.calls.call(member, "admin", body, this.replica.config.timeoutMs);
  }

  #removesSelf(method: AdminMethod, args: unknown[]): boolean {
    return method === "removeMember" && parseMemberId(args[0] as string) === this.replica.id;
  }

  #leader(): NodeId | undefined {
    const { leader } = this.replica.raftStatus.softState;
    if (leader !== 0) return leader;
    const told = this.view.status().leaderId;
    return told === undefined ? undefined : parseMemberId(told);
  }

  /**
   * Who is no member yet is told nothing, and a member that has moved may reach others than the leader: they
   * ask one after the other.
   */
  #anyMember(): NodeId | undefined {
    const others = this.view.cluster().members.filter(({ id }) => parseMemberId(id) !== this.replica.id);
    const member = others[this.#asked++ % Math.max(others.length, 1)];
    return member === undefined ? undefined : parseMemberId(member.id);
  }

  async #onAdmin(body: Uint8Array): Promise<Uint8Array> {
    const call = readAdminMessage(body);
    const { method, args, passedOn = false } = call;
    if (!this.replica.leadership.leading) {
      const { leader } = this.replica.raftStatus.softState;
      if (passedOn || leader === 0 || leader === this.replica.id) throw noLeaderError();
      return this.#askOther(leader, { ...call, passedOn: true });
    }
    if (this.#removesSelf(method, args)) {
      await this.governor.handOver();
      // The caller asks again, and then asks the new leader.
      throw noLeaderError();
    }
    const result = await this.#execute(method, args);
    return result === undefined ? new Uint8Array(0) : Buffer.from(JSON.stringify(result));
  }

  async #execute(method: AdminMethod, args: unknown[]): Promise<unknown> {
    switch (method) {
      case "addMember":
        return this.governor.addMember(args[0] as NewMember) satisfies Promise<JoinGrant>;
      case "updateMember":
        return this.governor.updateMember(args[0] as string, args[1] as MemberUpdate);
      case "removeMember":
        return this.governor.removeMember(args[0] as string);
      case "replaceMember":
        return this.governor.replaceMember(args[0] as string, args[1] as MemberRecord);
      case "setVoters":
        return this.governor.setVoters(args[0] as number);
      case "transferLeadership":
        return this.governor.transferLeadership((args[0] as string | null) ?? undefined);
      default:
        throw new StatusError("NotImplemented", `unknown call ${String(method)}`);
    }
  }
}
