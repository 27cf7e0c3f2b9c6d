/** Which of the other replicas have been away for longer than a restart takes: then their machines are gone, too. */

import type { Clock } from "#base/ports.ts";

interface PeerStatus {
  /** Somebody leads, and so knows who is there. */
  ready: boolean;
  members: readonly { name: string; online: boolean }[];
}

const restartMs = 5000;

export class SilentPeers {
  readonly #clock: Clock;
  /** Undefined: it answers. */
  #silentSinceMs = new Map<string, number | undefined>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Without a leader nothing is known, and nobody is declared dead. */
  note({ ready, members }: PeerStatus): void {
    const before = this.#silentSinceMs;
    const nowMs = this.#clock.monotonicMs();
    this.#silentSinceMs = new Map(
      ready
        ? members.map(({ name, online }) => [name, online ? undefined : (before.get(name) ?? nowMs)])
        : [],
    );
  }

  /** Undefined where nothing is known. */
  isAlive(name: string): boolean | undefined {
    if (!this.#silentSinceMs.has(name)) return undefined;
    const sinceMs = this.#silentSinceMs.get(name);
    return sinceMs === undefined || this.#clock.monotonicMs() - sinceMs < restartMs;
  }
}
