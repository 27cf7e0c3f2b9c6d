/**
 * Which leases exist, as notes beside the keys, so that snapshots, backups and rollbacks need no word about
 * them. What a lease holds is written with the keys themselves. Who renews and when one ends is the leader's
 * business (`#replica/lessor.ts`), not the state's.
 */

import { StatusError } from "#base/errors.ts";
import { grantedSeconds, leaseExistsError, leaseNotFoundError } from "#base/leases.ts";
import type { Statements } from "./tables.ts";

/** All of them travel in the first chunk of a snapshot. */
const maxLeases = 100_000;
const prefix = "lease/";
const prefixEnd = "lease0";

export class LeaseTable {
  readonly #statements: Statements;
  /** Granted seconds by id: the notes, held in memory. */
  #granted = new Map<string, number>();
  #changes = 0;

  constructor(statements: Statements) {
    this.#statements = statements;
    this.reload();
  }

  /** Goes up whenever `granted` changes. */
  get changes(): number {
    return this.#changes;
  }

  get granted(): ReadonlyMap<string, number> {
    return this.#granted;
  }

  /** The notes are what they were before: a batch was rolled back. */
  reload(): void {
    const rows = this.#statements.metaFrom.all(prefix, prefixEnd) as { name: string; value: string }[];
    this.#granted = new Map(rows.map(({ name, value }) => [name.slice(prefix.length), Number(value)]));
    this.#changes++;
  }

  grant(id: string, ttlSeconds: number): void {
    const seconds = grantedSeconds(ttlSeconds);
    if (this.#granted.has(id)) throw leaseExistsError();
    if (this.#granted.size >= maxLeases)
      throw new StatusError("TooManyRequests", `there are ${maxLeases} leases already`);
    this.#statements.setMeta.run(prefix + id, String(seconds));
    this.#granted.set(id, seconds);
    this.#changes++;
  }

  /** Returns the keys that go with it. */
  revoke(id: string): string[] {
    if (!this.#granted.has(id)) throw leaseNotFoundError();
    this.#statements.removeMeta.run(prefix + id);
    this.#granted.delete(id);
    this.#changes++;
    return this.keys(id);
  }

  /** Keys that hold the lease, in order. */
  keys(id: string): string[] {
    return (this.#statements.keysOfLease.all(id) as { key: string }[]).map(({ key }) => key);
  }
}
