/**
 * Snapshots on their way. The sender freezes its state and answers for chunks; the receiver pulls them,
 * one at a time, so neither holds more than a chunk, a slow receiver slows nobody, and a lost connection
 * costs one chunk. Raft learns of a snapshot only when the receiver has all of it.
 */

import { StatusError } from "#base/errors.ts";
import type { Clock, Logger, Random } from "#base/ports.ts";
import type { ConfState, NodeId, Snapshot } from "#raft/types.ts";
import { SnapshotTemporarilyUnavailableError } from "#raft/types.ts";
import { ByteReader, ByteWriter } from "#store/bytes.ts";
import type { SnapshotWriter } from "#store/snapshot.ts";
import { SnapshotReader } from "#store/snapshot.ts";
import type { StateDirectory } from "#store/state-directory.ts";
import type { Store } from "#store/store.ts";
import type { Calls } from "./peers/calls.ts";
import { formatMemberId } from "./member-id.ts";

const reuseMs = 10_000;
const idleMs = 30_000;
const stalledMs = 10_000;
const unheardMs = 2000;
const maxOpen = 4;
/** How long a receiver asks for the same chunk, and how often. The sender keeps its snapshot for longer than this. */
const resumeMs = 20_000;
const retryMs = 250;

interface Outgoing {
  snapshot: Snapshot;
  reader: SnapshotReader;
  openedMs: number;
  usedMs: number;
}

/** The snapshots that this replica can be asked for. */
export class SnapshotSender {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #chunkBytes: number;
  readonly #open = new Map<string, Outgoing>();
  /** When a receiver was sent to (not begun), or asked, last. */
  readonly #asked = new Map<NodeId, { atMs: number; begun: boolean }>();

  constructor(clock: Clock, random: Random, chunkBytes: number) {
    this.#clock = clock;
    this.#chunkBytes = chunkBytes;
    this.#random = random;
  }

