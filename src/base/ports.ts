/**
 * The ports through which decisions reach the world. Each has a real implementation at the edge and
 * a simulated one in `sim`. Nothing here does IO.
 */

export interface Timer {
  cancel(): void;
}

/** Time. `nowMs` is wall time; `monotonicMs` never goes back and is what timeouts are measured with. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start, never decreasing. */
  monotonicMs(): number;
  /** Calls back once, after at least delayMs. A real clock's timers keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
}

/** Randomness. Seeded in the simulation. */
export interface Random {
  /** An integer in [0, bound). */
  integer(bound: number): number;
  /** `count` random bytes. */
  bytes(count: number): Uint8Array;
}

/** Structured log. `fields` are written as JSON. */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}
