/**
 * What a log entry asks of the state. Transactions and compaction are the store's own; `note` sets a
 * named value beside the keys, which is how the replica keeps the cluster's membership in the state.
 * The leader stamps each command with its time, so that applying needs no clock.
 */

import type { Transaction } from "#base/backend.ts";
import { readTransaction, writeTransaction } from "./backend-records.ts";
import { ByteReader, ByteWriter, MalformedError } from "./bytes.ts";

export type Command = { timeMs: number } & (
  | { type: "transact"; transaction: Transaction }
  | { type: "compact"; revision: number }
  | { type: "note"; name: string; value: string }
  | { type: "leaseGrant"; id: string; ttlSeconds: number }
  /** `fenceTerm`: refused unless committed in this term. A leader that let a lease expire must still lead. */
  | { type: "leaseRevoke"; id: string; fenceTerm?: number }
);

/**
 * The cluster's format from which on a command may be in its log: replicas of an older release would stop at one that
 * they can't read. A new kind of command gets a new format.
 */
export function formatOf({ type }: Command): number {
  return sinceFormat[type];
}

const sinceFormat: Record<Command["type"], number> = {
  transact: 1,
  compact: 1,
  note: 1,
  leaseGrant: 2,
  leaseRevoke: 2,
};

const types = ["transact", "compact", "note", "leaseGrant", "leaseRevoke"] as const;

export function writeCommand(out: ByteWriter, command: Command): void {
  out.byte(types.indexOf(command.type)).integer(command.timeMs);
  if (command.type === "transact") writeTransaction(out, command.transaction);
  else if (command.type === "compact") out.integer(command.revision);
  else if (command.type === "leaseGrant") out.key(command.id).integer(command.ttlSeconds);
  else if (command.type === "leaseRevoke") out.key(command.id).integer(command.fenceTerm ?? 0);
  else out.text(command.name).text(command.value);
}

export function readCommand(from: ByteReader): Command {
  const type = types[from.byte()];
  const timeMs = from.integer();
  if (type === "transact") return { type, timeMs, transaction: readTransaction(from) };
  if (type === "compact") return { type, timeMs, revision: from.integer() };
  if (type === "note") return { type, timeMs, name: from.text(), value: from.text() };
  if (type === "leaseGrant") return { type, timeMs, id: from.key(), ttlSeconds: from.integer() };
  if (type === "leaseRevoke") {
    const id = from.key();
    const fenceTerm = from.integer();
    return fenceTerm === 0 ? { type, timeMs, id } : { type, timeMs, id, fenceTerm };
  }
  throw new MalformedError("unknown command");
}

export function encodeCommand(command: Command): Uint8Array {
  const out = new ByteWriter();
  writeCommand(out, command);
  return out.finish();
}

export function decodeCommand(bytes: Uint8Array): Command {
  return readCommand(new ByteReader(bytes));
}
