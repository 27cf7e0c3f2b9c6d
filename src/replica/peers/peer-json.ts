/**
 * What peers say in JSON, and what it must look like before anything is made of it. Fields that are not known here
 * are left in: a later release may have put them there.
 */

import type { StatusError } from "#base/errors.ts";
import type { LeaseCall } from "#base/leases.ts";
import { MalformedError } from "#store/bytes.ts";
import type { FormatRange } from "#store/format.ts";
import type { BackupRequest, BegunBackup } from "../backup/backup-source.ts";
import type { Report } from "../roles/cluster-view.ts";
import type { Greeting } from "./peer-connection.ts";
import type { AdminMessage } from "../replica-node.ts";

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const flag: Check = (value) => typeof value === "boolean";
const integer: Check = (value) => Number.isSafeInteger(value);
const count: Check = (value) => integer(value) && (value as number) >= 0;
const filled: Check = (value) => text(value) && value !== "";
const memberId: Check = (value) => text(value) && /^0000(?!0{12})[0-9a-f]{12}$/.test(value as string);
const among =
  (...values: unknown[]): Check =>
  (value) =>
    values.includes(value);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every((each) => check(each));
const tuple =
  (...checks: Check[]): Check =>
  (value) =>
    Array.isArray(value) && checks.every((check, at) => check(value[at]));
const record =
  (fields: Record<string, Check>): Check =>
  (value) =>
    typeof value === "object" &&
    value !== null &&
    Object.entries(fields).every(([name, check]) => check((value as Record<string, unknown>)[name]));

const place = { name: filled, address: filled, apiAddress: text, failureDomain: text };
const member = record({ ...place, id: memberId, witness: optional(flag) });
const newMember = record({ ...place, id: optional(memberId), witness: optional(flag) });
const memberUpdate = record({
  name: optional(filled),
  address: optional(filled),
  apiAddress: optional(text),
  failureDomain: optional(text),
  witness: optional(flag),
});
const decision = record({ timeMs: integer, term: count, text });
const cluster = record({
  clusterId: filled,
  members: list(member),
  removed: list(memberId),
  voters: optional(count),
  formerIds: optional(list(filled)),
  decisions: list(decision),
});
const formats = record({ min: count, max: count });
const succession = record({ clusterId: filled, formerIds: list(filled), members: list(member) });

const report = record({
  term: count,
  leader: memberId,
  revision: count,
  committedIndex: count,
  members: list(
    record({ id: memberId, role: among("voter", "standby", "spare"), online: flag, lagEntries: integer }),
  ),
  cluster,
  checksum: optional(record({ index: count, value: count })),
  failuresToQuorumLoss: integer,
});

/** By method: what its arguments are. */
const adminArguments: Record<AdminMessage["method"], Check> = {
  addMember: tuple(newMember),
  updateMember: tuple(memberId, memberUpdate),
  removeMember: tuple(memberId),
  replaceMember: tuple(memberId, member),
  transferLeadership: tuple((value) => value === undefined || value === null || memberId(value)),
  setVoters: tuple(count),
};

const leaseArguments: Record<LeaseCall["call"], Check> = {
  grant: record({ id: text, ttlSeconds: integer }),
  revoke: record({ id: text }),
  renew: record({ id: text }),
  inspect: record({ id: text, withKeys: flag }),
  list: record({}),
};

const backupArguments: Record<BackupRequest["method"], Check> = {
  begin: record({ unconfirmed: flag }),
  chunk: record({ token: text, after: count }),
};

const greeting = record({
  clusterId: filled,
  id: (value) => count(value) && value !== 0,
  channel: among("raft", "bulk"),
  formats: optional(formats),
  address: optional(filled),
  successor: optional(succession),
});

// All of these throw MalformedError.

export function readReport(json: string): Report {
  return checked(json, "report", report);
}

export function readAdminMessage(body: Uint8Array): AdminMessage {
  const call = checked<AdminMessage>(textOf(body), "call", record({ method: text, args: Array.isArray }));
  requireShape(
    call.args,
    `call ${call.method}`,
    Object.hasOwn(adminArguments, call.method) && adminArguments[call.method],
  );
  return call;
}

export function readLeaseCall(json: string): LeaseCall {
  const call = checked<LeaseCall>(
    json,
    "call of leases",
    record({ call: among(...Object.keys(leaseArguments)) }),
  );
  requireShape(call, `call ${call.call} of leases`, leaseArguments[call.call]);
  return call;
}

export function readBackupRequest(body: Uint8Array): BackupRequest {
  const methods = among(...Object.keys(backupArguments));
  const request = checked<BackupRequest>(textOf(body), "call for a backup", record({ method: methods }));
  requireShape(request, "call for a backup", backupArguments[request.method]);
  return request;
}

export function readBegunBackup(body: Uint8Array): BegunBackup {
  return checked(textOf(body), "backup", record({ token: text, info: record({}) }));
}

export function readFormats(body: Uint8Array): FormatRange {
  return checked(textOf(body), "range of formats", formats);
}

/** One of another version may have any form. */
export function readGreeting(body: Uint8Array): Omit<Greeting, "version"> & { version: number } {
  const read = checked<Greeting>(textOf(body), "greeting", record({ version: integer }));
  if (read.version === 1) requireShape(read, "greeting", greeting);
  return read;
}

/** The words to an error, or null. */
export function readDetails(json: string): StatusError["details"] | null {
  return checked(json, "error", (value) => value === null || record({})(value));
}

export function parseJson(json: string, what: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new MalformedError(`a ${what} that is no JSON`, { cause });
  }
}

function checked<T>(json: string, what: string, check: Check): T {
  const value = parseJson(json, what);
  requireShape(value, what, check);
  return value as T;
}

function requireShape(value: unknown, what: string, check: Check | false): void {
  if (check === false || !check(value))
    throw new MalformedError(`a ${what} that does not have the form of one`);
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}
