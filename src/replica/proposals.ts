/**
 * Writes on their way: handed to the leader, found again when they are applied, tried again when they
 * certainly got lost. A proposal is made *for one term*: only the leader of that term takes it. So once
 * an entry of a later term has been applied and the proposal has not been seen, it never will be, and it
 * may safely be made again in the new term. A failover thus delays writes and does not fail them.
 */

import { StatusError } from "#base/errors.ts";
import type { Clock } from "#base/ports.ts";
import type { NodeId } from "#raft/types.ts";
import type { Applied } from "#store/store.ts";
import { ByteReader, ByteWriter, MalformedError } from "#store/bytes.ts";
import type { Command } from "#store/command.ts";
import { formatOf, readCommand, writeCommand } from "#store/command.ts";
import { checkFormat, supportedFormats } from "#store/format.ts";
import { noLeaderError, overloadError, stoppedError, timeoutError } from "./errors.ts";

/** What is in a log entry. */
export interface ProposalRecord {
  /** Random, drawn at each start of the proposer: numbers of an earlier life are not taken for those of this one. */
  life: number;
  sequence: number;
  command: Command;
}

const scratch = new ByteWriter(4096);
/** Of the record itself. A later release adds optional fields at the end, or waits until the cluster's format allows more. */
const proposalFormat = 1;

export function encodeProposal(record: ProposalRecord): Uint8Array {
  const out = scratch.restart();
  out.integer(proposalFormat).integer(record.life).integer(record.sequence);
  writeCommand(out, record.command);
  // A copy of just its size: the log keeps it in memory for long.
  return out.copy();
}

export function decodeProposal(data: Uint8Array): ProposalRecord {
  const from = beginProposal(data);
  return { life: from.integer(), sequence: from.integer(), command: readCommand(from) };
}

/** Throws MalformedError for what no replica could apply, or should while the cluster has this format. */
export function requireProposal(data: Uint8Array, format: number): void {
  let record: ProposalRecord;
  try {
    record = decodeProposal(data);
  } catch (cause) {
    throw new MalformedError(`a proposal that can't be read: ${String(cause)}`, { cause });
  }
  if (formatOf(record.command) > format)
    throw new MalformedError("a proposal of a later format than the cluster's");
}

function beginProposal(data: Uint8Array): ByteReader {
  const from = new ByteReader(data);
  checkFormat(from.integer(), supportedFormats, "an entry of the log");
  return from;
}

/** Who leads, and the ways to it. */
export interface ProposalRoute {
  leadership(): { leader: NodeId; term: number; self: boolean };
  /** Returns false when raft refuses for now. */
  proposeHere(data: Uint8Array): boolean;
  /** Returns false when the frame can't be sent now. */
  forward(leader: NodeId, term: number, floor: number, data: Uint8Array): boolean;
}

interface Pending {
  sequence: number;
  data: Uint8Array;
  /** The term whose leader may have it; 0: nobody has it. */
  term: number;
  sentMs: number;
  deadlineMs: number;
  /** How often it was sent to the leader of `term`. */
  forwards: number;
  resolve(applied: Applied): void;
  reject(error: Error): void;
}

const resendMs = 500;
const electionsMs = 4000;
const maxPendingBytes = 64 << 20;
/** As etcd's: what is stored fits into etcd, should it ever move there. */
const maxEntryBytes = 1.5 * (1 << 20);

export class Proposals {
  readonly life: number;
  readonly #clock: Clock;
  readonly #route: ProposalRoute;
  readonly #maxPending: number;
  readonly #pending = new Map<number, Pending>();
  #pendingBytes = 0;
  #sequence = 0;
  #appliedTerm = 0;
  #leaderlessSinceMs: number;

  constructor(clock: Clock, route: ProposalRoute, life: number, maxPending = 8192) {
    this.#clock = clock;
    this.#route = route;
    this.life = life;
    this.#maxPending = maxPending;
    this.#leaderlessSinceMs = clock.monotonicMs();
  }

