/**
 * The real replicas (raft, log, state, roles) under simulated clocks, network and disks, from one seed, with
 * clients whose histories must be linearizable and watches that must see every revision once, alike on all
 * machines. Then the faults end, and progress is required.
 */

import type { WatchEvent } from "#base/backend.ts";
import { bootstrapState } from "#replica/replica-node.ts";
import type { JoinGrant, MemberRecord } from "#replica/types.ts";
import { findNonLinearizablePart } from "./linearizability.ts";
import { ReplicaMachine } from "./replica-machine.ts";
import { SeededRandom } from "./seeded-random.ts";
import { goodLinks, SimulatedLinks } from "./simulated-links.ts";
import { SimulatedTime } from "./simulated-time.ts";
import { SimulatedNetwork } from "./simulated-transport.ts";
import { StoreClient } from "./store-client.ts";
import type { History } from "./store-client.ts";
import { storeModel } from "./store-model.ts";
import { Violation } from "./violation.ts";

export interface ReplicaReport {
  seed: number;
  machines: number;
  steps: number;
  operations: number;
  answered: number;
  revision: number;
  term: number;
  checksum: number;
}

export interface ReplicaSimulationOptions {
  faultyMs?: number;
  trace?(line: string): void;
  /** Makes a deliberate mistake in a machine that has just started. */
  sabotage?(machine: ReplicaMachine): void;
}

const clusterId = "00000000000000c1";
const startMs = 60_000;
const calmMs = 90_000;

export class ReplicaSimulation {
  readonly machines: ReplicaMachine[] = [];
  readonly #seed: number;
  readonly #options: ReplicaSimulationOptions;
  readonly #time = new SimulatedTime();
  readonly #random: SeededRandom;
  readonly #links: SimulatedLinks;
  readonly #network: SimulatedNetwork;
  readonly #history: History = [];
  readonly #clients: StoreClient[] = [];
  readonly #leaders = new Map<number, string>();
  /** Applied index to checksum and revision. */
  readonly #states = new Map<number, string>();
  /** Revision to its events. */
  readonly #events = new Map<number, string>();
  #failure: Error | undefined;
  #steps = 0;
  #faultsActive = false;

  constructor(seed: number, options: ReplicaSimulationOptions = {}) {
    this.#seed = seed;
    this.#options = options;
    this.#random = new SeededRandom(seed, "adversary");
    this.#links = new SimulatedLinks(new SeededRandom(seed, "links"));
    this.#network = new SimulatedNetwork(this.#time, this.#links);
  }

