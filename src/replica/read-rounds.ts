/**
 * Linearizable reads: one round of raft's read index serves everybody who asked before it began. A round
 * that gets no answer is begun anew with a fresh id, since an answer to an old one says nothing about later
 * writes (etcd#21399).
 */

import type { Clock } from "#base/ports.ts";
import { noLeaderError, overloadError, stoppedError } from "./errors.ts";

interface Reader {
  deadlineMs: number;
  resolve(): void;
  reject(error: Error): void;
}

interface Round {
  context: string;
  startedMs: number;
  readers: Reader[];
}

const retryMs = 300;
/** As for writes: without a leader for longer than elections take, waiting would only pile up clients. */
const electionsMs = 4000;
const maxReaders = 16384;

export class ReadRounds {
  readonly #clock: Clock;
  readonly #ask: (context: string) => void;
  readonly #life: string;
  readonly #hasLeader: () => boolean;
  #rounds = 0;
  #leaderlessSinceMs: number;
  #waiting: Reader[] = [];
  #round: Round | undefined;
  /** Rounds that are answered, until the index is applied here. */
  #confirmed: { index: number; readers: Reader[] }[] = [];

  /** `ask` starts a read index round; `life` makes contexts unique among replicas and restarts. */
  constructor(clock: Clock, life: string, hasLeader: () => boolean, ask: (context: string) => void) {
    this.#clock = clock;
    this.#hasLeader = hasLeader;
    this.#leaderlessSinceMs = clock.monotonicMs();
    this.#life = life;
    this.#ask = ask;
  }

  /** Resolves when the state that is applied here has every write that was acknowledged before the call. */
  read(timeoutMs: number): Promise<void> {
    if (!this.#hasLeader() && this.#isLeaderless(this.#clock.monotonicMs()))
      return Promise.reject(noLeaderError());
    if (this.#waiting.length >= maxReaders) return Promise.reject(overloadError());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ deadlineMs: this.#clock.monotonicMs() + timeoutMs, resolve, reject });
    });
  }

  /** Starts a round if there is reason to: called once per turn, so that all readers of a turn share it. */
  begin(): void {
    if (this.#round !== undefined || this.#waiting.length === 0) return;
    this.#start(this.#waiting);
    this.#waiting = [];
  }

  answered(context: string, index: number, appliedIndex: number): void {
    if (this.#round?.context !== context) return;
    this.#confirmed.push({ index, readers: this.#round.readers });
    this.#round = undefined;
    this.applied(appliedIndex);
    this.begin();
  }

  applied(index: number): void {
    while (this.#confirmed[0] !== undefined && this.#confirmed[0].index <= index) {
      for (const reader of this.#confirmed[0].readers) reader.resolve();
      this.#confirmed.shift();
    }
  }

  tick(): void {
    const now = this.#clock.monotonicMs();
    if (this.#hasLeader()) this.#leaderlessSinceMs = now;
    const refused = this.#isLeaderless(now);
    const alive = (reader: Reader) => {
      if (now < reader.deadlineMs && !refused) return true;
      reader.reject(noLeaderError());
      return false;
    };
    this.#waiting = this.#waiting.filter(alive);
    for (const each of this.#confirmed) each.readers = each.readers.filter(alive);
    if (this.#round === undefined) return;
    this.#round.readers = this.#round.readers.filter(alive);
    // A repeated round also serves those who have come since.
    if (now - this.#round.startedMs >= retryMs) {
      const readers = [...this.#round.readers, ...this.#waiting];
      this.#waiting = [];
      this.#round = undefined;
      if (readers.length > 0) this.#start(readers);
    }
  }

  close(): void {
    const all = [
      ...this.#waiting,
      ...(this.#round?.readers ?? []),
      ...this.#confirmed.flatMap((each) => each.readers),
    ];
    this.#waiting = [];
    this.#round = undefined;
    this.#confirmed = [];
    for (const reader of all) reader.reject(stoppedError());
  }

  #isLeaderless(now: number): boolean {
    return now - this.#leaderlessSinceMs > electionsMs;
  }

  #start(readers: Reader[]): void {
    const context = `${this.#life}-${++this.#rounds}`;
    this.#round = { context, startedMs: this.#clock.monotonicMs(), readers };
    this.#ask(context);
  }
}
