/**
 * The consensus core under faults, from one seed: machines, clients and an adversary, invariants after
 * every step; then the faults end, and progress is required.
 */

import type { Entry, Message, NodeId } from "#raft/types.ts";
import { CoreAdversary } from "./core-adversary.ts";
import { CoreInvariants } from "./core-invariants.ts";
import { CoreMachine } from "./core-machine.ts";
import type { CoreState, DeliberateFault } from "./core-machine.ts";
import { SeededRandom } from "./seeded-random.ts";
import { goodLinks, SimulatedLinks } from "./simulated-links.ts";
import { SimulatedTime } from "./simulated-time.ts";
import { Violation } from "./violation.ts";

export interface CoreReport {
  seed: number;
  steps: number;
  committed: number;
  terms: number;
  reads: number;
  membershipChanges: number;
  /** Depends on everything that happened: two runs of a seed must agree. */
  digest: number;
}

export interface CoreSimulationOptions {
  fault?: DeliberateFault;
  /** The kinds of mischief that there may be. Default: drawn from the seed. */
  only?: readonly string[];
  /** How long there are faults. */
  faultyMs?: number;
  trace?(line: string): void;
}

const calmMs = 30_000;
const initialIndex = 1;

export class CoreSimulation {
  readonly time = new SimulatedTime();
  readonly machines = new Map<NodeId, CoreMachine>();
  readonly links: SimulatedLinks;
  readonly #seed: number;
  readonly #options: CoreSimulationOptions;
  readonly #invariants = new CoreInvariants(this.machines);
  readonly #random: SeededRandom;
  readonly #adversary: CoreAdversary;
  /** For each read under way: what was committed when it began. */
  readonly #reads = new Map<string, number>();
  #steps = 0;
  #readsDone = 0;
  #counter = 0;
  #digest = 0;
  #isCalm = false;

  constructor(seed: number, options: CoreSimulationOptions = {}) {
    this.#seed = seed;
    this.#options = options;
    this.#random = new SeededRandom(seed, "clients");
    this.links = new SimulatedLinks(new SeededRandom(seed, "links"));
    this.#adversary = new CoreAdversary(this, new SeededRandom(seed, "adversary"), options.only);
    const count = this.#random.pick([1, 2, 3, 3, 3, 4, 5]) ?? 3;
    const voters = Array.from({ length: count }, (_, position) => position + 1);
    const confState = { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
    for (const id of voters) this.addMachine(id, { index: initialIndex, term: 1, hash: 0, confState });
  }

  /** Throws Violation (or AssertionError, from inside the core). */
  run(): CoreReport {
    this.#scheduleClient();
    this.#adversary.start();
    this.#runUntil(this.#options.faultyMs ?? 25_000);
    this.#adversary.stop();
    this.#isCalm = true;
    this.links.heal();
    this.links.quality = goodLinks;
    for (const machine of this.machines.values()) {
      machine.flushMs = 2;
      if (machine.isPaused) machine.resume();
      if (!machine.isRunning && !this.#adversary.isGone(machine.id)) machine.start();
    }
    this.#requireProgress();
    return {
      seed: this.#seed,
      steps: this.#steps,
      committed: this.#invariants.maxCommitted,
      terms: Math.max(...[...this.machines.values()].map(({ node }) => node?.raft.term ?? 0)),
      reads: this.#readsDone,
      membershipChanges: this.#adversary.membershipChanges,
      digest: this.#digest,
    };
  }

  /** The member that leads with the highest term, as far as an observer of all can tell. */
  leader(): CoreMachine | undefined {
    let newest: CoreMachine | undefined;
    for (const machine of this.machines.values()) {
      if (machine.node?.raft.role !== "leader") continue;
      if (machine.node.raft.term > (newest?.node?.raft.term ?? 0)) newest = machine;
    }
    return newest;
  }

  addMachine(id: NodeId, initial: CoreState): CoreMachine {
    const machine = new CoreMachine(id, initial, {
      time: this.time,
      random: new SeededRandom(this.#seed, `machine ${id}`),
      fault: this.#options.fault ?? {},
      events: {
        send: (message, state) => this.#send(message, state),
        onEntries: (from, entries) => this.#invariants.onEntries(from, entries),
        onApplied: (from, entry) => this.#onApplied(from, entry),
        onRead: (_from, context, index) => this.#onRead(context, index),
        onStep: (from) => this.#invariants.afterStep(from),
        trace: (line) => this.trace(line),
      },
    });
    this.machines.set(id, machine);
    machine.start();
    return machine;
  }

  trace(line: string): void {
    this.#options.trace?.(`${(this.time.nowMs / 1000).toFixed(3)} ${line}`);
  }

  #runUntil(untilMs: number): void {
    while (this.time.step(untilMs)) this.#steps++;
  }

  #send(message: Message, state: CoreState | undefined): void {
    const { from, to } = message;
    const voter =
      message.type === "voteResponse" && message.reject !== true ? this.machines.get(from) : undefined;
    if (voter !== undefined) this.#adversary.onVoted(voter);
    this.#mix(`${message.type} ${from} ${to} ${message.term} ${message.index}`);
    const delays = this.links.delaysMs(from, to);
    for (const delayMs of delays) {
      this.time.after(delayMs, () => {
        if (this.links.connects(from, to)) this.machines.get(to)?.receive(message, state);
      });
    }
    // A transport tells of broken connections now and then, and always how a snapshot fared.
    const isLost = delays.length === 0;
    const isSnapshot = message.type === "snapshot";
    if (!isSnapshot && !(isLost && this.#random.chance(0.1))) return;
    this.time.after(this.links.delayMs() * 2 + 1, () => {
      this.machines.get(from)?.ask((node) => {
        if (isSnapshot) node.reportSnapshot(to, !isLost);
        else node.reportUnreachable(to);
      });
    });
  }

  #onApplied(machine: CoreMachine, entry: Entry): void {
    this.#mix(`${machine.id} applies ${entry.index}`);
    this.#invariants.onApplied(machine);
  }

  /** Linearizable: whatever was committed anywhere when the read began, it must see. */
  #onRead(context: string, index: number): void {
    const floor = this.#reads.get(context);
    if (floor === undefined) return;
    this.#reads.delete(context);
    this.#readsDone++;
    if (index < floor)
      throw new Violation(`stale read: index ${index}, but ${floor} was committed before it began`);
  }

  #scheduleClient(): void {
    this.time.after(this.#random.between(1, 40), () => {
      this.#actAsClient();
      if (!this.#isCalm) this.#scheduleClient();
    });
  }

