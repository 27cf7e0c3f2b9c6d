/**
 * What goes on while a fault lasts: clients that read, write, delete and swap a few keys and remember when they
 * asked and what they were told; writers of keys that nobody changes again; watchers on every node.
 */
import type { Watch, WatchEvent } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { Operation } from "#sim/linearizability.ts";
import type { SeededRandom } from "#sim/seeded-random.ts";
import type { StoreInput, StoreOutput } from "#sim/store-model.ts";
import type { NodeLink } from "./node-link.ts";

export type History = Operation<StoreInput, StoreOutput>[];

const sharedKeys = ["a", "b", "c", "d", "e", "f"];
const pauseMs = 25;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Asks any node, one thing at a time. */
export class SharedClient {
  readonly #number: number;
  readonly #prefix: string;
  readonly #random: SeededRandom;
  readonly #history: History;
  readonly #known = new Map<string, string>();
  #count = 0;

  constructor(number: number, prefix: string, random: SeededRandom, history: History) {
    this.#number = number;
    this.#prefix = prefix;
    this.#random = random;
    this.#history = history;
  }

  async run(links: NodeLink[], until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      const link = this.#random.pick(links);
      if (link !== undefined) await this.#perform(link, this.#nextInput());
      await pause(this.#random.integer(2 * pauseMs));
    }
  }

  async #perform(link: NodeLink, input: StoreInput): Promise<void> {
    const operation: History[0] = {
      client: this.#number,
      input,
      output: undefined,
      callAt: performance.now(),
      returnAt: Infinity,
    };
    this.#history.push(operation);
    try {
      operation.output = await execute(link, this.#prefix, input);
      operation.returnAt = performance.now();
      if (operation.output.value !== undefined) this.#known.set(input.key, operation.output.value);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      // A read without an answer says nothing; a write that was refused has, as promised, not taken place.
      if (input.type === "get" || isRefusal(error)) this.#history.splice(this.#history.indexOf(operation), 1);
    }
  }

  #nextInput(): StoreInput {
    const key = this.#random.pick(sharedKeys) ?? "a";
    const value = `${this.#number}.${this.#count++}`;
    const kind = this.#random.integer(10);
    if (kind < 4) return { type: "get", key };
    if (kind < 6) return { type: "put", key, value };
    if (kind < 7) return { type: "delete", key };
    return { type: "swap", key, expected: this.#known.get(key) ?? "", value };
  }
}

export interface Acknowledged {
  key: string;
  value: string;
  revision: number;
  atMs: number;
}

/** Creates one key after the other through one node. */
export class LedgerWriter {
  readonly acknowledged: Acknowledged[] = [];
  readonly faults: string[] = [];
  readonly #prefix: string;
  readonly #valueBytes: number;

  constructor(prefix: string, valueBytes: number) {
    this.#prefix = prefix;
    this.#valueBytes = valueBytes;
  }

  async run(link: NodeLink, until: AbortSignal): Promise<void> {
    for (let number = 0; !until.aborted; number++) {
      const key = `${this.#prefix}w/${link.name}-${number}`;
      const value = key.padEnd(this.#valueBytes, ".");
      try {
        const { succeeded, revision } = await link.backend.transact({
          compare: [{ key, operator: "=", target: "version", number: 0 }],
          success: [{ type: "put", key, value: encoder.encode(value) }],
          failure: [],
        });
        if (succeeded) this.acknowledged.push({ key, value, revision, atMs: performance.now() });
        else this.faults.push(`${key} was found to exist by the transaction that creates it`);
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
      }
      await pause(pauseMs);
    }
  }
}

/** Follows a prefix through one node, and goes on where it was when the watch ends. */
export class Watcher {
  readonly events: string[] = [];
  readonly faults: string[] = [];
  readonly #link: NodeLink;
  readonly #prefix: string;
  #next: number;
  #watch: Watch | undefined;
  #stopped = false;
  #lastRevision = 0;

  constructor(link: NodeLink, prefix: string, fromRevision: number) {
    this.#link = link;
    this.#prefix = prefix;
    this.#next = fromRevision;
    this.#start();
  }

  stop(): void {
    this.#stopped = true;
    this.#watch?.cancel();
  }

  #start(): void {
    if (this.#stopped) return;
    try {
      this.#watch = this.#link.backend.watch(
        { key: this.#prefix, end: endOf(this.#prefix), fromRevision: this.#next },
        {
          onEvents: (events, revision) => this.#onEvents(events, revision),
          onEnd: (error) => this.#onEnd(error),
        },
      );
    } catch (error) {
      this.#onEnd(error as Error);
    }
  }

  #onEvents(events: readonly WatchEvent[], revision: number): void {
    for (const event of events) {
      const { modRevision } = event.kv;
      if (modRevision < this.#next || modRevision < this.#lastRevision)
        this.faults.push(
          `the watch on ${this.#link.name} was told of ${modRevision} after ${this.#next - 1}`,
        );
      this.#lastRevision = modRevision;
      this.events.push(describe(event));
    }
    this.#next = Math.max(this.#next, revision + 1);
  }

  #onEnd(error: Error | undefined): void {
    if (error instanceof StatusError && error.reason === "Expired")
      this.faults.push(`the watch on ${this.#link.name} is too old: ${error.message}`);
    if (!this.#stopped) setTimeout(() => this.#start(), 100);
  }
}

/** One line that is equal for equal events. */
export function describe({ type, kv }: WatchEvent): string {
  const { key, modRevision, createRevision, version, value } = kv;
  const made = type === "put" ? ` ${createRevision} ${version} ${decoder.decode(value)}` : "";
  return `${modRevision} ${type} ${key}${made}`;
}

/** Of a prefix that ends with a slash: "0" is the character behind it. */
export function endOf(prefix: string): string {
  return `${prefix.slice(0, -1)}0`;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function isRefusal({ reason }: StatusError): boolean {
  return reason === "ServiceUnavailable" || reason === "TooManyRequests";
}

async function execute(link: NodeLink, prefix: string, input: StoreInput): Promise<StoreOutput> {
  const key = `${prefix}r/${input.key}`;
  const { backend } = link;
  switch (input.type) {
    case "get": {
      const { kvs } = await backend.range({ key });
      return { value: decoder.decode(kvs[0]?.value) };
    }
    case "put":
      await backend.transact({
        compare: [],
        success: [{ type: "put", key, value: encoder.encode(input.value) }],
        failure: [],
      });
      return {};
    case "delete":
      await backend.transact({ compare: [], success: [{ type: "delete", key }], failure: [] });
      return {};
    default: {
      const { succeeded } = await backend.transact({
        compare: [
          input.expected === ""
            ? { key, operator: "=", target: "version", number: 0 }
            : { key, operator: "=", target: "value", value: encoder.encode(input.expected) },
        ],
        success: [{ type: "put", key, value: encoder.encode(input.value) }],
        failure: [],
      });
      return { succeeded };
    }
  }
}