  /** Resolves when the command has been applied here. */
  propose(command: Command, timeoutMs: number): Promise<Applied> {
    const now = this.#clock.monotonicMs();
    const { leader } = this.#route.leadership();
    if (leader === 0 && this.#isLeaderless(now)) return Promise.reject(noLeaderError());
    if (this.#pending.size >= this.#maxPending || this.#pendingBytes > maxPendingBytes) {
      return Promise.reject(overloadError());
    }
    const sequence = ++this.#sequence;
    const data = encodeProposal({ life: this.life, sequence, command });
    if (data.length > maxEntryBytes) {
      return Promise.reject(new StatusError("RequestEntityTooLarge", "etcdserver: request is too large"));
    }
    this.#pendingBytes += data.length;
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        sequence,
        data,
        term: 0,
        sentMs: now,
        deadlineMs: now + timeoutMs,
        forwards: 0,
        resolve,
        reject,
      };
      this.#pending.set(sequence, pending);
      this.#send(pending, now);
    });
  }

  /** To be called for each applied entry, in order. */
  applied(term: number, record: ProposalRecord | undefined, outcome: Applied): void {
    if (term > this.#appliedTerm) {
      this.#appliedTerm = term;
      this.#resendLost(term);
    }
    if (record?.life !== this.life) return;
    const pending = this.#pending.get(record.sequence);
    if (pending === undefined) return;
    this.#remove(pending);
    pending.resolve(outcome);
  }

  /** A snapshot has brought the effects of entries that were not applied here one by one: what was on its way may be among them. */
  overtaken(): void {
    for (const pending of this.#pending.values()) {
      if (pending.term === 0) continue;
      this.#remove(pending);
      pending.reject(timeoutError());
    }
  }

  /** The leader of `term` has not taken it. */
  refused(term: number, sequence: number): void {
    const pending = this.#pending.get(sequence);
    // A late answer of an earlier leader says nothing about what the present one does with it.
    if (pending?.term !== term) return;
    // Sent twice, one of the two may have been taken all the same: then only a later term tells.
    if (pending.forwards !== 1) return;
    pending.term = 0;
    pending.forwards = 0;
  }

  /** Now and then: deadlines, and what could not be sent before. */
  tick(): void {
    const now = this.#clock.monotonicMs();
    if (this.#route.leadership().leader !== 0) this.#leaderlessSinceMs = now;
    for (const pending of this.#pending.values()) {
      if (now >= pending.deadlineMs || this.#isLeaderless(now)) {
        this.#remove(pending);
        pending.reject(pending.term === 0 ? noLeaderError() : timeoutError());
      } else if (pending.term === 0 || (pending.forwards > 0 && now - pending.sentMs >= resendMs)) {
        this.#send(pending, now);
      }
    }
  }

  /** A leader is known that was not: what waits for one goes to it. */
  leaderChanged(): void {
    const now = this.#clock.monotonicMs();
    for (const pending of this.#pending.values()) if (pending.term === 0) this.#send(pending, now);
  }

  close(): void {
    for (const pending of this.#pending.values()) {
      pending.reject(pending.term === 0 ? stoppedError() : timeoutError());
    }
    this.#pending.clear();
  }

  #send(pending: Pending, now: number): void {
    const { leader, term, self } = this.#route.leadership();
    // What was given to a leader of one term must not be given to one of another before it is known to be lost.
    if (leader === 0 || (pending.term !== 0 && pending.term !== term)) return;
    pending.sentMs = now;
    if (self) {
      if (pending.term === 0 && this.#route.proposeHere(pending.data)) pending.term = term;
      return;
    }
    const floor = this.#pending.keys().next().value ?? pending.sequence;
    if (this.#route.forward(leader, term, floor, pending.data)) {
      pending.term = term;
      pending.forwards++;
    }
  }

  /** Without a leader for longer than elections take, waiting would only pile up clients. */
  #isLeaderless(now: number): boolean {
    return now - this.#leaderlessSinceMs > electionsMs;
  }

  #resendLost(term: number): void {
    const now = this.#clock.monotonicMs();
    for (const pending of this.#pending.values()) {
      if (pending.term === 0 || pending.term >= term) continue;
      pending.term = 0;
      pending.forwards = 0;
      this.#send(pending, now);
    }
  }

  #remove(pending: Pending): void {
    this.#pending.delete(pending.sequence);
    this.#pendingBytes -= pending.data.length;
  }
}

/** The leader's memory of what it has taken in this term, so that a proposal that is sent again is taken once. */
export class ForwardedOnce {
  #term = 0;
  /** By life of the proposer. Nothing below its highest floor is outstanding: whatever comes of it is a late copy. */
  readonly #taken = new Map<number, { floor: number; sequences: Set<number> }>();

  /** True the first time. */
  take(term: number, floor: number, data: Uint8Array): boolean {
    if (term !== this.#term) {
      this.#term = term;
      this.#taken.clear();
    }
    const from = beginProposal(data);
    const life = from.integer();
    const sequence = from.integer();
    let taken = this.#taken.get(life);
    if (taken === undefined) this.#taken.set(life, (taken = { floor, sequences: new Set() }));
    taken.floor = Math.max(taken.floor, floor);
    for (const old of taken.sequences) {
      if (old >= taken.floor) break;
      taken.sequences.delete(old);
    }
    if (sequence < taken.floor || taken.sequences.has(sequence)) return false;
    taken.sequences.add(sequence);
    return true;
  }

  /** Raft refused it after all. */
  forget(data: Uint8Array): number {
    const from = beginProposal(data);
    const life = from.integer();
    const sequence = from.integer();
    this.#taken.get(life)?.sequences.delete(sequence);
    return sequence;
  }
}
