/**
 * A client that takes leases, puts keys under them, renews them for a while through any machine, and gives them
 * back or forgets them. It remembers what it was promised; `lease-checker.ts` holds it against what happened.
 */

import type { Backend, Transaction } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { PromisedLease } from "./lease-checker.ts";
import type { ReplicaMachine } from "./replica-machine.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedTime } from "./simulated-time.ts";
import type { ClientRecords } from "./store-client.ts";
import { isExpectedDamage } from "./store-client.ts";
import { Violation } from "./violation.ts";

const shortestSeconds = 2;
const longestSeconds = 4;

interface LeaseClientParts {
  random: SeededRandom;
  time: SimulatedTime;
  records: ClientRecords;
  /** All that were granted, for the checker. */
  leases: PromisedLease[];
  /** Where it may ask. */
  machines: () => ReplicaMachine[];
  /** Whether any machine has applied the lease's end. */
  hasEnded: (id: string) => boolean;
  onViolation: (violation: Violation) => void;
}

export class LeaseClient {
  isStopped = false;
  readonly #number: number;
  readonly #parts: LeaseClientParts;
  #counter = 0;

  constructor(number: number, parts: LeaseClientParts) {
    this.#number = number;
    this.#parts = parts;
  }

  /** From now on, until it is stopped, one lease after the other. */
  start(): void {
    void this.#live();
  }

  async #live(): Promise<void> {
    const { random } = this.#parts;
    for (;;) {
      await this.#parts.time.pause(random.between(50, 1500));
      if (this.isStopped) return;
      const lease = await this.#grant();
      if (lease === undefined || !(await this.#putKeys(lease))) continue;
      await this.#keepFor(lease, random.integer(6));
      if (random.chance(0.4)) await this.#revoke(lease);
    }
  }

  async #grant(): Promise<PromisedLease | undefined> {
    const { random, leases } = this.#parts;
    const id = String((this.#number + 1) * 100_000 + this.#counter++);
    const ttlSeconds = shortestSeconds + random.integer(longestSeconds - shortestSeconds + 1);
    const granted = await this.#call((backend) => backend.leases.grant(id, ttlSeconds));
    if (granted === undefined) return undefined;
    const lease = { id, ttlSeconds, promisedAtMs: granted.callAt, isGivenBack: false };
    leases.push(lease);
    return lease;
  }

  async #putKeys(lease: PromisedLease): Promise<boolean> {
    const { records, random } = this.#parts;
    const keys = Array.from({ length: 1 + random.integer(3) }, (_, at) => `lease/${lease.id}/${at}`);
    const transaction: Transaction = {
      compare: [],
      success: keys.map((key) => ({ type: "put", key, value: bytes(key), lease: lease.id })),
      failure: [],
    };
    const refused = (): void => keys.forEach((key) => records.refused.add(`${key} ${key}`));
    const put = await this.#call((backend) => backend.transact(transaction), { lease, refused });
    if (put === undefined) return false;
    const { callAt, returnAt, value: result } = put;
    records.observations.push({ type: "transact", transaction, result, callAt, returnAt });
    return true;
  }

  /** Renews some times, now and then too late. */
  async #keepFor(lease: PromisedLease, times: number): Promise<void> {
    const { random } = this.#parts;
    for (let time = 0; time < times && !this.isStopped; time++) {
      await this.#parts.time.pause(lease.ttlSeconds * 1000 * random.between(0, 1.1));
      const renewed = await this.#call((backend) => backend.leases.renew(lease.id), { lease });
      if (renewed !== undefined) lease.promisedAtMs = Math.max(lease.promisedAtMs, renewed.callAt);
    }
  }

  async #revoke(lease: PromisedLease): Promise<void> {
    lease.isGivenBack = true;
    const { hasEnded, onViolation } = this.#parts;
    const revoked = await this.#call((backend) => backend.leases.revoke(lease.id), { lease });
    if (revoked !== undefined && !hasEnded(lease.id))
      onViolation(new Violation(`lease ${lease.id} was said to be revoked, and no machine has ended it`));
  }

  /** Undefined: there was no answer, or one that promises nothing. "Not found" must be true. */
  async #call<T>(
    work: (backend: Backend) => Promise<T>,
    context: { lease?: PromisedLease; refused?: () => void } = {},
  ): Promise<{ value: T; callAt: number; returnAt: number } | undefined> {
    const { time, random, records, machines, hasEnded, onViolation } = this.#parts;
    const machine = random.pick(machines());
    if (machine?.backend === undefined) {
      context.refused?.();
      return undefined;
    }
    const { backend, life } = machine;
    time.steps++;
    const callAt = time.nowMs;
    try {
      // One that asks a machine that is switched off meanwhile never hears anything: it gives up.
      const value = await Promise.race([work(backend), this.#silence()]);
      if (machine.life !== life || value === undefined) return undefined;
      records.answered++;
      return { value, callAt, returnAt: time.nowMs };
    } catch (error) {
      if (isExpectedDamage(error, records)) return undefined;
      if (!(error instanceof StatusError)) throw error;
      if (machine.life !== life) return undefined;
      const { reason, message } = error;
      if (reason === "ServiceUnavailable" || reason === "TooManyRequests") context.refused?.();
      else if (reason === "NotFound" && context.lease !== undefined) {
        if (!hasEnded(context.lease.id))
          onViolation(
            new Violation(`lease ${context.lease.id} is not found by ${machine.name}, and has not ended`),
          );
      } else if (reason !== "Timeout") records.unexpected.push(`${reason}: ${message}`);
      return undefined;
    }
  }

  async #silence(): Promise<undefined> {
    await this.#parts.time.pause(60_000);
    return undefined;
  }
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
