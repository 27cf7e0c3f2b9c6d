/**
 * A client that does one thing at a time, on any machine, and remembers what it was told. Values are unique, so
 * that each can be found again.
 */

import type { Backend, RangeRequest, Transaction, TransactionResult } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { isDamage } from "#replica/errors.ts";
import type { Operation } from "./linearizability.ts";
import type { ReplicaMachine } from "./replica-machine.ts";
import type { Observation } from "./revision-checker.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedTime } from "./simulated-time.ts";
import type { StoreInput, StoreOutput } from "./store-model.ts";

/** All that clients were told. */
export interface ClientRecords {
  /** Operations on single keys. */
  history: Operation<StoreInput, StoreOutput>[];
  observations: Observation[];
  /** "key value" of writes that were said not to have taken place. */
  refused: Set<string>;
  /** Errors that no client should get. */
  unexpected: string[];
  answered: number;
  /** Whether anything was done to a machine's disk after which its state may turn out to be damaged. */
  isDamageAbout: () => boolean;
}

/** An answer that is right where a state may be damaged. One of another machine's state comes as a status. */
export function isExpectedDamage(error: unknown, { isDamageAbout }: ClientRecords): boolean {
  const tellsOfIt =
    error instanceof StatusError && error.message.startsWith("the datastore's state is damaged");
  return (tellsOfIt || isDamage(error)) && isDamageAbout();
}

export interface ClientHabits {
  maxPauseMs: number;
  maxValueBytes: number;
}

const keys = ["a", "b", "c", "d"];
/** Written together, so that who reads one without the other's value has seen half of a transaction. */
const pair = ["x", "y"];

export class StoreClient {
  readonly number: number;
  isStopped = false;
  readonly #random: SeededRandom;
  readonly #time: SimulatedTime;
  readonly #records: ClientRecords;
  readonly #habits: ClientHabits;
  #counter = 0;
  /** The newest value it knows of each key, to swap against. */
  readonly #known = new Map<string, string>();
  #knownPair = 0;
  #seenRevision = 1;

  constructor(
    number: number,
    parts: { random: SeededRandom; time: SimulatedTime; records: ClientRecords; habits: ClientHabits },
  ) {
    this.number = number;
    this.#random = parts.random;
    this.#time = parts.time;
    this.#records = parts.records;
    this.#habits = parts.habits;
  }

