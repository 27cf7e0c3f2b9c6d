/**
 * Leases with a lifetime, etcd's way: keys that were put with a lease are deleted, in one revision, when
 * it is revoked or has not been renewed for its time to live. Rules and error texts are etcd's (server/lease).
 */

import { StatusError } from "#base/errors.ts";

export interface LeaseInfo {
  id: string;
  /** Seconds that are left. */
  ttlSeconds: number;
  grantedSeconds: number;
  /** Keys that hold it, in order; empty unless they were asked for. */
  keys: string[];
}

/**
 * Ids are 64-bit numbers as decimal strings. Renewals are kept by the leader alone: when another takes over,
 * each lease begins its time anew, so a lease may live longer than its time, never shorter.
 */
export interface Leases {
  /** `id` "0": one is chosen. BadRequest for a time that is too large, AlreadyExists for an id that is in use. */
  grant(id: string, ttlSeconds: number): Promise<{ id: string; ttlSeconds: number; revision: number }>;
  /** Ends the lease and deletes its keys. Returns the revision after it. NotFound. */
  revoke(id: string): Promise<number>;
  /** Begins the lease's time anew and returns it in seconds. NotFound. */
  renew(id: string): Promise<number>;
  /** NotFound. */
  inspect(id: string, withKeys: boolean): Promise<LeaseInfo>;
  /** Ids of all leases, in no order. */
  list(): Promise<string[]>;
}

/** Elections must not cost a lease its life: shorter times are lengthened to this, as etcd does. */
export const minLeaseSeconds = 2;
const maxLeaseSeconds = 9_000_000_000;

/** The time that a lease gets when `ttlSeconds` were asked for. */
export function grantedSeconds(ttlSeconds: number): number {
  if (ttlSeconds > maxLeaseSeconds) throw new StatusError("BadRequest", "etcdserver: too large lease TTL");
  return Math.max(ttlSeconds, minLeaseSeconds);
}

export function leaseNotFoundError(): StatusError {
  return new StatusError("NotFound", "etcdserver: requested lease not found");
}

export function leaseExistsError(): StatusError {
  return new StatusError("AlreadyExists", "etcdserver: lease already exists");
}

/** A random id, positive and not 0. `bytes`: eight of them. */
export function leaseIdFrom(bytes: Uint8Array): string {
  const number = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0) & 0x7fff_ffff_ffff_ffffn;
  return String(number === 0n ? 1n : number);
}

/** A call of `Leases` as data, for its way to another thread or node. */
export type LeaseCall =
  | { call: "grant"; id: string; ttlSeconds: number }
  | { call: "revoke" | "renew"; id: string }
  | { call: "inspect"; id: string; withKeys: boolean }
  | { call: "list" };

export function runLeaseCall(leases: Leases, call: LeaseCall): Promise<unknown> {
  switch (call.call) {
    case "grant":
      return leases.grant(call.id, call.ttlSeconds);
    case "revoke":
      return leases.revoke(call.id);
    case "renew":
      return leases.renew(call.id);
    case "inspect":
      return leases.inspect(call.id, call.withKeys);
    case "list":
      return leases.list();
  }
}

/** Leases that are somewhere else: `send` carries the call there and brings what `runLeaseCall` gave. */
export function remoteLeases(send: (call: LeaseCall) => Promise<unknown>): Leases {
  return {
    grant: (id, ttlSeconds) => send({ call: "grant", id, ttlSeconds }) as ReturnType<Leases["grant"]>,
    revoke: (id) => send({ call: "revoke", id }) as Promise<number>,
    renew: (id) => send({ call: "renew", id }) as Promise<number>,
    inspect: (id, withKeys) => send({ call: "inspect", id, withKeys }) as Promise<LeaseInfo>,
    list: () => send({ call: "list" }) as Promise<string[]>,
  };
}
