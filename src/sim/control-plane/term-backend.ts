/**
 * A datastore in memory with terms, as replicas have them: one node leads at a time, a write that carries
 * another term than the present one is refused, and a deposed leader learns of it late or never.
 */

import type {
  Backend,
  BackendStatus,
  Leadership,
  RangeRequest,
  Transaction,
  TransactionResult,
  Watch,
  WatchRequest,
  WatchSink,
} from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { MemoryBackend } from "#base/memory-backend.ts";

export class TermBackend implements Backend {
  readonly #inner = new MemoryBackend();
  readonly leases = this.#inner.leases;
  term = 1;
  /** The write that is carried out right now is one of the control loops. */
  fenced = false;
  /** Deliberate mistake: writes of former leaders are taken. */
  ignoresFence = false;
  refusedWrites = 0;
  transactions = 0;

  async transact(transaction: Transaction): Promise<TransactionResult> {
    this.transactions++;
    const { fenceTerm, ...plain } = transaction;
    if (fenceTerm !== undefined && fenceTerm !== this.term && !this.ignoresFence) {
      this.refusedWrites++;
      throw new StatusError("Conflict", `fenced: term ${fenceTerm} is over, this is term ${this.term}`);
    }
    this.fenced = fenceTerm !== undefined;
    try {
      return await this.#inner.transact(plain);
    } finally {
      this.fenced = false;
    }
  }

  range(request: RangeRequest): ReturnType<Backend["range"]> {
    return this.#inner.range(request);
  }

  readRevision(): Promise<number> {
    return this.#inner.readRevision();
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    return this.#inner.watch(request, sink);
  }

  compact(revision: number): Promise<void> {
    return this.#inner.compact(revision);
  }

  status(): Promise<BackendStatus> {
    return this.#inner.status();
  }

  onLeadership(callback: (leadership: Leadership) => void): () => void {
    callback({ leading: true, term: this.term });
    return () => undefined;
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