  start(machines: () => ReplicaMachine[]): void {
    this.#time.after(this.#random.between(1, this.#habits.maxPauseMs), () => {
      if (this.isStopped) return;
      this.#time.steps++;
      const machine = this.#random.pick(machines());
      if (machine === undefined) this.start(machines);
      else void this.#doSomething(machine).finally(() => this.start(machines));
    });
  }

  /** One operation on one key. Resolves to true if it was answered. */
  async perform(machine: ReplicaMachine, input: StoreInput): Promise<boolean> {
    const { history } = this.#records;
    const operation: (typeof history)[0] = {
      client: this.number,
      input,
      output: undefined,
      callAt: this.#time.nowMs,
      returnAt: Infinity,
    };
    history.push(operation);
    const outcome = await this.#outcome(machine, (backend) => this.#execute(backend, input));
    if (outcome.type === "refused") history.splice(history.indexOf(operation), 1);
    if (outcome.type === "refused" && "value" in input) {
      this.#records.refused.add(`${input.key} ${input.value}`);
    }
    if (outcome.type !== "answer") return false;
    operation.output = outcome.value;
    operation.returnAt = this.#time.nowMs;
    if (outcome.value.value !== undefined) this.#known.set(input.key, outcome.value.value);
    return true;
  }

  #doSomething(machine: ReplicaMachine): Promise<unknown> {
    const kind = this.#random.integer(14);
    if (kind < 10) return this.perform(machine, this.#nextInput(kind));
    if (kind < 12) return this.#writePair(machine);
    return this.#list(machine);
  }

  #nextInput(kind: number): StoreInput {
    const key = this.#random.pick(keys) ?? "a";
    const value = this.#nextValue();
    if (kind < 4) return { type: "get", key };
    if (kind < 7) return { type: "put", key, value };
    if (kind < 8) return { type: "delete", key };
    return { type: "swap", key, expected: this.#known.get(key) ?? "", value };
  }

  #nextValue(): string {
    const label = `${this.number}.${this.#counter++}`;
    return label.padEnd(this.#random.integer(this.#habits.maxValueBytes), "-");
  }

  async #writePair(machine: ReplicaMachine): Promise<void> {
    const value = this.#nextValue();
    const transaction: Transaction = {
      compare: this.#random.chance(0.5)
        ? [{ key: "x", operator: "=", target: "mod", number: this.#knownPair }]
        : [],
      success: pair.map((key) => ({ type: "put", key, value: bytes(value) })),
      failure: [{ type: "range", request: { key: "x" } }],
    };
    const outcome = await this.#outcome(machine, (backend) => this.#transact(backend, transaction));
    if (outcome.type === "refused") for (const key of pair) this.#records.refused.add(`${key} ${value}`);
    if (outcome.type !== "answer") return;
    const [first] = outcome.value.results;
    if (outcome.value.succeeded) this.#knownPair = outcome.value.revision;
    else if (first?.type === "range") this.#knownPair = first.result.kvs[0]?.modRevision ?? 0;
  }

  /** Everything, now or as it was, from a quorum or not. */
  async #list(machine: ReplicaMachine): Promise<void> {
    const request: RangeRequest = { key: "\0", end: "\0" };
    // A replica that is behind knows nothing of revisions that others have reached.
    if (this.#random.chance(0.3)) request.serializable = true;
    else if (this.#random.chance(0.4)) {
      request.revision = Math.max(1, this.#seenRevision - this.#random.integer(10));
    }
    await this.#outcome(machine, (backend) => this.#range(backend, request));
  }

  async #execute(backend: Backend, input: StoreInput): Promise<StoreOutput> {
    const { key } = input;
    if (input.type === "get") {
      const { kvs } = await this.#range(backend, { key });
      return { value: text(kvs[0]?.value) };
    }
    if (input.type === "delete") {
      await this.#transact(backend, { compare: [], success: [{ type: "delete", key }], failure: [] });
      return {};
    }
    const put = { type: "put" as const, key, value: bytes(input.value) };
    if (input.type === "put") {
      await this.#transact(backend, { compare: [], success: [put], failure: [] });
      return {};
    }
    const { succeeded } = await this.#transact(backend, {
      compare: [
        input.expected === ""
          ? { key, operator: "=", target: "version", number: 0 }
          : { key, operator: "=", target: "value", value: bytes(input.expected) },
      ],
      success: [put],
      failure: [],
    });
    return { succeeded };
  }

  async #range(backend: Backend, request: RangeRequest) {
    const callAt = this.#time.nowMs;
    const result = await backend.range(request);
    this.#observe(() => ({ type: "range", request, result, callAt, returnAt: this.#time.nowMs }));
    return result;
  }

  async #transact(backend: Backend, transaction: Transaction): Promise<TransactionResult> {
    const callAt = this.#time.nowMs;
    const result = await backend.transact(transaction);
    this.#observe(() => ({ type: "transact", transaction, result, callAt, returnAt: this.#time.nowMs }));
    return result;
  }

  #observation: (() => Observation) | undefined;

  #observe(make: () => Observation): void {
    this.#observation = make;
  }

  /** An answer of a machine that has died meanwhile never arrives. */
  async #outcome<T>(
    machine: ReplicaMachine,
    work: (backend: Backend) => Promise<T>,
  ): Promise<{ type: "answer"; value: T } | { type: "refused" | "unknown" }> {
    const { backend, life } = machine;
    if (backend === undefined) return { type: "refused" };
    this.#observation = undefined;
    try {
      const value = await work(backend);
      if (machine.life !== life) return { type: "unknown" };
      const observation = this.#observation as (() => Observation) | undefined;
      if (observation !== undefined) {
        const observed = observation();
        this.#records.observations.push(observed);
        this.#seenRevision = Math.max(this.#seenRevision, observed.result.revision);
      }
      this.#records.answered++;
      return { type: "answer", value };
    } catch (error) {
      if (isExpectedDamage(error, this.#records)) return { type: "unknown" };
      if (!(error instanceof StatusError)) throw error;
      if (machine.life !== life) return { type: "unknown" };
      // A promise, too: what was refused has not taken place and never will.
      if (error.reason === "ServiceUnavailable" || error.reason === "TooManyRequests")
        return { type: "refused" };
      const isExpected = error.reason === "Timeout" || error.reason === "Expired";
      if (!isExpected) this.#records.unexpected.push(`${error.reason}: ${error.message}`);
      return { type: "unknown" };
    }
  }
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function text(value: Uint8Array | undefined): string {
  return new TextDecoder().decode(value);
}
