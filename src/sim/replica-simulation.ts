/**
 * The real replicas (raft, log, state, roles) under simulated clocks, network and disks, from one seed, with
 * clients whose histories must be linearizable and watches that must see every revision once, alike on all
 * machines. Then the faults end, and progress is required.
 */

import { crc32 } from "node:zlib";
import { isDamage } from "#replica/errors.ts";
import { bootstrapState } from "#replica/replica-node.ts";
import { wantedVoters } from "#replica/roles/roles.ts";
import type { JoinGrant, MemberRecord } from "#replica/types.ts";
import { checkLeases } from "./lease-checker.ts";
import type { PromisedLease } from "./lease-checker.ts";
import { LeaseClient } from "./lease-client.ts";
import { findNonLinearizablePart, UndecidedError } from "./linearizability.ts";
import { BackupClient } from "./backup-client.ts";
import { ReplicaAdversary } from "./replica-adversary.ts";
import { ReplicaInvariants } from "./replica-invariants.ts";
import { ReplicaMachine } from "./replica-machine.ts";
import type { MachineSettings } from "./replica-machine.ts";
import { checkObservations } from "./revision-checker.ts";
import { SeededRandom } from "./seeded-random.ts";
import { CrashSignal } from "./simulated-disk.ts";
import { goodLinks, SimulatedLinks } from "./simulated-links.ts";
import { SimulatedTime } from "./simulated-time.ts";
import { SimulatedNetwork } from "./simulated-transport.ts";
import { StoreClient } from "./store-client.ts";
import type { ClientRecords } from "./store-client.ts";
import { storeModel } from "./store-model.ts";
import type { StoreInput } from "./store-model.ts";
import { Violation } from "./violation.ts";
import { WatchingClient } from "./watching-client.ts";

export interface ReplicaReport {
  seed: number;
  machines: number;
  /** Messages that arrived, timers, ends of disk operations, deeds of clients and of the adversary. */
  steps: number;
  simulatedMs: number;
  operations: number;
  answered: number;
  backups: number;
  revision: number;
  term: number;
  checksum: number;
  /** How often the adversary did what. */
  deeds: Record<string, number>;
  /** The search for an order of all operations on a key was given up; what was checked by revisions still holds. */
  isUndecided: boolean;
  /** Depends on everything that happened, in order: two runs of a seed must agree. */
  traceHash: number;
}

export interface ReplicaSimulationOptions {
  /** After so many the faults end. Default 10,000. */
  faultySteps?: number;
  /** The kinds of faults that there may be. Default: drawn from the seed. */
  faults?: readonly string[];
  trace?(line: string): void;
  /** Makes a deliberate mistake in a machine that is about to start, and in one that has just started. */
  sabotage?(machine: ReplicaMachine): void;
}

const clusterId = "00000000000000c1";
const startMs = 60_000;
const calmMs = 120_000;
const searchLimitSteps = 2_000_000;

