/**
 * Everything that goes wrong, and everything that administrators do: crashes, pauses, partitions, bad
 * links, slow disks, compaction, membership changes, transfers. Which of them a run has, and how often, is
 * drawn from the seed.
 */

import { ProposalDroppedError } from "#raft/types.ts";
import type { ConfChange, NodeId } from "#raft/types.ts";
import type { CoreMachine } from "./core-machine.ts";
import type { CoreSimulation } from "./core-simulation.ts";
import type { SeededRandom } from "./seeded-random.ts";
import { goodLinks } from "./simulated-links.ts";

const noState = {
  index: 0,
  term: 0,
  hash: 0,
  confState: { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
};

type Mischief = () => void;

export class CoreAdversary {
  membershipChanges = 0;
  readonly #simulation: CoreSimulation;
  readonly #random: SeededRandom;
  readonly #repertoire: Mischief[];
  readonly #meanPauseMs: number;
  #isActive = false;
  /** From now on, machines die as soon as they have voted, now and then. */
  #crashesVoters = false;
  #nextId: NodeId = 100;
  /** Removed from the cluster and switched off. */
  readonly #gone = new Set<NodeId>();

  /** `only`: the kinds of mischief that there may be. Default: drawn from the seed. */
  constructor(simulation: CoreSimulation, random: SeededRandom, only?: readonly string[]) {
    this.#simulation = simulation;
    this.#random = random;
    const all: [string, Mischief][] = [
      ["crashOne", () => this.#crashOne()],
      ["crashLeader", () => this.#crashLeader()],
      ["crashAll", () => this.#crashAll()],
      ["pauseOne", () => this.#pauseOne()],
      ["pauseLeader", () => this.#pauseLeader()],
      ["partition", () => this.#partition()],
      ["isolateLeader", () => this.#isolateLeader()],
      ["cutOneWay", () => this.#cutOneWay()],
      ["worsenLinks", () => this.#worsenLinks()],
      ["slowDisk", () => this.#slowDisk()],
      ["transfer", () => this.#transfer()],
      ["campaign", () => this.#campaign()],
      ["campaignTogether", () => this.#campaignTogether()],
      ["changeMembership", () => this.#changeMembership()],
      ["changeMembership", () => this.#changeMembership()],
      ["changeMembership", () => this.#changeMembership()],
      ["compact", () => this.#compact()],
      ["compact", () => this.#compact()],
      ["crashVoter", () => (this.#crashesVoters = true)],
    ];
    // A run with few kinds of faults goes deeper into them than one with all.
    const share = random.between(0.3, 1);
    this.#repertoire = all
      .filter(([name]) => (only === undefined ? random.chance(share) : only.includes(name)))
      .map(([, mischief]) => mischief);
    this.#meanPauseMs = random.between(150, 1500);
  }

  start(): void {
    this.#isActive = true;
    this.#scheduleNext();
  }

  stop(): void {
    this.#isActive = false;
  }

  /** The machine has just sent its vote, which it must not forget. It comes back at once, while others still ask for votes. */
  onVoted(machine: CoreMachine): void {
    if (!this.#isActive || !this.#crashesVoters || this.#random.chance(0.5)) return;
    this.#simulation.time.after(0.1, () => {
      if (!machine.isRunning) return;
      this.#simulation.trace(`-- crash ${machine.id}, which has voted`);
      machine.crash();
      this.#simulation.time.after(1, () => {
        if (!machine.isRunning && !this.#gone.has(machine.id)) machine.start();
      });
    });
  }

  isGone(id: NodeId): boolean {
    return this.#gone.has(id);
  }

  /** Ends an explicit joint change that a crash or a lost proposal has left open. */
  finishMembership(leader: CoreMachine): void {
    const configuration = leader.node?.raft.tracker.configuration;
    if (configuration === undefined || configuration.voters.outgoing.size === 0) return;
    if (!configuration.autoLeave) this.#propose(leader, { transition: "auto", changes: [] });
  }

  #scheduleNext(): void {
    this.#simulation.time.after(this.#meanPauseMs * this.#random.between(0.1, 2), () => {
      if (!this.#isActive) return;
      this.#random.pick(this.#repertoire)?.();
      this.#scheduleNext();
    });
  }

  #crashOne(): void {
    const machine = this.#random.pick(this.#running());
    if (machine !== undefined) this.#crash(machine);
  }

  #crashLeader(): void {
    const leader = this.#simulation.leader();
    if (leader !== undefined) this.#crash(leader);
  }

  #crashAll(): void {
    for (const machine of this.#running()) this.#crash(machine);
  }

  #crash(machine: CoreMachine): void {
    this.#simulation.trace(`-- crash ${machine.id}`);
    machine.crash();
    this.#simulation.time.after(this.#random.between(10, 3000), () => {
      if (!machine.isRunning && !this.#gone.has(machine.id)) machine.start();
    });
  }

  #pauseOne(): void {
    const machine = this.#random.pick(this.#running());
    if (machine !== undefined) this.#pause(machine);
  }

  #pauseLeader(): void {
    const leader = this.#simulation.leader();
    if (leader !== undefined) this.#pause(leader);
  }

  #pause(machine: CoreMachine): void {
    if (machine.isPaused) return;
    this.#simulation.trace(`-- pause ${machine.id}`);
    machine.pause();
    this.#simulation.time.after(this.#random.between(50, 4000), () => {
      if (machine.isPaused) machine.resume();
    });
  }

  #partition(): void {
    const left: NodeId[] = [];
    const right: NodeId[] = [];
    for (const id of this.#simulation.machines.keys()) (this.#random.chance(0.5) ? left : right).push(id);
    this.#simulation.trace(`-- partition ${left.join()} | ${right.join()}`);
    this.#simulation.links.partition(left, right);
    this.#healLater();
  }

  #isolateLeader(): void {
    const leader = this.#simulation.leader();
    if (leader === undefined) return;
    const others = [...this.#simulation.machines.keys()].filter((id) => id !== leader.id);
    this.#simulation.trace(`-- isolate leader ${leader.id}`);
    this.#simulation.links.partition([leader.id], others);
    this.#healLater();
  }

  #cutOneWay(): void {
    const ids = [...this.#simulation.machines.keys()];
    for (let cut = 0; cut < 3; cut++) {
      const from = this.#random.pick(ids);
      const to = this.#random.pick(ids);
      if (from !== undefined && to !== undefined) this.#simulation.links.cut(from, to);
    }
    this.#healLater();
  }

  #healLater(): void {
    this.#simulation.time.after(this.#random.between(100, 4000), () => this.#simulation.links.heal());
  }

  #worsenLinks(): void {
    this.#simulation.links.quality = {
      dropProbability: this.#random.pick([0, 0.02, 0.2]) ?? 0,
      duplicateProbability: this.#random.pick([0, 0.1]) ?? 0,
      minDelayMs: 0.2,
      maxDelayMs: this.#random.pick([2, 20, 200]) ?? 2,
    };
    this.#simulation.time.after(this.#random.between(500, 5000), () => {
      this.#simulation.links.quality = goodLinks;
    });
  }

  #slowDisk(): void {
    const machine = this.#random.pick([...this.#simulation.machines.values()]);
    if (machine === undefined) return;
    machine.flushMs = this.#random.pick([2, 20, 200]) ?? 2;
  }

  #compact(): void {
    this.#random.pick(this.#running())?.compact(this.#random.pick([0, 0, 5, 50]) ?? 0);
  }

  #transfer(): void {
    const target = this.#random.pick(this.#running());
    const machine = this.#random.pick(this.#running());
    if (target !== undefined) machine?.ask((node) => node.transferLeadership(target.id));
  }

  #campaign(): void {
    this.#random.pick(this.#running())?.ask((node) => node.campaign());
  }

  /** Several stand for election at the same time, so that each vote counts. */
  #campaignTogether(): void {
    this.#simulation.links.quality = { ...goodLinks, maxDelayMs: 50 };
    this.#simulation.time.after(2000, () => (this.#simulation.links.quality = goodLinks));
    for (const machine of this.#running()) {
      if (this.#random.chance(0.6)) machine.ask((node) => node.campaign());
    }
  }

  /** Members stay between one and five voters, so that joint changes and small quorums are frequent. */
  #changeMembership(): void {
    const leader = this.#simulation.leader();
    if (leader?.node === undefined) return;
    const { voters, learners, votersOutgoing, autoLeave } = leader.node.status().confState;
    if (votersOutgoing.length > 0) {
      if (!autoLeave) this.#propose(leader, { transition: "auto", changes: [] });
      return;
    }
    const changes: ConfChange["changes"] = [];
    const count = this.#random.pick([1, 1, 2, 3]) ?? 1;
    let votersAfter = voters.length;
    const untouched = [...voters, ...learners];
    for (let step = 0; step < count; step++) {
      const position = this.#random.integer(untouched.length + 1);
      const nodeId = untouched.splice(position, 1)[0] ?? this.#addMachine();
      const isVoter = voters.includes(nodeId);
      if (isVoter && votersAfter > 1) {
        changes.push({ type: this.#random.pick(["remove", "addLearner"] as const) ?? "remove", nodeId });
        votersAfter--;
      } else if (!isVoter && votersAfter < 5) {
        changes.push({
          type: this.#random.pick(["addVoter", "addVoter", "addLearner"] as const) ?? "addVoter",
          nodeId,
        });
        if (changes.at(-1)?.type === "addVoter") votersAfter++;
      } else if (!isVoter) {
        changes.push({ type: "remove", nodeId });
      }
    }
    if (changes.length === 0) return;
    const transition = this.#random.pick(["auto", "auto", "implicit", "explicit"] as const) ?? "auto";
    this.#propose(leader, { transition, changes });
  }

  #propose(leader: CoreMachine, change: Omit<ConfChange, "context">): void {
    leader.ask((node) => {
      try {
        node.proposeConfChange({ ...change, context: new Uint8Array(0) });
        this.membershipChanges++;
        const steps = change.changes.map(({ type, nodeId }) => `${type} ${nodeId}`).join(", ");
        this.#simulation.trace(`-- propose ${change.transition} ${steps}`);
      } catch (error) {
        if (!(error instanceof ProposalDroppedError)) throw error;
      }
    });
  }

  /** A new machine knows nothing; ids are never used again. */
  #addMachine(): NodeId {
    const id = this.#nextId++;
    this.#simulation.addMachine(id, noState);
    return id;
  }

  #running(): CoreMachine[] {
    return [...this.#simulation.machines.values()].filter(({ isRunning }) => isRunning);
  }
}
