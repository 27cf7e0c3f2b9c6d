/** etcd's Maintenance service over a `Backend` and what its owner can do beyond that. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type * as grpc from "@grpc/grpc-js";
import type { Backend, KeyValue } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { wireId } from "./messages.ts";
import { grpcError, unary } from "./rpc-errors.ts";
import type { StatusMemory } from "./status-memory.ts";

/** The release of etcd whose interface is served, for clients that ask. */
const etcdVersion = "3.5.0";
const pageKeys = 500;
/** etcd's own snapshots are whole pages and a SHA-256; its client checks the length for that. */
const snapshotPageBytes = 512;

export interface Maintenance {
  /** A backup of the whole state, in pieces. */
  backup(): AsyncIterable<Uint8Array>;
  /** Resolves once the member (16 hex digits) leads. */
  transferLeadership(id: string): Promise<void>;
}

export function maintenanceService(
  backend: Backend,
  status: StatusMemory,
  maintenance: Maintenance,
): grpc.UntypedServiceImplementation {
  return {
    Status: unary(async () => {
      const seen = await backend.status();
      return {
        header: await status.header(seen.revision),
        version: etcdVersion,
        dbSize: String(seen.databaseBytes),
        dbSizeInUse: String(seen.databaseBytes),
        leader: seen.leaderId === undefined ? "0" : wireId(seen.leaderId),
        raftIndex: String(seen.committedIndex),
        raftTerm: String(seen.term),
        raftAppliedIndex: String(seen.appliedIndex),
        isLearner: seen.members.find((each) => each.id === seen.memberId)?.role !== "voter",
        errors: seen.ready ? [] : ["etcdserver: no leader"],
      };
    }),
    // A full disk heals by itself once there is room, so there is no alarm to raise or to lay.
    Alarm: unary<{ action: string }>(async ({ action }) => {
      if (action === "ACTIVATE")
        throw new StatusError("NotImplemented", "trivet: there are no alarms to activate");
      return { header: await status.header((await backend.status()).revision), alarms: [] };
    }),
    // Pages of deleted rows are used again, and nothing stops the store while it serves.
    Defragment: unary(async () => ({ header: await status.header((await backend.status()).revision) })),
    Hash: unary(async () => {
      const { hash, revision } = await hashKeys(backend, 0);
      return { header: await status.header(revision), hash };
    }),
    HashKV: unary<{ revision: string }>(async (request) => {
      const { hash, revision, at } = await hashKeys(backend, Number(request.revision));
      const { compactRevision } = await backend.status();
      return {
        header: await status.header(revision),
        hash,
        compact_revision: String(compactRevision),
        hash_revision: String(at),
      };
    }),
    Snapshot: (stream: grpc.ServerWritableStream<object, unknown>) => {
      sendSnapshot(stream, maintenance.backup()).then(
        () => stream.end(),
        (error: unknown) => stream.emit("error", grpcError(error)),
      );
    },
    MoveLeader: unary<{ targetID: string }>(async ({ targetID }) => {
      const id = BigInt(targetID).toString(16).padStart(16, "0");
      const { members } = await backend.status();
      if (members.find((each) => each.id === id)?.role !== "voter")
        throw new StatusError("Conflict", "etcdserver: bad leader transferee");
      await maintenance.transferLeadership(id);
      return { header: await status.header((await backend.status()).revision) };
    }),
  };
}

/** A checksum of all keys as of a revision (0: the newest): equal on all members, and not etcd's own number. */
async function hashKeys(
  backend: Backend,
  wanted: number,
): Promise<{ hash: number; revision: number; at: number }> {
  let key = "\0";
  let at = wanted;
  let hash = 0;
  for (;;) {
    const page = await backend.range({ key, end: "\0", limit: pageKeys, revision: at });
    if (at === 0) at = page.revision;
    for (const kv of page.kvs) hash = addToHash(hash, kv);
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return { hash, revision: page.revision, at };
    key = `${last.key}\0`;
  }
}

function addToHash(hash: number, kv: KeyValue): number {
  const { key, value, createRevision, modRevision, version, lease } = kv;
  const fields = [key.length, value.length, createRevision, modRevision, version, lease, ""].join(" ");
  return crc32(value, crc32(Buffer.from(fields + key, "latin1"), hash));
}

/** The backup, zeros up to a whole page, and the SHA-256 of all that. Waits for a slow reader. */
async function sendSnapshot(
  stream: grpc.ServerWritableStream<object, unknown>,
  backup: AsyncIterable<Uint8Array>,
): Promise<void> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const send = async (blob: Uint8Array): Promise<void> => {
    if (stream.cancelled) throw new StatusError("Gone", "the client has gone");
    if (!stream.write({ remaining_bytes: "0", blob: Buffer.from(blob) }))
      await new Promise<void>((resolve) => {
        const go = (): void => {
          stream.off("drain", go);
          stream.off("cancelled", go);
          resolve();
        };
        stream.on("drain", go);
        stream.on("cancelled", go);
      });
  };
  for await (const piece of backup) {
    hash.update(piece);
    sizeBytes += piece.length;
    await send(piece);
  }
  const padding = new Uint8Array((snapshotPageBytes - (sizeBytes % snapshotPageBytes)) % snapshotPageBytes);
  hash.update(padding);
  await send(Buffer.concat([padding, hash.digest()]));
}
