/** A client that does one thing at a time, on any machine, and remembers what it was told. */

import type { Backend } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { Operation } from "./linearizability.ts";
import type { ReplicaMachine } from "./replica-machine.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedTime } from "./simulated-time.ts";
import type { StoreInput, StoreOutput } from "./store-model.ts";

export type History = Operation<StoreInput, StoreOutput>[];

const keys = ["a", "b", "c", "d"];

export class StoreClient {
  readonly number: number;
  isStopped = false;
  readonly #random: SeededRandom;
  readonly #time: SimulatedTime;
  readonly #history: History;
  #counter = 0;
  /** The newest value it knows of each key, to swap against. */
  readonly #known = new Map<string, string>();

  constructor(number: number, random: SeededRandom, time: SimulatedTime, history: History) {
    this.number = number;
    this.#random = random;
    this.#time = time;
    this.#history = history;
  }

  start(machines: () => ReplicaMachine[]): void {
    this.#time.after(this.#random.between(1, 150), () => {
      if (this.isStopped) return;
      const machine = this.#random.pick(machines());
      if (machine === undefined) this.start(machines);
      else void this.perform(machine, this.#nextInput()).finally(() => this.start(machines));
    });
  }

  /** Resolves to true if it was answered. */
  async perform(machine: ReplicaMachine, input: StoreInput): Promise<boolean> {
    const { backend, life } = machine;
    if (backend === undefined) return false;
    const operation: History[0] = {
      client: this.number,
      input,
      output: undefined,
      callAt: this.#time.nowMs,
      returnAt: Infinity,
    };
    this.#history.push(operation);
    try {
      const output = await execute(backend, input);
      if (machine.life !== life) return false;
      operation.output = output;
      operation.returnAt = this.#time.nowMs;
      if (output.value !== undefined) this.#known.set(input.key, output.value);
      return true;
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      // A promise, too: what was refused has not taken place and never will.
      const isRefused = error.reason === "ServiceUnavailable" || error.reason === "TooManyRequests";
      if (machine.life === life && isRefused) this.#history.splice(this.#history.indexOf(operation), 1);
      return false;
    }
  }

  #nextInput(): StoreInput {
    const key = this.#random.pick(keys) ?? "a";
    const value = `${this.number}.${this.#counter++}`.padEnd(this.#random.integer(400), "-");
    const kind = this.#random.integer(10);
    if (kind < 4) return { type: "get", key };
    if (kind < 7) return { type: "put", key, value };
    if (kind < 8) return { type: "delete", key };
    return { type: "swap", key, expected: this.#known.get(key) ?? "", value };
  }
}

async function execute(backend: Backend, input: StoreInput): Promise<StoreOutput> {
  const { key } = input;
  if (input.type === "get") {
    const { kvs } = await backend.range({ key });
    return { value: text(kvs[0]?.value) };
  }
  if (input.type === "put") {
    await backend.transact({
      compare: [],
      success: [{ type: "put", key, value: bytes(input.value) }],
      failure: [],
    });
    return {};
  }
  if (input.type === "delete") {
    await backend.transact({ compare: [], success: [{ type: "delete", key }], failure: [] });
    return {};
  }
  const { succeeded } = await backend.transact({
    compare: [
      input.expected === ""
        ? { key, operator: "=", target: "version", number: 0 }
        : { key, operator: "=", target: "value", value: bytes(input.expected) },
    ],
    success: [{ type: "put", key, value: bytes(input.value) }],
    failure: [],
  });
  return { succeeded };
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function text(value: Uint8Array | undefined): string {
  return new TextDecoder().decode(value);
}
