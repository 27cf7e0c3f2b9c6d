/**
 * Walks through what this replica has on its disk, a bit at a time, so that damage is found while other members still
 * have what was damaged: all rows of the state about once a day, and the files of the log that are no longer written
 * to. It pauses while there is much to apply. What to do about damage is for others to say.
 */

import type { Clock } from "#base/ports.ts";
import { isUnreadable } from "../errors.ts";
import type { ReplicaLog } from "../log/log.ts";
import { LogScrub } from "../log/log-scrub.ts";
import type { ClosedSegment } from "../log/log-segments.ts";
import type { Disk } from "../ports.ts";
import type { ReplicaState } from "../replica-state.ts";

interface ScrubParts {
  clock: Clock;
  disk: Disk;
  state: ReplicaState;
  log: ReplicaLog;
  onDamagedRow(error: Error): void;
  /** No start could read this file. */
  onDamagedSegment(segment: ClosedSegment): void;
}

/** Since the start. */
export interface ScrubProgress {
  rows: number;
  segments: number;
  /** Walks that came to their end. */
  walks: number;
  /** Damaged rows and segments, as often as they were come upon. */
  damaged: number;
}

/** Short steps: whoever asks meanwhile waits for one of them. */
const stepMs = 50;
const limits = { rows: 15, bytes: 64 << 10 };
/** From one walk's beginning to the next one's. */
const dayMs = 86_400_000;
/** The next one comes sooner where damage was found: it may be that nothing could be done about it. */
const hourMs = 3_600_000;
/** So many entries since the last look are a load. */
const loadEntries = 10;
/** Under a load that does not end there is a step now and then. */
const longestPauseMs = 10_000;

export class Scrubber {
  readonly #parts: ScrubParts;
  readonly progress: ScrubProgress = { rows: 0, segments: 0, walks: 0, damaged: 0 };
  /** Rows come first; undefined: they are done. */
  #afterRow: number | undefined = 0;
  /** Files of the log that are still to be looked at. */
  #files: LogScrub[] = [];
  #beganMs: number;
  #nextLookMs: number;
  #steppedMs: number;
  #appliedIndex = 0;
  #hasFoundDamage = false;

  constructor(parts: ScrubParts) {
    this.#parts = parts;
    this.#beganMs = this.#nextLookMs = this.#steppedMs = parts.clock.monotonicMs();
  }

  /** With every tick. */
  tick(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    if (nowMs < this.#nextLookMs) return;
    this.#nextLookMs = nowMs + stepMs;
    const { index } = this.#parts.state.store.position;
    const isLoad = index - this.#appliedIndex > loadEntries;
    this.#appliedIndex = index;
    if (isLoad && nowMs - this.#steppedMs < longestPauseMs) return;
    this.#steppedMs = nowMs;
    if (this.#afterRow !== undefined) this.#lookAtRows(this.#afterRow);
    else if (this.#files[0] !== undefined) this.#lookAtFile(this.#files[0]);
    else if (nowMs - this.#beganMs >= (this.#hasFoundDamage ? hourMs : dayMs)) this.#begin(nowMs);
  }

  #begin(nowMs: number): void {
    this.#beganMs = nowMs;
    this.#hasFoundDamage = false;
    this.#afterRow = 0;
  }

  #lookAtRows(after: number): void {
    const { log, disk } = this.#parts;
    const { rows, next, damage } = this.#scrub(after);
    this.progress.rows += rows;
    this.#afterRow = next;
    if (next === undefined) {
      this.#files = log.closedSegments.map((segment) => new LogScrub(disk, segment));
      this.#endIfDone();
    }
    this.#note(damage.length);
    for (const error of damage) this.#parts.onDamagedRow(error);
  }

  /** Behind what SQLite can't read there is nothing to be looked at. */
  #scrub(after: number): { rows: number; next: number | undefined; damage: Error[] } {
    try {
      return this.#parts.state.store.scrub(after, limits);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return { rows: 0, next: undefined, damage: [error] };
    }
  }

  #lookAtFile(file: LogScrub): void {
    const { segment } = file;
    // It may have been given up since.
    const isThere = this.#parts.log.closedSegments.some(({ number }) => number === segment.number);
    const outcome = isThere ? file.step() : "gone";
    if (outcome === "more") return;
    this.#files.shift();
    if (outcome !== "gone") this.progress.segments++;
    this.#endIfDone();
    if (outcome !== "damaged") return;
    this.#note(1);
    this.#parts.onDamagedSegment(segment);
  }

  #note(damaged: number): void {
    this.progress.damaged += damaged;
    this.#hasFoundDamage ||= damaged > 0;
  }

  #endIfDone(): void {
    if (this.#files.length === 0) this.progress.walks++;
  }
}
