/**
 * The leases of the cluster as one replica sees them. Granting and revoking are entries of the log; renewals
 * live in the leader's memory only. The leader revokes what nobody has renewed in time, under its own term,
 * so that one that has been deposed ends no lease that its successor has just renewed. A new leader gives
 * every lease its whole time again. What exists is the state's to say (`#store/lease-table.ts`).
 */

import { StatusError } from "#base/errors.ts";
import type { LeaseInfo, Leases } from "#base/leases.ts";
import { grantedSeconds, leaseIdFrom, leaseNotFoundError, remoteLeases, runLeaseCall } from "#base/leases.ts";
import type { Store } from "#store/store.ts";
import { noLeaderError } from "./errors.ts";
import { readLeaseCall } from "./peers/peer-json.ts";
import type { Replica } from "./replica.ts";

const expiryMs = 500;
/** A burst of leases that end together must not fill the log in one go. */
const revokedAtOnce = 500;
const askAgainMs = 100;

export class Lessor implements Leases {
  readonly #replica: Replica;
  /** Monotonic end of each lease; only while this replica leads. */
  readonly #ends = new Map<string, number>();
  readonly #revoking = new Map<string, Promise<void>>();
  #seen: { store: Store; changes: number; term: number } | undefined;
  #lookedMs = -Infinity;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  async grant(wanted: string, ttlSeconds: number) {
    const { clock, random } = this.#replica.ports;
    const seconds = grantedSeconds(ttlSeconds);
    const id = wanted === "0" ? leaseIdFrom(random.bytes(8)) : wanted;
    const { revision } = await this.#replica.propose({
      type: "leaseGrant",
      timeMs: clock.nowMs(),
      id,
      ttlSeconds: seconds,
    });
    return { id, ttlSeconds: seconds, revision };
  }

  async revoke(id: string): Promise<number> {
    const timeMs = this.#replica.ports.clock.nowMs();
    return (await this.#replica.propose({ type: "leaseRevoke", timeMs, id })).revision;
  }

  renew(id: string): Promise<number> {
    return this.#atLeader(
      () => this.#renew(id),
      (leader) => leader.renew(id),
    );
  }

  inspect(id: string, withKeys: boolean): Promise<LeaseInfo> {
    return this.#atLeader(
      () => this.#inspect(id, withKeys),
      (leader) => leader.inspect(id, withKeys),
    );
  }

  async list(): Promise<string[]> {
    await this.#replica.readBarrier();
    return [...this.#replica.store.leases.granted.keys()];
  }

  /** A call of another member, which takes this one for the leader. */
  async serve(body: Uint8Array): Promise<Uint8Array> {
    if (!this.#replica.leadership.leading) throw noLeaderError();
    const call = readLeaseCall(Buffer.from(body).toString("utf8"));
    return Buffer.from(JSON.stringify(await runLeaseCall(this, call)));
  }

  /** With every tick: the leader ends what was not renewed. */
  onTick(): void {
    if (!this.#replica.leadership.leading) {
      this.#forget();
      return;
    }
    this.#sync();
    const now = this.#replica.ports.clock.monotonicMs();
    if (now - this.#lookedMs < expiryMs) return;
    this.#lookedMs = now;
    for (const [id, endMs] of this.#ends) {
      if (this.#revoking.size >= revokedAtOnce) return;
      if (endMs <= now) void this.#expire(id);
    }
  }

  async #renew(id: string): Promise<number> {
    const { term } = this.#replica.leadership;
    // A leader that has lost its majority, and does not know it yet, must not promise anything.
    await this.#replica.readBarrier();
    this.#mustLead(term);
    const seconds = this.#replica.store.leases.granted.get(id);
    const endMs = this.#ends.get(id);
    if (seconds === undefined || endMs === undefined) throw leaseNotFoundError();
    const now = this.#replica.ports.clock.monotonicMs();
    if (endMs <= now) {
      await this.#expire(id);
      if (!this.#replica.store.hasLease(id)) throw leaseNotFoundError();
      throw noLeaderError();
    }
    this.#ends.set(id, now + seconds * 1000);
    return seconds;
  }

  async #inspect(id: string, withKeys: boolean): Promise<LeaseInfo> {
    const { term } = this.#replica.leadership;
    await this.#replica.readBarrier();
    this.#mustLead(term);
    const { leases } = this.#replica.store;
    const granted = leases.granted.get(id);
    const endMs = this.#ends.get(id);
    if (granted === undefined || endMs === undefined) throw leaseNotFoundError();
    const leftMs = endMs - this.#replica.ports.clock.monotonicMs();
    return {
      id,
      ttlSeconds: Math.max(Math.floor(leftMs / 1000), 0),
      grantedSeconds: granted,
      keys: withKeys ? leases.keys(id) : [],
    };
  }

  #mustLead(term: number): void {
    const { leading, term: now } = this.#replica.leadership;
    if (!leading || now !== term) throw noLeaderError();
    this.#sync();
  }

  /** Revokes once, however often it is asked for. Ends without an error: what failed is tried again. */
  #expire(id: string): Promise<void> {
    const known = this.#revoking.get(id);
    if (known !== undefined) return known;
    const { ports, leadership } = this.#replica;
    const command = {
      type: "leaseRevoke",
      timeMs: ports.clock.nowMs(),
      id,
      fenceTerm: leadership.term,
    } as const;
    const revoking = this.#replica
      .propose(command)
      .then(
        () => undefined,
        (error: unknown) => ports.logger.debug("a lease was not revoked", { id, error: String(error) }),
      )
      .finally(() => this.#revoking.delete(id));
    this.#revoking.set(id, revoking);
    return revoking;
  }

  /** Takes over what the state says about who has a lease. */
  #sync(): void {
    const { store, leadership, ports } = this.#replica;
    const { changes, granted } = store.leases;
    const { term } = leadership;
    const seen = this.#seen;
    if (seen?.store === store && seen.changes === changes && seen.term === term) return;
    if (seen?.term !== term) this.#forget();
    this.#seen = { store, changes, term };
    const now = ports.clock.monotonicMs();
    for (const [id, seconds] of granted) if (!this.#ends.has(id)) this.#ends.set(id, now + seconds * 1000);
    if (this.#ends.size > granted.size)
      for (const id of this.#ends.keys()) if (!granted.has(id)) this.#ends.delete(id);
  }

  #forget(): void {
    this.#seen = undefined;
    this.#ends.clear();
  }

  /** Here if this replica leads, else at the leader; waits for one as long as a call may take. */
  async #atLeader<T>(here: () => Promise<T>, there: (leader: Leases) => Promise<T>): Promise<T> {
    const { ports, config, calls } = this.#replica;
    const deadline = ports.clock.monotonicMs() + config.timeoutMs / 2;
    for (;;) {
      try {
        if (this.#replica.leadership.leading) return await here();
        const { leader } = this.#replica.raftStatus.softState;
        if (leader === 0 || leader === this.#replica.id) throw noLeaderError();
        return await there(
          remoteLeases(async (call) => {
            const body = Buffer.from(JSON.stringify(call));
            const answer = await calls.call(leader, "lease", body, config.timeoutMs / 2);
            return JSON.parse(Buffer.from(answer).toString("utf8")) as unknown;
          }),
        );
      } catch (error) {
        const again = error instanceof StatusError && error.reason === "ServiceUnavailable";
        if (!again || this.#replica.stopped || ports.clock.monotonicMs() > deadline) throw error;
      }
      await new Promise<void>((resolve) => {
        ports.clock.setTimer(askAgainMs, resolve);
      });
    }
  }
}