  #actAsClient(): void {
    const machine = this.#random.pick([...this.machines.values()]);
    if (machine === undefined || !machine.isRunning) return;
    this.#counter++;
    if (this.#random.chance(0.3)) {
      const context = `read ${this.#counter}`;
      this.#reads.set(context, this.#invariants.maxCommitted);
      machine.ask((node) => node.readIndex(context));
    } else {
      this.#propose(machine);
    }
  }

  #propose(machine: CoreMachine): void {
    const data = new TextEncoder().encode(String(this.#counter).padEnd(this.#random.integer(200)));
    machine.ask((node) => node.propose(data));
  }

  /** Without faults, all members must come to the same state, which includes new entries, in bounded time. */
  #requireProgress(): void {
    const startMs = this.time.nowMs;
    let goal: number | undefined;
    while (this.time.nowMs < startMs + calmMs) {
      this.#runUntil(this.time.nowMs + 500);
      const leader = this.leader();
      if (leader?.node === undefined) continue;
      this.#adversary.finishMembership(leader);
      if (goal === undefined) {
        this.#counter++;
        this.#propose(leader);
        goal = this.#invariants.maxCommitted + 1;
      }
      if (this.#hasReached(goal, leader)) return;
    }
    throw new Violation(`no progress within ${calmMs} ms after the faults ended`);
  }

  #hasReached(goal: number, leader: CoreMachine): boolean {
    if (leader.node === undefined || leader.node.raft.tracker.isJoint) return false;
    return leader.node.raft.tracker.memberIds().every((id) => {
      const member = this.machines.get(id);
      return member !== undefined && member.state.index >= goal && member.state.index === leader.state.index;
    });
  }

  #mix(text: string): void {
    let digest = this.#digest;
    for (let position = 0; position < text.length; position++) {
      digest = Math.imul(digest ^ text.charCodeAt(position), 0x01000193);
    }
    this.#digest = (digest ^ Math.round(this.time.nowMs * 1000)) >>> 0;
  }
}
