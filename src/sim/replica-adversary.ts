/**
 * Everything that goes wrong around whole replicas, and everything that administrators do. Which of it a run
 * has, and how often, is drawn from the seed: a run with few kinds of faults goes deeper into them.
 */

import type { JoinGrant } from "#replica/types.ts";
import type { ReplicaMachine } from "./replica-machine.ts";
import type { ReplicaSimulation } from "./replica-simulation.ts";
import type { SeededRandom } from "./seeded-random.ts";
import { goodLinks } from "./simulated-links.ts";

/** Those that destroy a copy are in `#canDestroy`'s hands. */
const kinds = [
  "crash",
  "crashLeader",
  "powerCut",
  "crashAll",
  "crashInDiskOperation",
  "crashInDiskOperation",
  "crashWhileStarting",
  "isolateLeader",
  "isolate",
  "partition",
  "cutOneWay",
  "cutLink",
  "resetConnections",
  "loseFrames",
  "worsenLinks",
  "slowDisk",
  "pause",
  "pauseLeader",
  "jumpClock",
  "handOver",
  "compact",
  "fillLogDisk",
  "fillStateDisk",
  "failFlush",
  "rotLog",
  "rotState",
  "newDisk",
  "stopGracefully",
  "addMachine",
  "removeMachine",
  "breakSnapshots",
] as const;

type Kind = (typeof kinds)[number];

const maxMachines = 7;

export class ReplicaAdversary {
  /** How often it did what. */
  readonly deeds = new Map<Kind, number>();
  readonly #simulation: ReplicaSimulation;
  readonly #random: SeededRandom;
  readonly #repertoire: Kind[];
  readonly #meanPauseMs: number;
  #isActive = false;
  /** A change of members that this adversary has asked for is under way. */
  isChangingMembers = false;
  #breaksSnapshots = false;
  #rots = 0;
  #changes = 0;

  constructor(simulation: ReplicaSimulation, random: SeededRandom, only?: readonly string[]) {
    this.#simulation = simulation;
    this.#random = random;
    const share = random.between(0.15, 0.8);
    this.#repertoire = kinds.filter((kind) => only?.includes(kind) ?? random.chance(share));
    this.#meanPauseMs = random.pick([150, 500, 1500]) ?? 500;
  }

  start(): void {
    this.#isActive = true;
    this.#simulation.trace(`-- repertoire: ${this.#repertoire.join(" ")}`);
    this.#scheduleNext();
  }

  stop(): void {
    this.#isActive = false;
  }

