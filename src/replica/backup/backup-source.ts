/**
 * Backups on their way out of a replica: the state frozen at one revision, read in chunks by whoever asked. A spare,
 * which has no copy, passes everything on to a member that has. Bounded: few at a time, and one that
 * nobody reads on is given up.
 */

import { StatusError } from "#base/errors.ts";
import { ByteReader, ByteWriter } from "#store/bytes.ts";
import { SnapshotReader } from "#store/snapshot.ts";
import type { NodeId } from "#raft/types.ts";
import type { ClusterView } from "../roles/cluster-view.ts";
import { diskFullError } from "../errors.ts";
import { readBackupRequest, readBegunBackup } from "../peers/peer-json.ts";
import type { Replica } from "../replica.ts";
import type { BackupInfo } from "../types.ts";

/** A backup that was begun: what it is, and the key to its chunks. */
export interface BegunBackup {
  info: BackupInfo;
  token: string;
}

/** Where the next chunk begins (undefined after the last one), and this one. */
export interface BackupChunk {
  bytes: Uint8Array;
  next: number | undefined;
}

const chunkBytes = 256 << 10;
const idleMs = 60_000;
const maxOpen = 2;

export class BackupSource {
  readonly #replica: Replica;
  readonly #view: ClusterView;
  readonly #open = new Map<string, { reader: SnapshotReader; usedMs: number }>();
  /** Backups that another member reads for this one. */
  readonly #remote = new Map<string, NodeId>();

  constructor(replica: Replica, view: ClusterView) {
    this.#replica = replica;
    this.#view = view;
  }

  /**
   * Freezes the state. With everything in it that was acknowledged before the call; `unconfirmed`: without asking a
   * majority, so that a cluster which has none can still be backed up, as far as this replica knows it.
   */
  async begin(unconfirmed: boolean): Promise<BegunBackup> {
    if (!this.#view.replicates) return this.#beginElsewhere(unconfirmed);
    if (!unconfirmed) await this.#replica.readBarrier();
    const { clock, random } = this.#replica.ports;
    this.tick();
    if (this.#open.size >= maxOpen)
      throw new StatusError("TooManyRequests", `${maxOpen} backups are being taken from this node already`);
    const { cluster, store } = this.#replica;
    if (cluster === undefined)
      throw new StatusError("ServiceUnavailable", "this node has no copy of the datastore yet");
    if (!store.tryCommit()) throw diskFullError();
    const reader = new SnapshotReader(store);
    const token = Buffer.from(random.bytes(12)).toString("hex");
    this.#open.set(token, { reader, usedMs: clock.monotonicMs() });
    const { index, term, revision, compactRevision } = reader.position;
    const { clusterId, members } = cluster;
    return {
      token,
      info: { clusterId, members, index, term, revision, compactRevision, confirmed: !unconfirmed },
    };
  }

  async chunk(token: string, after: number): Promise<BackupChunk> {
    const helper = this.#remote.get(token);
    if (helper !== undefined) {
      const answer = new ByteReader(await this.#ask(helper, { method: "chunk", token, after }));
      const next = answer.integer();
      const bytes = answer.bytes();
      if (next === 0) this.#remote.delete(token);
      return { bytes, next: next === 0 ? undefined : next };
    }
    const found = this.#open.get(token);
    if (found === undefined)
      throw new StatusError("Gone", "this backup was given up: nobody had read on for a minute");
    found.usedMs = this.#replica.ports.clock.monotonicMs();
    const chunk = found.reader.chunk(after, chunkBytes);
    if (chunk.next === undefined) this.end(token);
    return chunk;
  }

  end(token: string): void {
    this.#remote.delete(token);
    this.#open.get(token)?.reader.close();
    this.#open.delete(token);
  }

  /** A spare's question to this member. */
  async serve(body: Uint8Array): Promise<Uint8Array> {
    const request = readBackupRequest(body);
    if (request.method === "begin") {
      if (!this.#view.replicates) throw new StatusError("ServiceUnavailable", "this node has no copy either");
      return Buffer.from(JSON.stringify(await this.begin(request.unconfirmed)));
    }
    const { bytes, next } = await this.chunk(request.token, request.after);
    return new ByteWriter(bytes.length + 16)
      .integer(next ?? 0)
      .bytes(bytes)
      .finish();
  }

  /** Gives up what nobody reads any more. Once in a while. */
  tick(): void {
    const now = this.#replica.ports.clock.monotonicMs();
    for (const [token, { usedMs }] of this.#open) if (now - usedMs > idleMs) this.end(token);
  }

  close(): void {
    for (const token of this.#open.keys()) this.end(token);
  }

  async #beginElsewhere(unconfirmed: boolean): Promise<BegunBackup> {
    let failure: unknown = new StatusError(
      "ServiceUnavailable",
      "no member that has a copy of the datastore is known",
    );
    for (const helper of this.#view.helpers()) {
      try {
        const answer = await this.#ask(helper, { method: "begin", unconfirmed });
        const begun = readBegunBackup(answer);
        this.#remote.set(begun.token, helper);
        return begun;
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  #ask(helper: NodeId, request: BackupRequest): Promise<Uint8Array> {
    const body = Buffer.from(JSON.stringify(request));
    return this.#replica.calls.call(helper, "backup", body, this.#replica.config.timeoutMs);
  }
}

/** A spare's question. */
export type BackupRequest =
  | { method: "begin"; unconfirmed: boolean }
  | { method: "chunk"; token: string; after: number };
