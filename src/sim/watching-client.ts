/**
 * A client that watches a range of keys on one machine after another and must see every change of it once and
 * in order. Where it can't, the watch has to end and say so.
 */

import type { Watch, WatchEvent, WatchRequest } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { inKeyRange } from "#base/key-range.ts";
import type { ReplicaMachine } from "./replica-machine.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedTime } from "./simulated-time.ts";
import { Violation } from "./violation.ts";

const ranges: { key: string; end?: string }[] = [
  { key: "\0", end: "\0" },
  { key: "a", end: "c" },
  { key: "x" },
];

export class WatchingClient {
  /** All revisions up to it have been seen. */
  revision = 1;
  readonly #random: SeededRandom;
  readonly #time: SimulatedTime;
  readonly #range: { key: string; end?: string };
  readonly #machines: () => ReplicaMachine[];
  readonly #truth: { events: ReadonlyMap<number, WatchEvent[]>; compactRevision: number };
  readonly #onViolation: (violation: Violation) => void;
  /** Counts watches: calls of an earlier one are none of its business. */
  #watch = 0;
  #standing: Watch | undefined;

  constructor(parts: {
    number: number;
    random: SeededRandom;
    time: SimulatedTime;
    /** Where it may watch. */
    machines(): ReplicaMachine[];
    truth: { events: ReadonlyMap<number, WatchEvent[]>; compactRevision: number };
    onViolation(violation: Violation): void;
  }) {
    this.#random = parts.random;
    this.#time = parts.time;
    this.#range = ranges[parts.number % ranges.length] ?? { key: "x" };
    this.#machines = () => parts.machines();
    this.#truth = parts.truth;
    this.#onViolation = (violation) => parts.onViolation(violation);
  }

  start(): void {
    const machine = this.#random.pick(this.#machines());
    if (machine?.backend === undefined) {
      this.#again();
      return;
    }
    const { backend, life } = machine;
    const watch = ++this.#watch;
    const isCurrent = (): boolean => watch === this.#watch && machine.life === life;
    const request: WatchRequest = { ...this.#range, fromRevision: this.revision + 1 };
    try {
      this.#standing = backend.watch(request, {
        onEvents: (events, revision) => {
          if (isCurrent()) this.#take(events, revision, machine);
        },
        onEnd: (error) => {
          if (isCurrent() && error !== undefined) this.#onEnd(error);
        },
      });
    } catch (error) {
      this.#onEnd(error as Error);
      return;
    }
    this.#supervise(machine, life, watch);
  }

  /** A connection to a machine that has died ends; now and then a client goes elsewhere on its own. */
  #supervise(machine: ReplicaMachine, life: number, watch: number): void {
    this.#time.after(this.#random.between(200, 800), () => {
      if (watch !== this.#watch) return;
      if (machine.life !== life) this.start();
      else if (!machine.isPaused && this.#random.chance(0.05)) {
        this.#watch++;
        this.#standing?.cancel();
        this.start();
      } else this.#supervise(machine, life, watch);
    });
  }

  #onEnd(error: Error): void {
    this.#watch++;
    if (!(error instanceof StatusError)) throw error;
    // What is compacted can't be watched any more; that the watch has said so is what was promised.
    if (error.reason === "Expired") this.revision = Math.max(this.revision, this.#truth.compactRevision - 1);
    this.#again();
  }

  #again(): void {
    const watch = this.#watch;
    this.#time.after(this.#random.between(50, 400), () => {
      if (watch === this.#watch) this.start();
    });
  }

  #take(events: readonly WatchEvent[], revision: number, machine: ReplicaMachine): void {
    const expected: string[] = [];
    for (let at = this.revision + 1; at <= revision; at++) {
      for (const event of this.#truth.events.get(at) ?? []) {
        if (inKeyRange(event.kv.key, this.#range.key, this.#range.end)) expected.push(show(event));
      }
    }
    if (events.map(show).join("; ") !== expected.join("; ")) {
      this.#onViolation(
        new Violation(
          `a watch on ${machine.name} got other events for revisions ${this.revision + 1} to ${revision} than there were`,
        ),
      );
    }
    this.revision = Math.max(this.revision, revision);
  }
}

/** Without the state before it, which may be compacted. */
function show({ type, kv }: WatchEvent): string {
  return `${type} ${kv.key} ${kv.modRevision} ${kv.version} ${Buffer.from(kv.value).toString("latin1")}`;
}