export class ReplicaSimulation {
  readonly machines: ReplicaMachine[] = [];
  readonly time = new SimulatedTime();
  readonly links: SimulatedLinks;
  readonly network: SimulatedNetwork;
  readonly #seed: number;
  readonly #options: ReplicaSimulationOptions;
  readonly #random: SeededRandom;
  readonly #settings: MachineSettings;
  readonly #invariants = new ReplicaInvariants(this.machines, () => this.time.nowMs);
  readonly #adversary: ReplicaAdversary;
  readonly #records: ClientRecords = {
    history: [],
    observations: [],
    refused: new Set(),
    unexpected: [],
    answered: 0,
    isDamageAbout: () => this.machines.some(({ mayBeDamaged }) => mayBeDamaged),
  };
  readonly #clients: StoreClient[] = [];
  readonly #leases: PromisedLease[] = [];
  readonly #leaseClients: LeaseClient[] = [];
  readonly #backupClient: BackupClient;
  readonly #watchers: WatchingClient[] = [];
  readonly #clocks: SeededRandom;
  /** By how much clocks may go wrong, as a share; 0 in most runs. */
  readonly #drift: number;
  readonly #touched = new Set<ReplicaMachine>();
  #failure: Error | undefined;
  #hash = 0;
  #isUndecided = false;

  constructor(seed: number, options: ReplicaSimulationOptions = {}) {
    this.#seed = seed;
    this.#options = options;
    this.#random = new SeededRandom(seed, "world");
    this.#clocks = new SeededRandom(seed, "clocks");
    this.#drift = this.#clocks.pick([0, 0, 0.001, 0.1]) ?? 0;
    this.links = new SimulatedLinks(new SeededRandom(seed, "links"));
    this.network = new SimulatedNetwork(this.time, this.links, new SeededRandom(seed, "network"));
    this.network.onDelivery = (from, to, frame) =>
      (this.#hash = crc32(frame, (this.#hash ^ from ^ to) >>> 0));
    this.#adversary = new ReplicaAdversary(this, new SeededRandom(seed, "adversary"), options.faults);
    this.#backupClient = new BackupClient({
      random: new SeededRandom(seed, "backup client"),
      time: this.time,
      observations: this.#records.observations,
      machines: () => this.running(),
      truth: this.#invariants,
      onViolation: (violation) => (this.#failure ??= violation),
    });
    const pick = <T>(items: readonly T[], otherwise: T): T => this.#random.pick(items) ?? otherwise;
    this.#settings = {
      keptLogBytes: pick([3_000, 20_000, 100_000], 20_000),
      segmentBytes: pick([1 << 12, 1 << 16], 1 << 16),
      snapshotChunkBytes: pick([512, 8192, 256 << 10], 8192),
      targets: { voters: pick([3, 3, 5], 3), standbys: pick([0, 1, 3], 1), unresponsiveMs: 3000 },
    };
  }

  get newestRevision(): number {
    return this.#invariants.newestRevision;
  }

  /** Rejects with Violation, or with what a replica died of. */
  async run(): Promise<ReplicaReport> {
    await this.#assemble(this.#random.pick([1, 2, 3, 3, 3, 3, 4, 5]) ?? 3);
    this.#startClients();
    this.#adversary.start();
    const { faultySteps = 10_000 } = this.#options;
    while (this.time.steps < faultySteps) await this.#step(Infinity);
    await this.#calm();
    await this.#requireProgress();
    this.#checkHistories();
    const { store } = this.machines.find(({ leads }) => leads)?.node?.replica ?? {};
    return {
      seed: this.#seed,
      machines: this.machines.length,
      steps: this.time.steps,
      simulatedMs: Math.round(this.time.nowMs),
      operations: this.#records.history.length,
      answered: this.#records.answered,
      backups: this.#backupClient.taken,
      revision: store?.revision ?? 0,
      term: store?.position.term ?? 0,
      checksum: store?.position.checksum ?? 0,
      isUndecided: this.#isUndecided,
      deeds: Object.fromEntries(this.#adversary.deeds),
      traceHash: this.#hash >>> 0,
    };
  }

  /** The member that leads with the highest term, as far as an observer of all can tell. */
  leader(): ReplicaMachine | undefined {
    let newest: ReplicaMachine | undefined;
    let newestTerm = 0;
    for (const machine of this.machines) {
      const { leading, term } = machine.node?.replica.leadership ?? { leading: false, term: 0 };
      if (leading && term > newestTerm) [newest, newestTerm] = [machine, term];
    }
    return newest;
  }

  running(): ReplicaMachine[] {
    return this.machines.filter(({ isRunning }) => isRunning);
  }

  addMachine(member: { id: string; name: string }, peers: MemberRecord[]): ReplicaMachine {
    const number = this.machines.length;
    const clockRate = this.#clocks.between(1 - this.#drift, 1 + this.#drift);
    const machine = new ReplicaMachine(
      { ...member, number, peers, clockRate },
      {
        time: this.time,
        random: new SeededRandom(this.#seed, `machine ${number}`),
        network: this.network,
        clusterId,
        settings: this.#settings,
        events: {
          onFatal: (from, error) => this.#onFatal(from, error),
          onApplied: (...applied) => this.#invariants.onApplied(...applied),
          onDurable: (...durable) => this.#invariants.onDurable(...durable),
          onCopyLost: (id, log) => this.#invariants.onCopyLost(id, log),
          onStep: (from) => this.#onStep(from),
          onReceive: (from) => this.#adversary.onReceive(from),
          trace: (line) => this.trace(line),
        },
      },
    );
    this.machines.push(machine);
    return machine;
  }

  start(machine: ReplicaMachine): void {
    if (machine.isRunning || machine.isGone) return;
    this.trace(`-- start ${machine.name}`);
    this.#options.sabotage?.(machine);
    machine.start();
    if (machine.node !== undefined) this.#options.sabotage?.(machine);
  }

  trace(line: string): void {
    this.#options.trace?.(`${(this.time.nowMs / 1000).toFixed(4)} ${line}`);
  }

  /** One machine begins; the others join as nodes do. */
  async #assemble(count: number): Promise<void> {
    const first = this.addMachine({ id: "0000000000000001", name: "node1" }, []);
    const member = {
      id: first.memberId,
      name: "node1",
      address: "node1:1",
      apiAddress: "",
      failureDomain: "",
    };
    const user = { isAlive: () => true, onOperation() {}, onApplied() {}, onReceive() {} };
    bootstrapState(first.state.mount(user), clusterId, { ...member, witness: false });
    this.start(first);
    await this.#until(() => first.leads, "a first leader");
    for (let number = 2; number <= count; number++) {
      const name = `node${number}`;
      const grant = (await this.#await(
        first.node?.admin("addMember", { name, address: `${name}:1`, apiAddress: "", failureDomain: "" }),
      )) as JoinGrant;
      this.start(this.addMachine(grant.member, grant.peers));
    }
    await this.#until(() => this.#haveRolesSettled(), `${count} machines to have their roles`);
  }

  #startClients(): void {
    const habits = {
      maxPauseMs: this.#random.pick([20, 150, 600]) ?? 150,
      maxValueBytes: this.#random.pick([20, 400, 3000]) ?? 400,
    };
    for (let number = 0; number < 5; number++) {
      const random = new SeededRandom(this.#seed, `client ${number}`);
      const client = new StoreClient(number, { random, time: this.time, records: this.#records, habits });
      this.#clients.push(client);
      client.start(() => this.running());
    }
    for (let number = 0; number < 2; number++) {
      const client = new LeaseClient(number, {
        random: new SeededRandom(this.#seed, `lease client ${number}`),
        time: this.time,
        records: this.#records,
        leases: this.#leases,
        machines: () => this.running(),
        hasEnded: (id) => this.#invariants.leases.get(id) !== undefined,
        onViolation: (violation) => (this.#failure ??= violation),
      });
      this.#leaseClients.push(client);
      client.start();
    }
    this.#backupClient.start();
    for (let number = 0; number < 4; number++) {
      const watcher = new WatchingClient({
        number,
        random: new SeededRandom(this.#seed, `watcher ${number}`),
        time: this.time,
        machines: () => this.running(),
        truth: this.#invariants,
        onViolation: (violation) => (this.#failure ??= violation),
      });
      this.#watchers.push(watcher);
      watcher.start();
    }
  }

  async #step(untilMs: number): Promise<boolean> {
    const isMore = this.time.step(untilMs);
    // What follows from it by promises happens now: ticks come when no promise has anything left to do.
    await new Promise<void>((resolve) => {
      process.nextTick(resolve);
    });
    for (const machine of this.#touched) {
      const restartAfterMs = machine.buryCorpse();
      if (restartAfterMs !== undefined) this.time.after(restartAfterMs, () => this.start(machine));
      this.#invariants.afterStep(machine);
    }
    this.#touched.clear();
    if (this.#failure !== undefined) throw this.#failure;
    return isMore;
  }

  #onStep(machine: ReplicaMachine): void {
    this.#touched.add(machine);
    this.#hash = (Math.imul(this.#hash ^ machine.number, 0x01000193) ^ (this.time.nowMs * 1000)) | 0;
  }

  #onFatal(machine: ReplicaMachine, error: Error): void {
    if (error instanceof CrashSignal) return;
    if (!isDamage(error) || !machine.mayBeDamaged) {
      this.#failure ??= error;
      return;
    }
    this.trace(`-- ${machine.name} has stopped by itself: ${error.message}`);
    machine.isMarkedDamaged = true;
    this.time.after(0, () => machine.crash(false));
    this.time.after(500, () => this.start(machine));
  }

  async #runFor(ms: number): Promise<void> {
    const untilMs = this.time.nowMs + ms;
    while (await this.#step(untilMs));
  }

  async #until(condition: () => boolean, what: string, limitMs = startMs): Promise<void> {
    const untilMs = this.time.nowMs + limitMs;
    while (!condition()) {
      if (this.time.nowMs >= untilMs) throw new Violation(`no progress: waited ${limitMs} ms for ${what}`);
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

  /** No faults any more: everything is switched on, and members that never came are removed. */
  async #calm(): Promise<void> {
    this.trace("-- calm");
    this.#adversary.stop();
    this.links.heal();
    this.links.quality = goodLinks;
    this.network.lossProbability = 0;
    for (const client of [...this.#clients, ...this.#leaseClients, this.#backupClient])
      client.isStopped = true;
    for (const machine of this.machines) {
      machine.disk.flushMs = 2;
      machine.disk.isFull = false;
      machine.disk.failsFlush = undefined;
      machine.state.isFull = false;
      machine.crashPlan = undefined;
      if (machine.isPaused) machine.resume();
      if (!machine.isRunning) this.start(machine);
    }
    await this.#until(() => !this.#adversary.isChangingMembers, "a change of members to end", calmMs);
    await this.#until(() => this.leader() !== undefined, "a leader after the faults", calmMs);
    await this.#until(() => this.machines.every(({ isRejoining }) => !isRejoining), "all to be back", calmMs);
    await this.#tidyMembers();
    await this.#until(() => this.#haveRolesSettled(), "roles to settle", calmMs);
  }

  /** As administrators do: members without a machine are removed, machines that are no members switched off. */
  async #tidyMembers(): Promise<void> {
    const deadlineMs = this.time.nowMs + calmMs;
    for (;;) {
      const leader = this.leader();
      const members = leader?.node?.view.cluster().members ?? [];
      const isKnown = (id: string): boolean =>
        this.machines.some((each) => !each.isGone && each.memberId === id);
      const stray = members.find(({ id }) => !isKnown(id));
      if (leader !== undefined && stray === undefined) {
        this.#switchOffStrangers();
        return;
      }
      if (this.time.nowMs > deadlineMs) throw new Violation("no progress: a member can't be removed");
      await this.#await(leader?.node?.admin("removeMember", stray?.id ?? "").catch(() => undefined));
      await this.#runFor(200);
    }
  }

  /** Also later than the rest: whoever asks for a removal and is told "timed out" may still get it. */
  #switchOffStrangers(): void {
    const members = this.leader()?.node?.view.cluster().members;
    for (const machine of this.machines) {
      if (members === undefined || members.some(({ id }) => id === machine.memberId)) continue;
      machine.isGone = true;
      machine.crash(false);
    }
  }

  /** Every machine serves writes and reads again, and all come to the same state. */
  async #requireProgress(): Promise<void> {
    const habits = { maxPauseMs: 1, maxValueBytes: 1 };
    const parts = { random: this.#random, time: this.time, records: this.#records, habits };
    const client = new StoreClient(100, parts);
    for (const machine of this.running()) {
      const deadlineMs = this.time.nowMs + calmMs;
      const perform = async (input: StoreInput): Promise<void> => {
        for (let attempt = 1; ; attempt++) {
          const unique = input.type === "put" ? { ...input, value: `${input.value} ${attempt}` } : input;
          if ((await this.#await(client.perform(machine, unique))) === true) return;
          this.#switchOffStrangers();
          if (machine.isGone) return;
          if (this.time.nowMs > deadlineMs) {
            throw new Violation(
              `no progress: ${machine.name} does not serve a ${input.type} after the faults`,
            );
          }
          await this.#runFor(100);
        }
      };
      for (const key of ["a", "b", "c", "d", "e"]) await perform({ type: "get", key });
      await perform({ type: "put", key: "e", value: `last of ${machine.name}` });
    }
    const areLeasesOver = (): boolean =>
      [...this.#invariants.leases.values()].every((end) => end !== undefined);
    await this.#until(areLeasesOver, "leases that nobody renews to end", calmMs);
    await this.#until(() => this.#areAllEqual(), "all replicas and watches to be equal", calmMs);
  }

  /** One leader, nothing joint, nobody behind, and as many voters as there should be. */
  #haveRolesSettled(): boolean {
    const leader = this.leader();
    if (leader?.node === undefined) return false;
    const status = leader.node.view.status();
    const { voters, votersOutgoing } = leader.node.replica.confState;
    const { targets } = this.#settings;
    return (
      votersOutgoing.length === 0 &&
      voters.length === wantedVoters(status.members.length, targets.voters) &&
      status.members.every(({ online }) => online)
    );
  }

  #areAllEqual(): boolean {
    const copies = this.running().filter(({ node }) => node?.view.replicates === true);
    const { newestRevision } = this.#invariants;
    return (
      copies.every(({ node }) => node?.replica.store.revision === newestRevision) &&
      this.#watchers.every(({ revision }) => revision === newestRevision)
    );
  }

  #checkHistories(): void {
    const { history, observations, refused, unexpected } = this.#records;
    if (unexpected[0] !== undefined) throw new Violation(`a client was told: ${unexpected[0]}`);
    checkObservations(observations, this.#invariants.events, refused);
    const fastestClock = Math.max(1, ...this.machines.map(({ clockRate }) => clockRate));
    checkLeases(this.#leases, this.#invariants.leases, this.#invariants.events, fastestClock);
    const times = this.#invariants.writtenAtMs;
    const possible = history.filter((each) => each.returnAt !== Infinity || mayHaveHappened(each, times));
    try {
      const broken = findNonLinearizablePart(storeModel, possible, searchLimitSteps);
      if (broken !== undefined) throw new Violation(`the history of key ${broken} is not linearizable`);
    } catch (error) {
      if (!(error instanceof UndecidedError)) throw error;
      this.#isUndecided = true;
    }
  }
}

/**
 * Of an operation without an answer. A write that no machine has ever applied has not happened; one that was
 * applied had happened by then, which leaves fewer orders to try.
 */
function mayHaveHappened(
  operation: ClientRecords["history"][0],
  times: ReadonlyMap<string, number>,
): boolean {
  const { input } = operation;
  if (input.type === "get") return false;
  if (input.type === "delete") return true;
  const atMs = times.get(`${input.key} ${input.value}`);
  if (atMs !== undefined) operation.returnAt = atMs;
  return atMs !== undefined;
}
