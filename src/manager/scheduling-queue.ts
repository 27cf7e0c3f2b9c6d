/**
 * The pods that wait for a node: ready to be tried in order of priority and age, pausing after a failed
 * attempt (1 s doubling to 10 s), or parked until something changes that could help them.
 */
import type { Clock, Timer } from "#base/ports.ts";
import { couldHelp } from "#scheduler/queueing-hints.ts";
import type { Change } from "#scheduler/queueing-hints.ts";

const pauseFirstMs = 1000;
const pauseLimitMs = 10_000;
/** A parked pod is tried again after this time even if nothing seems to have changed. */
const parkedLimitMs = 300_000;

interface Entry {
  uid: string;
  priority: number;
  since: number;
  attempts: number;
  /** Not before this time after a failure. */
  readyAtMs: number;
  state: "active" | "parked" | "trying";
  /** The rules that it is parked for. */
  refusedBy: ReadonlySet<string>;
  /** It waits for its pause only. */
  moved: boolean;
  /** What has changed while the pod was tried. */
  missed: Set<Change>;
  timer: Timer | undefined;
}

export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  /** Those that are not active: among thousands that wait for their turn few have failed. */
  readonly #others = new Set<Entry>();
  #active: Entry[] = [];
  #sequence = 0;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A pod that is new, or that changed in a way that may help it. */
  add(uid: string, priority: number): void {
    const known = this.#entries.get(uid);
    if (known === undefined) {
      const entry: Entry = {
        uid,
        priority,
        since: this.#sequence++,
        attempts: 0,
        readyAtMs: 0,
        state: "parked",
        refusedBy: new Set(),
        moved: false,
        missed: new Set(),
        timer: undefined,
      };
      this.#entries.set(uid, entry);
      this.#others.add(entry);
      this.#activate(entry);
    } else this.#move(known);
  }

  remove(uid: string): void {
    const entry = this.#entries.get(uid);
    if (entry === undefined) return;
    entry.timer?.cancel();
    this.#entries.delete(uid);
    this.#others.delete(entry);
    if (entry.state === "active") this.#active = this.#active.filter((each) => each !== entry);
  }

  /** Parked pods that this could help are tried again, each after its pause. */
  changed(change: Change): void {
    for (const entry of this.#others) {
      if (entry.state === "trying") entry.missed.add(change);
      else if (!entry.moved && couldHelp(change, entry.refusedBy)) this.#move(entry);
    }
  }

  /** The next pod's uid, or undefined once closed. */
  async take(): Promise<string | undefined> {
    while (!this.#closed) {
      const entry = this.#active.shift();
      if (entry !== undefined) {
        entry.state = "trying";
        this.#others.add(entry);
        entry.moved = false;
        entry.missed.clear();
        entry.attempts++;
        return entry.uid;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return undefined;
  }

  /** The attempt failed, by these rules or by an error: then it is tried again without waiting for a change. */
  failed(uid: string, by: ReadonlySet<string> | "error"): void {
    const entry = this.#entries.get(uid);
    if (entry === undefined) return;
    const pauseMs = Math.min(pauseFirstMs * 2 ** (entry.attempts - 1), pauseLimitMs);
    entry.readyAtMs = this.#clock.monotonicMs() + pauseMs;
    entry.state = "parked";
    entry.refusedBy = by === "error" ? new Set() : by;
    const isMissed = [...entry.missed].some((each) => couldHelp(each, entry.refusedBy));
    if (entry.moved || by === "error" || isMissed) this.#move(entry);
    else entry.timer = this.#clock.setTimer(parkedLimitMs, () => this.#activate(entry));
  }

  close(): void {
    this.#closed = true;
    for (const entry of this.#entries.values()) entry.timer?.cancel();
    this.#entries.clear();
    this.#others.clear();
    this.#active = [];
    this.#wake?.();
  }

  #move(entry: Entry): void {
    entry.moved = true;
    if (entry.state !== "parked") return;
    const waitMs = entry.readyAtMs - this.#clock.monotonicMs();
    if (waitMs <= 0) {
      this.#activate(entry);
      return;
    }
    entry.timer?.cancel();
    entry.timer = this.#clock.setTimer(waitMs, () => this.#activate(entry));
  }

  #activate(entry: Entry): void {
    entry.timer?.cancel();
    entry.timer = undefined;
    if (entry.state !== "parked" || !this.#entries.has(entry.uid)) return;
    entry.state = "active";
    this.#others.delete(entry);
    const before = (other: Entry): boolean =>
      other.priority > entry.priority || (other.priority === entry.priority && other.since < entry.since);
    let low = 0;
    let high = this.#active.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(this.#active[middle]!)) low = middle + 1;
      else high = middle;
    }
    this.#active.splice(low, 0, entry);
    this.#wake?.();
    this.#wake = undefined;
  }
}