  /** The present state; one that was frozen a moment ago will do for several receivers. */
  take(store: Store): Snapshot {
    const now = this.#clock.monotonicMs();
    const recent = [...this.#open.values()].at(-1);
    // Raft refuses a snapshot whose configuration does not have the receiver.
    const sameMembers = recent?.reader.note("confState") === store.note("confState");
    if (recent !== undefined && sameMembers && now - recent.openedMs < reuseMs) return recent.snapshot;
    if (this.#open.size >= maxOpen && !this.#makeRoom(now)) throw new SnapshotTemporarilyUnavailableError();
    if (!store.tryCommit()) throw new SnapshotTemporarilyUnavailableError();
    const reader = new SnapshotReader(store);
    const confState = reader.note("confState");
    if (confState === undefined) {
      reader.close();
      throw new SnapshotTemporarilyUnavailableError();
    }
    const { index, term } = reader.position;
    const token = Buffer.from(this.#random.bytes(12)).toString("hex");
    const snapshot = { metadata: { index, term, confState: JSON.parse(confState) as ConfState }, token };
    this.#open.set(token, { snapshot, reader, openedMs: now, usedMs: now });
    return snapshot;
  }

  /** Closes the one that was unused for longest: whoever still fetches it asks more often than this. */
  #makeRoom(now: number): boolean {
    const [oldest] = [...this.#open].toSorted(([, a], [, b]) => a.usedMs - b.usedMs);
    if (oldest === undefined || now - oldest[1].usedMs < unheardMs) return false;
    oldest[1].reader.close();
    return this.#open.delete(oldest[0]);
  }

  /** Answers a receiver: where the next chunk begins (0: nowhere) and this chunk. */
  chunk(receiver: NodeId, body: Uint8Array): Uint8Array {
    this.#asked.set(receiver, { atMs: this.#clock.monotonicMs(), begun: true });
    const from = new ByteReader(body);
    const outgoing = this.#open.get(from.text());
    if (outgoing === undefined) throw new SnapshotTemporarilyUnavailableError();
    outgoing.usedMs = this.#clock.monotonicMs();
    const { bytes, next } = outgoing.reader.chunk(from.integer(), this.#chunkBytes);
    return new ByteWriter(bytes.length + 16)
      .integer(next ?? 0)
      .bytes(bytes)
      .finish();
  }

  /** True once this receiver has asked for nothing for long. The first call for it only starts the watch. */
  isIdle(receiver: NodeId): boolean {
    const now = this.#clock.monotonicMs();
    const asked = this.#asked.get(receiver);
    // Who has not even begun has probably not heard of the snapshot.
    if (asked !== undefined && now - asked.atMs < (asked.begun ? stalledMs : unheardMs)) return false;
    if (asked === undefined) this.#asked.set(receiver, { atMs: now, begun: false });
    else this.#asked.delete(receiver);
    return asked !== undefined;
  }

  /** Closes what nobody asks for any more. */
  tick(): void {
    const now = this.#clock.monotonicMs();
    for (const [token, { reader, usedMs }] of this.#open) {
      if (now - usedMs < idleMs) continue;
      reader.close();
      this.#open.delete(token);
    }
  }

  close(): void {
    for (const { reader } of this.#open.values()) reader.close();
    this.#open.clear();
  }
}

/** The snapshot that is coming in, at most one. */
export class SnapshotReceiver {
  readonly #clock: Clock;
  readonly #calls: Calls;
  readonly #state: StateDirectory;
  readonly #logger: Logger;
  /** The transfer that counts; an older one that still has an answer outstanding finds that it doesn't. */
  #current: { token: string; writer: SnapshotWriter } | undefined;
  #complete: { token: string; writer: SnapshotWriter } | undefined;

  constructor(clock: Clock, calls: Calls, state: StateDirectory, logger: Logger) {
    this.#clock = clock;
    this.#calls = calls;
    this.#state = state;
    this.#logger = logger;
  }

  /** Fetches a snapshot from its sender. Resolves when it is here, has failed, or another one has taken its place. */
  async fetch(from: NodeId, snapshot: Snapshot): Promise<"complete" | "failed" | "overtaken"> {
    const { token } = snapshot;
    if (this.#current?.token === token || this.#complete?.token === token) return "overtaken";
    this.#drop();
    let writer: SnapshotWriter;
    try {
      writer = this.#state.receive();
    } catch (error) {
      this.#logger.warn("there is no place for a snapshot", { error: String(error) });
      return "failed";
    }
    const transfer = { token, writer };
    this.#current = transfer;
    this.#logger.info("receiving a snapshot", { from: formatMemberId(from), index: snapshot.metadata.index });
    try {
      for (let at: number | undefined = 0; at !== undefined;) {
        const request: Uint8Array = new ByteWriter().text(token).integer(at).finish();
        const answer = new ByteReader(await this.#chunk(transfer, from, request));
        if (this.#current !== transfer) return "overtaken";
        const next = answer.integer();
        transfer.writer.add(answer.bytes());
        at = next === 0 ? undefined : next;
      }
      // Before it is the state: a crash right after must find out that it is ahead of the log with good reason.
      transfer.writer.setNote("received", String(transfer.writer.position.index));
      // All that needs room happens now, while the old state is still there.
      transfer.writer.flush();
      this.#current = undefined;
      this.#complete = transfer;
      return "complete";
    } catch (error) {
      this.#logger.warn("the snapshot did not come", { error: String(error) });
      if (this.#current !== transfer) return "overtaken";
      this.#drop();
      return "failed";
    }
  }

  /** The complete snapshot with this token, which is the caller's from now on. */
  claim(token: string): SnapshotWriter | undefined {
    if (this.#complete?.token !== token) return undefined;
    const { writer } = this.#complete;
    this.#complete = undefined;
    return writer;
  }

  close(): void {
    this.#drop();
  }

  /** A chunk may be asked for again: a lost connection does not end the transfer, a sender that knows nothing of it does. */
  async #chunk(transfer: object, from: NodeId, request: Uint8Array): Promise<Uint8Array> {
    const endMs = this.#clock.monotonicMs() + resumeMs;
    for (;;) {
      try {
        return await this.#calls.call(from, "chunk", request, 5000);
      } catch (error) {
        const unknown = error instanceof StatusError && error.reason === "InternalError";
        if (unknown || this.#current !== transfer || this.#clock.monotonicMs() >= endMs) throw error;
      }
      // Without a connection the answer comes at once, and the next connection only in a while.
      await new Promise<void>((resolve) => {
        this.#clock.setTimer(retryMs, resolve);
      });
    }
  }

  #drop(): void {
    this.#current?.writer.close();
    this.#complete?.writer.close();
    this.#current = undefined;
    this.#complete = undefined;
  }
}
