/**
 * A client that takes backups through any machine while everything goes wrong, and restores each of them somewhere
 * else: to its own revision, or to one further back. What a backup says it is, and what comes out of it, must be
 * what the log of changes says.
 */

import type { KeyValue, RangeResult, WatchEvent } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { isDamage } from "#replica/errors.ts";
import { renewState } from "#store/renewal.ts";
import { SnapshotWriter } from "#store/snapshot.ts";
import type { StorePosition } from "#store/store.ts";
import { Store } from "#store/store.ts";
import type { ReplicaMachine } from "./replica-machine.ts";
import type { Observation } from "./revision-checker.ts";
import { stateAt } from "./revision-checker.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedTime } from "./simulated-time.ts";
import { Violation } from "./violation.ts";

interface BackupClientParts {
  random: SeededRandom;
  time: SimulatedTime;
  observations: Observation[];
  /** Where it may ask. */
  machines: () => ReplicaMachine[];
  truth: { events: ReadonlyMap<number, WatchEvent[]>; checksumAt(index: number): number | undefined };
  onViolation: (violation: Violation) => void;
}

const everything = { key: "\0", end: "\0" };

export class BackupClient {
  isStopped = false;
  /** Backups that came to their end. */
  taken = 0;
  readonly #parts: BackupClientParts;

  constructor(parts: BackupClientParts) {
    this.#parts = parts;
  }

  /** From now on, until it is stopped, one backup after the other. */
  start(): void {
    void this.#live();
  }

  async #live(): Promise<void> {
    const { random, machines } = this.#parts;
    for (;;) {
      await this.#parts.time.pause(random.between(300, 4000));
      if (this.isStopped) return;
      const machine = random.pick(machines());
      if (machine?.node !== undefined) await this.#take(machine);
    }
  }

  async #take(machine: ReplicaMachine): Promise<void> {
    const { random, time, observations } = this.#parts;
    const unconfirmed = random.chance(0.3);
    const callAt = time.nowMs;
    const writer = new SnapshotWriter(":memory:");
    try {
      const begun = await this.#read(machine, unconfirmed, writer);
      if (begun === undefined) return;
      this.taken++;
      this.#checkPosition(writer.position, begun.revision);
      const result = contentOf(writer);
      const request = unconfirmed ? { ...everything, serializable: true } : everything;
      observations.push({ type: "range", request, result, callAt, returnAt: begun.atMs });
      this.#restore(writer);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#parts.onViolation(error);
    } finally {
      writer.close();
    }
  }

  /** Undefined: the machine has died, or can't give a backup now, or this client has lost interest. */
  async #read(
    machine: ReplicaMachine,
    unconfirmed: boolean,
    writer: SnapshotWriter,
  ): Promise<{ revision: number; atMs: number } | undefined> {
    const { random, time } = this.#parts;
    const { node, life } = machine;
    if (node === undefined) return undefined;
    try {
      time.steps++;
      const { info, token } = await this.#orSilence(node.backups.begin(unconfirmed));
      const atMs = time.nowMs;
      for (let after: number | undefined = 0; after !== undefined;) {
        await this.#parts.time.pause(random.between(0, 40));
        if (machine.life !== life || random.chance(0.02)) return undefined;
        time.steps++;
        const { bytes, next }: { bytes: Uint8Array; next: number | undefined } = await this.#orSilence(
          node.backups.chunk(token, after),
        );
        if (machine.life !== life) return undefined;
        writer.add(bytes);
        after = next;
      }
      return { revision: info.revision, atMs };
    } catch (error) {
      if (error instanceof StatusError || machine.life !== life) return undefined;
      if (isDamage(error) && machine.mayBeDamaged) return undefined;
      throw error;
    }
  }

  #checkPosition({ index, checksum, revision }: StorePosition, told: number): void {
    if (revision !== told) throw new Violation(`a backup of revision ${told} is one of revision ${revision}`);
    const known = this.#parts.truth.checksumAt(index);
    if (known !== undefined && known !== checksum)
      throw new Violation(`a backup has another state at index ${index} than the machines`);
  }

  #restore(writer: SnapshotWriter): void {
    const { random } = this.#parts;
    const { revision: newest, compactRevision } = writer.position;
    const oldest = Math.max(compactRevision, 1);
    const target = oldest + random.integer(newest - oldest + 1);
    const at = random.chance(0.5) ? undefined : { revision: target };
    const { content, position } = renewState(writer.database, {
      ...(at === undefined ? {} : { at }),
      notes: () => ({}),
    });
    if (content !== (at === undefined ? newest : target) || position.revision <= newest)
      throw new Violation(`a restore to revision ${target} is one to ${content}`);
    const expected = stateAt(this.#parts.truth.events, content).values();
    if (contentOf(writer).kvs.map(show).join("; ") !== [...expected].map(show).toSorted().join("; "))
      throw new Violation(`what was restored to revision ${content} is not what there was`);
  }

  /** Who asks a machine that dies meanwhile never hears anything, and gives up. */
  async #orSilence<T>(answer: Promise<T>): Promise<T> {
    const silence = this.#parts.time.pause(60_000).then(() => {
      throw new StatusError("Timeout", "no answer");
    });
    silence.catch(() => undefined);
    return Promise.race([answer, silence]);
  }
}

function contentOf({ database }: SnapshotWriter): RangeResult {
  return new Store(":memory:", { database }).read(everything);
}

function show({ key, value }: KeyValue): string {
  return `${key} ${Buffer.from(value).toString("latin1")}`;
}