  /** A snapshot has begun to come to this machine. */
  onReceive(machine: ReplicaMachine): void {
    if (!this.#isActive || !this.#breaksSnapshots || this.#random.chance(0.5)) return;
    const { time, network } = this.#simulation;
    time.after(this.#random.between(0, 20), () => {
      const leader = this.#simulation.leader();
      if (!this.#isActive || leader === undefined || leader === machine) return;
      const kind = this.#random.integer(3);
      this.#simulation.trace(`-- break the snapshot to ${machine.name} (${kind})`);
      if (kind === 0) network.reset(leader.id, machine.id);
      else this.#crash(kind === 1 ? leader : machine, this.#random.chance(0.5));
    });
  }

  #scheduleNext(): void {
    this.#simulation.time.after(this.#meanPauseMs * this.#random.between(0.1, 2), () => {
      if (!this.#isActive) return;
      const kind = this.#random.pick(this.#repertoire);
      const victim = this.#random.pick(this.#simulation.running());
      if (kind !== undefined && victim !== undefined) {
        this.#simulation.time.steps++;
        this.deeds.set(kind, (this.deeds.get(kind) ?? 0) + 1);
        this.#do(kind, victim);
      }
      this.#scheduleNext();
    });
  }

  #do(kind: Kind, victim: ReplicaMachine): void {
    const simulation = this.#simulation;
    const leader = simulation.leader();
    const { links, network } = simulation;
    const others = simulation.machines.filter((other) => other !== victim).map(({ id }) => id);
    const another = this.#random.pick(others) ?? 0;
    const say = (what: string): void => simulation.trace(`-- ${what}`);
    switch (kind) {
      case "crash":
        this.#crash(victim, false);
        break;
      case "crashLeader":
        if (leader !== undefined) this.#crash(leader, this.#random.chance(0.5));
        break;
      case "powerCut":
        this.#crash(victim, true);
        break;
      case "crashAll":
        for (const each of simulation.running()) this.#crash(each, this.#random.chance(0.5));
        break;
      case "crashInDiskOperation":
        victim.crashPlan ??= this.#crashPlan();
        break;
      case "crashWhileStarting":
        this.#crash(victim, this.#random.chance(0.5), this.#random.integer(6));
        break;
      case "isolateLeader":
        if (leader === undefined) break;
        say(`isolate the leader ${leader.name}`);
        links.partition(
          [leader.id],
          simulation.machines.filter((other) => other !== leader).map(({ id }) => id),
        );
        this.#healLater();
        break;
      case "isolate":
        say(`isolate ${victim.name}`);
        links.partition([victim.id], others);
        this.#healLater();
        break;
      case "partition": {
        const left = simulation.machines.filter(() => this.#random.chance(0.5)).map(({ id }) => id);
        say(`partition ${left.length}`);
        links.partition(
          left,
          simulation.machines.map(({ id }) => id).filter((id) => !left.includes(id)),
        );
        this.#healLater();
        break;
      }
      case "cutOneWay":
        say(`cut one way from ${victim.name}`);
        if (this.#random.chance(0.5)) for (const other of others) links.cut(victim.id, other);
        else links.cut(victim.id, another);
        this.#healLater();
        break;
      case "cutLink":
        say(`cut a link of ${victim.name}`);
        links.partition([victim.id], [another]);
        this.#healLater();
        break;
      case "resetConnections":
        for (const other of others) if (this.#random.chance(0.5)) network.reset(victim.id, other);
        break;
      case "loseFrames":
        network.lossProbability = this.#random.pick([0.02, 0.1, 0.3]) ?? 0.1;
        this.#later(500, 4000, () => (network.lossProbability = 0));
        break;
      case "worsenLinks":
        links.quality = {
          ...goodLinks,
          dropProbability: this.#random.pick([0, 0.05, 0.3]) ?? 0,
          maxDelayMs: this.#random.pick([2, 20, 100, 400]) ?? 2,
        };
        this.#later(500, 5000, () => (links.quality = goodLinks));
        break;
      case "slowDisk":
        victim.disk.flushMs = this.#random.pick([0.1, 2, 20, 200, 1000]) ?? 2;
        break;
      case "pause":
        this.#pause(victim);
        break;
      case "pauseLeader":
        if (leader !== undefined) this.#pause(leader);
        break;
      case "jumpClock":
        victim.jumpClock(this.#random.between(-60_000, 60_000));
        break;
      case "handOver":
        say(`hand over, asked of ${victim.name}`);
        victim.node?.admin("transferLeadership").catch(() => undefined);
        break;
      case "compact":
        // Watches that are behind must end and say so, not skip.
        victim.backend
          ?.compact(Math.max(2, simulation.newestRevision - (this.#random.pick([0, 20, 100]) ?? 20)))
          .catch(() => undefined);
        break;
      case "fillLogDisk":
        say(`the log's disk of ${victim.name} is full`);
        victim.disk.isFull = true;
        this.#later(300, 6000, () => (victim.disk.isFull = false));
        break;
      case "fillStateDisk":
        say(`the state's disk of ${victim.name} is full`);
        victim.state.isFull = true;
        this.#later(300, 6000, () => (victim.state.isFull = false));
        break;
      case "failFlush":
        victim.disk.failsFlush = () => {
          if (!this.#isActive || !this.#canDestroy()) return false;
          say(`a flush of ${victim.name} fails`);
          victim.mayBeDamaged = true;
          return true;
        };
        break;
      case "rotLog":
        if (this.#canDestroy()) this.#rot(victim);
        break;
      case "rotState":
        if (this.#canDestroy()) this.#rotState(victim);
        break;
      case "newDisk":
        if (!this.#canDestroy() || simulation.machines.length < 2) break;
        this.#crash(victim, true);
        victim.replaceCopy("a new disk");
        break;
      case "stopGracefully":
        say(`stop ${victim.name}`);
        void victim.stop().then(() => this.#later(50, 3000, () => simulation.start(victim), false));
        break;
      case "addMachine":
        void this.#addMachine(victim);
        break;
      case "removeMachine":
        void this.#removeMachine(victim);
        break;
      case "breakSnapshots":
        this.#breaksSnapshots = true;
        break;
    }
  }

  /** At most one copy is ever lost at a time, and only from a cluster that can lose one. */
  #canDestroy(): boolean {
    const { machines } = this.#simulation;
    const present = machines.filter(({ isGone }) => !isGone);
    if (this.isChangingMembers || present.some((each) => !each.isRunning || each.isPaused)) return false;
    if (present.some((each) => each.isRejoining || each.mayBeDamaged || each.isMarkedDamaged)) return false;
    // A power cut must not bring members back whose copies are lost: a change counts once that it is committed is durable.
    if (present.some(({ durableLog }) => durableLog.isUnsureOfMembers)) return false;
    const leader = this.#simulation.leader();
    if (leader?.node === undefined) return false;
    const { voters, votersOutgoing } = leader.node.replica.confState;
    if (votersOutgoing.length > 0 || !voters.every((id) => present.some((each) => each.id === id)))
      return false;
    const agree = present.every((each) => {
      const own = each.node?.replica.confState.voters;
      return own === undefined || own.length === 0 || own.join() === voters.join();
    });
    // Not a standby of two either: it may be about to take the other's place.
    return agree && voters.length >= 3;
  }

  /** Returns what ends it. One that was asked of a machine that died is over when nobody works on it any more. */
  #beginChange(): () => void {
    this.isChangingMembers = true;
    const change = ++this.#changes;
    const done = (): void => {
      if (change === this.#changes) this.isChangingMembers = false;
    };
    this.#later(20_000, 20_001, done, false);
    return done;
  }

  #rot(victim: ReplicaMachine): void {
    victim.crash(this.#random.chance(0.5));
    const where = victim.disk.rot();
    victim.mayBeDamaged = where !== undefined;
    const rot = ++this.#rots;
    this.#simulation.trace(`-- a bit of ${victim.name} flips: ${where ?? "nowhere"}`);
    this.#restartLater(victim);
    // What was harmless is forgotten, once it has been there for a while.
    const forget = (): void => {
      if (rot === this.#rots) victim.mayBeDamaged &&= victim.isMarkedDamaged;
    };
    this.#later(8000, 8001, forget, false);
  }

  #rotState(victim: ReplicaMachine): void {
    // What a flipped bit of the log may have done before is not forgotten then.
    this.#rots++;
    victim.crash(this.#random.chance(0.5));
    victim.mayBeDamaged = victim.state.rot();
    this.#simulation.trace(`-- a bit of the state of ${victim.name} flips`);
    this.#restartLater(victim);
    this.#forgetHarmlessRot(victim);
  }

  /** The row may have been removed before anybody looked at it: a walk through the state finds all that is there. */
  #forgetHarmlessRot(victim: ReplicaMachine): void {
    const look = (): void => {
      const { walks, damaged } = victim.node?.replica.scrubber.progress ?? { walks: 0, damaged: 0 };
      if (!victim.mayBeDamaged) return;
      if (walks === 0 || damaged > 0 || victim.isMarkedDamaged) this.#later(8000, 8001, look, false);
      else victim.mayBeDamaged = false;
    };
    this.#later(8000, 8001, look, false);
  }

  #crash(machine: ReplicaMachine, powerCut: boolean, diesAgainAfter?: number): void {
    if (!machine.isRunning) return;
    this.#simulation.trace(`-- ${powerCut ? "power cut" : "kill"} ${machine.name}`);
    machine.crash(powerCut);
    this.#restartLater(machine, diesAgainAfter);
  }

  #restartLater(machine: ReplicaMachine, diesAgainAfter?: number): void {
    this.#later(
      50,
      this.#random.pick([500, 5000]) ?? 500,
      () => {
        if (machine.isRunning || machine.isGone) return;
        if (this.#isActive && diesAgainAfter !== undefined) {
          machine.crashPlan = { ...this.#crashPlan(), operations: diesAgainAfter };
        }
        this.#simulation.start(machine);
      },
      false,
    );
  }

  #crashPlan(): { operations: number; powerCut: boolean; restartAfterMs: number } {
    return {
      operations: this.#random.integer(this.#random.pick([4, 40]) ?? 4),
      powerCut: this.#random.chance(0.6),
      restartAfterMs: this.#random.between(50, 3000),
    };
  }

  #pause(machine: ReplicaMachine): void {
    if (machine.isPaused) return;
    this.#simulation.trace(`-- pause ${machine.name}`);
    machine.pause();
    const { life } = machine;
    this.#later(100, this.#random.pick([800, 6000]) ?? 800, () => {
      if (machine.life === life && machine.isPaused) machine.resume();
    });
  }

  #healLater(): void {
    this.#later(300, this.#random.pick([1500, 8000]) ?? 1500, () => this.#simulation.links.heal());
  }

  async #addMachine(through: ReplicaMachine): Promise<void> {
    const { machines } = this.#simulation;
    const present = machines.filter(({ isGone }) => !isGone).length;
    if (this.isChangingMembers || present >= maxMachines) return;
    const done = this.#beginChange();
    const name = `node${machines.length + 1}`;
    this.#simulation.trace(`-- add ${name}`);
    try {
      const member = { name, address: `${name}:1`, apiAddress: "", failureDomain: "" };
      const grant = (await through.node?.admin("addMember", member)) as JoinGrant | undefined;
      if (grant !== undefined) this.#simulation.start(this.#simulation.addMachine(grant.member, grant.peers));
    } catch {
      // Not now; or nobody knows, and it stays a member that never comes, until it is removed in the end.
    } finally {
      done();
    }
  }

  async #removeMachine(victim: ReplicaMachine): Promise<void> {
    const present = this.#simulation.machines.filter(({ isGone }) => !isGone);
    const through = this.#random.pick(this.#simulation.running());
    if (this.isChangingMembers || present.length < 3 || through === undefined) return;
    if (present.some((each) => each.isRejoining || each.mayBeDamaged || each.isMarkedDamaged)) return;
    const done = this.#beginChange();
    this.#simulation.trace(`-- remove ${victim.name}`);
    try {
      await through.node?.admin("removeMember", victim.memberId);
      victim.isGone = true;
      victim.crash(false);
    } catch {
      // As with adding.
    } finally {
      done();
    }
  }

  /** Between so many milliseconds from now. What only belongs to the faults does not happen after them. */
  #later(fromMs: number, toMs: number, action: () => void, onlyWhileActive = true): void {
    this.#simulation.time.after(this.#random.between(fromMs, toMs), () => {
      if (this.#isActive || !onlyWhileActive) action();
    });
  }
}