  /** Rejects with Violation, or with what a replica died of. */
  async run(): Promise<ReplicaReport> {
    await this.#assemble(this.#random.pick([1, 2, 3, 3, 3, 4, 5]) ?? 3);
    for (let number = 0; number < 4; number++) {
      const client = new StoreClient(
        number,
        new SeededRandom(this.#seed, `client ${number}`),
        this.#time,
        this.#history,
      );
      this.#clients.push(client);
      client.start(() => this.#running());
    }
    this.#faultsActive = true;
    this.#scheduleFault();
    await this.#runFor(this.#options.faultyMs ?? 20_000);
    this.#calm();
    await this.#requireProgress();
    const broken = findNonLinearizablePart(storeModel, this.#history);
    if (broken !== undefined) throw new Violation(`the history of key ${broken} is not linearizable`);
    const store = this.machines[0]?.node?.replica.store;
    const term = Math.max(...this.machines.map(({ node }) => node?.replica.raftStatus.hardState.term ?? 0));
    return {
      seed: this.#seed,
      machines: this.machines.length,
      steps: this.#steps,
      operations: this.#history.length,
      answered: this.#history.filter(({ returnAt }) => returnAt !== Infinity).length,
      revision: store?.revision ?? 0,
      term,
      checksum: store?.position.checksum ?? 0,
    };
  }

  /** One machine begins; the others join as nodes do. */
  async #assemble(count: number): Promise<void> {
    const first = this.#addMachine("0000000000000001", []);
    bootstrapState(first.state, clusterId, record(first.memberId, "node1"));
    this.#start(first);
    await this.#until(() => first.node?.replica.leadership.leading === true, "a first leader");
    for (let number = 2; number <= count; number++) {
      const member = { name: `node${number}`, address: `node${number}:1`, apiAddress: "", failureDomain: "" };
      const grant = (await this.#await(first.node?.admin("addMember", member))) as JoinGrant;
      const machine = this.#addMachine(grant.member.id, grant.peers);
      this.#start(machine);
    }
    const voters = count < 3 ? 1 : 3;
    const reached = (): boolean => first.node?.replica.confState.voters.length === voters;
    await this.#until(reached, `${voters} voters of ${count} machines`);
  }

  #addMachine(memberId: string, peers: MemberRecord[]): ReplicaMachine {
    const machine = new ReplicaMachine(memberId, {
      time: this.#time,
      random: new SeededRandom(this.#seed, `machine ${this.machines.length}`),
      network: this.#network,
      clusterId,
      peers,
      events: {
        onFatal: (_, error) => (this.#failure ??= error),
        onWatch: (from, events, revision) => this.#onWatch(from, events, revision),
        compactRevision: () =>
          Math.max(0, ...this.machines.map(({ node }) => node?.replica.store.compactRevision ?? 0)),
        trace: (line) => this.#trace(line),
      },
    });
    this.machines.push(machine);
    return machine;
  }

  #start(machine: ReplicaMachine): void {
    this.#trace(`-- start ${machine.memberId}`);
    machine.start();
    this.#options.sabotage?.(machine);
  }

  async #step(untilMs: number): Promise<boolean> {
    const isMore = this.#time.step(untilMs);
    // What follows from it by promises happens now.
    await new Promise((resolve) => setImmediate(resolve));
    this.#steps++;
    if (this.#failure !== undefined) throw this.#failure;
    this.#checkInvariants();
    return isMore;
  }

  async #runFor(ms: number): Promise<void> {
    const untilMs = this.#time.nowMs + ms;
    while (await this.#step(untilMs));
  }

  async #until(condition: () => boolean, what: string, limitMs = startMs): Promise<void> {
    const untilMs = this.#time.nowMs + limitMs;
    while (!condition()) {
      if (this.#time.nowMs >= untilMs) throw new Violation(`no progress: waited ${limitMs} ms for ${what}`);
      await this.#step(untilMs);
    }
  }

  /** Lets time pass until the promise settles. */
  async #await<T>(promise: Promise<T> | undefined): Promise<T | undefined> {
    let isSettled = false;
    void promise?.then(
      () => (isSettled = true),
      () => (isSettled = true),
    );
    await this.#until(() => isSettled || promise === undefined, "an answer");
    return promise;
  }

  #checkInvariants(): void {
    for (const machine of this.machines) {
      if (machine.node === undefined) continue;
      const { replica } = machine.node;
      const { softState, hardState } = replica.raftStatus;
      if (softState.role === "leader") {
        const other = this.#leaders.get(hardState.term);
        if (other !== undefined && other !== machine.memberId) {
          throw new Violation(`term ${hardState.term} has two leaders`);
        }
        this.#leaders.set(hardState.term, machine.memberId);
      }
      const { index, checksum, revision, term } = replica.store.position;
      const state = `checksum ${checksum}, revision ${revision}, term ${term}`;
      const known = this.#states.get(index);
      if (known === undefined) this.#states.set(index, state);
      else if (known !== state) throw new Violation(`states differ at index ${index}: ${known}; ${state}`);
    }
  }

  /** Gapless, in order, each revision once, and the same on all machines. */
  #onWatch(machine: ReplicaMachine, events: WatchEvent[], revision: number): void {
    try {
      const byRevision = Map.groupBy(events, ({ kv }) => kv.modRevision);
      for (const [at, ofRevision] of byRevision) {
        if (at !== machine.watchedRevision + 1) {
          throw new Violation(
            `the watch on ${machine.memberId} went from ${machine.watchedRevision} to ${at}`,
          );
        }
        machine.watchedRevision = at;
        const text = ofRevision
          .map(({ type, kv }) => `${type} ${kv.key} ${kv.version} ${kv.value.join()}`)
          .join("; ");
        const known = this.#events.get(at);
        if (known === undefined) this.#events.set(at, text);
        else if (known !== text) throw new Violation(`watches differ at revision ${at}`);
      }
      if (revision > machine.watchedRevision) {
        throw new Violation(
          `the watch on ${machine.memberId} was told ${revision} after ${machine.watchedRevision}`,
        );
      }
    } catch (error) {
      this.#failure ??= error as Error;
    }
  }

