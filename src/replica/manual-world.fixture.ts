/** Several replicas in one thread under a clock that the test turns: same code as in the thread, no sockets, no waiting. */

import type { Clock, Random } from "#base/ports.ts";
import type { NodeId } from "#raft/types.ts";
import { MemoryStateDirectory } from "#store/state-directory.ts";
import { testLogger } from "./cluster.fixture.ts";
import { parseMemberId } from "./member-id.ts";
import { MemoryDisk } from "./log/memory-disk.fixture.ts";
import type { Peer, PeerTransportEvents } from "./ports.ts";
import type { ReplicaConfig } from "./replica-config.ts";
import { bootstrapState, ReplicaNode } from "./replica-node.ts";
import type { ReplicaNodeOptions } from "./replica-node.ts";
import type { JoinGrant, MemberRecord } from "./types.ts";

interface Machine {
  member: MemberRecord;
  disk: MemoryDisk;
  state: MemoryStateDirectory;
  peers: MemberRecord[];
  /** What this machine has of its own. */
  config: Partial<ReplicaConfig>;
  node: ReplicaNode | undefined;
  events: PeerTransportEvents | undefined;
  known: Set<NodeId>;
  fatal: Error[];
}

export class ManualWorld {
  readonly machines: Machine[] = [];
  /** Machines that hear and are heard by nobody. */
  readonly isolated = new Set<number>();
  /** Machines whose answers don't fit into what waits for their peers. */
  readonly unanswering = new Set<number>();
  readonly #options: Partial<ReplicaNodeOptions>;
  readonly #timers: { atMs: number; order: number; callback: () => void }[] = [];
  #nowMs = 1_000_000;
  #order = 0;
  #seed: number;

  constructor(seed = 1, options: Partial<ReplicaNodeOptions> = {}) {
    this.#seed = seed;
    this.#options = options;
  }

  readonly clock: Clock = {
    nowMs: () => this.#nowMs,
    monotonicMs: () => this.#nowMs,
    setTimer: (delayMs, callback) => {
      const timer = { atMs: this.#nowMs + Math.max(delayMs, 0), order: this.#order++, callback };
      this.#timers.push(timer);
      return {
        cancel: () => {
          const at = this.#timers.indexOf(timer);
          if (at >= 0) this.#timers.splice(at, 1);
        },
      };
    },
  };

  readonly random: Random = {
    integer: (bound) => {
      this.#seed = (this.#seed * 48_271) % 2_147_483_647;
      return this.#seed % bound;
    },
    bytes: (count) => Uint8Array.from({ length: count }, () => this.random.integer(256)),
  };

  node(at: number): ReplicaNode {
    const node = this.machines[at]?.node;
    if (node === undefined) throw new Error(`machine ${at} does not run`);
    return node;
  }

  /** The first machine, as a cluster of one. */
  bootstrap(more: Partial<MemberRecord> = {}): ReplicaNode {
    const machine = this.#addMachine({
      id: "000000000000a001",
      name: "n0",
      address: "n0:1",
      apiAddress: "",
      failureDomain: "",
      witness: false,
      ...more,
    });
    bootstrapState(machine.state, "cluster", machine.member, this.#options.config?.formats);
    return this.start(0);
  }

  async join(more: Partial<MemberRecord> = {}, config: Partial<ReplicaConfig> = {}): Promise<ReplicaNode> {
    const at = this.machines.length;
    const grant = (await this.during(
      this.node(this.leader()).admin("addMember", {
        name: `n${at}`,
        address: `n${at}:1`,
        apiAddress: "",
        failureDomain: "",
        ...more,
      }),
    )) as JoinGrant;
    Object.assign(this.#addMachine(grant.member), { peers: grant.peers, config });
    return this.start(at);
  }

  start(at: number): ReplicaNode {
    const machine = this.machines[at] as Machine;
    machine.node = new ReplicaNode({
      clusterId: "cluster",
      peers: machine.peers,
      onFatal: (error) => machine.fatal.push(error),
      ...this.#options,
      config: {
        segmentBytes: 64 << 10,
        ...this.#options.config,
        ...machine.config,
        memberId: machine.member.id,
      },
      ports: {
        clock: this.clock,
        random: this.random,
        disk: machine.disk,
        state: machine.state,
        logger: testLogger(machine.member.name),
        transport: {
          start: (events) => void (machine.events = events),
          setPeers: (peers: Peer[]) => void (machine.known = new Set(peers.map(({ id }) => id))),
          send: (to, _channel, frame) => this.#send(at, to, frame),
        },
      },
    });
    machine.node.start();
    return machine.node;
  }

  kill(at: number): void {
    this.node(at).kill();
    const machine = this.machines[at] as Machine;
    machine.node = undefined;
    machine.events = undefined;
    const id = parseMemberId(machine.member.id);
    this.clock.setTimer(1, () => {
      for (const { events } of this.machines) events?.onUnreachable(id);
    });
  }

  leader(): number {
    return this.machines.findIndex(({ node }) => node?.replica.leadership.leading === true);
  }

  async run(durationMs: number): Promise<void> {
    const end = this.#nowMs + durationMs;
    await settle();
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined || next.atMs > end) break;
      this.#timers.splice(this.#timers.indexOf(next), 1);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
      await settle();
    }
    this.#nowMs = end;
  }

  async until(condition: () => boolean, what: string, limitMs = 60_000): Promise<void> {
    for (let passed = 0; !condition(); passed += 10) {
      if (passed > limitMs) throw new Error(`waited in vain for ${what}`);
      await this.run(10);
    }
  }

  /** Roles as the leader sees them, in the order of machines. */
  roles(): string {
    const status = this.node(this.leader()).status();
    return this.machines
      .map(({ member }) => status.members.find(({ id }) => id === member.id)?.role ?? "gone")
      .join(" ");
  }

  /** Turns the clock until the promise is settled. */
  async during<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    void promise
      .catch(() => undefined)
      .finally(() => {
        settled = true;
      });
    await this.until(() => settled, "a promise");
    return promise;
  }

  #addMachine(member: MemberRecord): Machine {
    const machine: Machine = {
      member,
      disk: new MemoryDisk(),
      state: new MemoryStateDirectory(),
      peers: [],
      config: {},
      node: undefined,
      events: undefined,
      known: new Set(),
      fatal: [],
    };
    this.machines.push(machine);
    return machine;
  }

  #send(from: number, to: NodeId, frame: Uint8Array): boolean {
    const target = this.machines.findIndex(({ member }) => parseMemberId(member.id) === to);
    const sender = this.machines[from] as Machine;
    if (!sender.known.has(to) || this.machines[target]?.events === undefined) return false;
    this.#deliver(from, target, Uint8Array.from(frame));
    return true;
  }

  #deliver(from: number, to: number, frame: Uint8Array): void {
    if (this.isolated.has(from) || this.isolated.has(to)) return;
    this.clock.setTimer(1, () => {
      const { events } = this.machines[to] as Machine;
      const sender = this.machines[from] as Machine;
      events?.onFrame(parseMemberId(sender.member.id), frame, (reply) => {
        if (this.unanswering.has(to)) return false;
        this.#deliver(to, from, Uint8Array.from(reply));
        return true;
      });
    });
  }
}

/** All microtasks, and what they cause. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