  #scheduleFault(): void {
    this.#time.after(this.#random.between(100, 2500), () => {
      if (!this.#faultsActive) return;
      this.#doMischief();
      this.#scheduleFault();
    });
  }

  #doMischief(): void {
    const machine = this.#random.pick(this.#running());
    if (machine === undefined) return;
    const others = this.machines.filter((other) => other !== machine).map(({ id }) => id);
    switch (this.#random.integer(11)) {
      case 0:
        this.#crash(machine, false);
        break;
      case 1:
        this.#crash(machine, true);
        break;
      case 2:
        for (const each of this.#running()) this.#crash(each, this.#random.chance(0.5));
        break;
      case 3:
        this.#trace(`-- isolate ${machine.memberId}`);
        this.#links.partition([machine.id], others);
        this.#healLater();
        break;
      case 4:
        this.#links.cut(machine.id, this.#random.pick(others) ?? 0);
        this.#healLater();
        break;
      case 5:
        this.#pause(machine);
        break;
      case 6:
        machine.disk.flushMs = this.#random.pick([2, 20, 200]) ?? 2;
        break;
      case 7:
        this.#links.quality = {
          ...goodLinks,
          dropProbability: 0.05,
          maxDelayMs: this.#random.pick([2, 20, 100]) ?? 2,
        };
        break;
      case 8:
        this.#trace(`-- hand over from ${machine.memberId}`);
        machine.node?.admin("transferLeadership").catch(() => undefined);
        break;
      case 9:
        // Watches that are behind must end and say so, not skip.
        machine.backend?.compact(Math.max(2, machine.watchedRevision - 20)).catch(() => undefined);
        break;
      default:
        machine.jumpClock(this.#random.between(-60_000, 60_000));
    }
  }

  #crash(machine: ReplicaMachine, powerCut: boolean): void {
    this.#trace(`-- ${powerCut ? "power cut" : "kill"} ${machine.memberId}`);
    machine.crash(powerCut);
    this.#time.after(this.#random.between(50, 5000), () => {
      if (!machine.isRunning) this.#start(machine);
    });
  }

  #pause(machine: ReplicaMachine): void {
    this.#trace(`-- pause ${machine.memberId}`);
    machine.pause();
    this.#time.after(this.#random.between(100, 3000), () => {
      if (machine.isPaused) machine.resume();
    });
  }

  #healLater(): void {
    this.#time.after(this.#random.between(500, 5000), () => this.#links.heal());
  }

  #calm(): void {
    this.#trace("-- calm");
    this.#faultsActive = false;
    this.#links.heal();
    this.#links.quality = goodLinks;
    for (const client of this.#clients) client.isStopped = true;
    for (const machine of this.machines) {
      machine.disk.flushMs = 2;
      if (machine.isPaused) machine.resume();
      if (!machine.isRunning) this.#start(machine);
    }
  }

  /** Every machine serves writes and reads again, and all come to the same state. */
  async #requireProgress(): Promise<void> {
    for (const machine of this.machines) {
      const client = new StoreClient(100, this.#random, this.#time, this.#history);
      const deadlineMs = this.#time.nowMs + calmMs;
      for (const key of ["a", "b", "c", "d", "e"]) {
        while ((await this.#await(client.perform(machine, { type: "get", key }))) !== true) {
          if (this.#time.nowMs > deadlineMs)
            throw new Violation(`${machine.memberId} does not serve after the faults`);
          await this.#runFor(100);
        }
      }
      const value = `last of ${machine.memberId}`;
      while ((await this.#await(client.perform(machine, { type: "put", key: "e", value }))) !== true) {
        if (this.#time.nowMs > deadlineMs)
          throw new Violation(`${machine.memberId} takes no writes after the faults`);
        await this.#runFor(100);
      }
    }
    await this.#until(() => this.#areAllEqual(), "all replicas to be equal", calmMs);
  }

  #areAllEqual(): boolean {
    const copies = this.machines.filter(({ node }) => node?.governor.replicates === true);
    const revisions = new Set(copies.map(({ node }) => node?.replica.store.revision));
    const watched = new Set(this.machines.map(({ watchedRevision }) => watchedRevision));
    return revisions.size === 1 && watched.size === 1 && watched.has([...revisions][0] ?? 0);
  }

  #running(): ReplicaMachine[] {
    return this.machines.filter(({ isRunning }) => isRunning);
  }

  #trace(line: string): void {
    this.#options.trace?.(`${(this.#time.nowMs / 1000).toFixed(3)} ${line}`);
  }
}

function record(id: string, name: string): MemberRecord {
  return { id, name, address: `${name}:1`, apiAddress: "", failureDomain: "", witness: false };
}
