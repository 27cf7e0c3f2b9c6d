/** Tells what changes in a replica's picture of its cluster. Looked at after changes and twice a second, since silence is no event. */

import type { ReplicaStatus } from "./types.ts";

const lookMs = 500;

export class StatusFeed {
  readonly #read: () => ReplicaStatus;
  readonly #tell: (status: ReplicaStatus) => void;
  #told = "";
  #nextMs = -Infinity;

  constructor(read: () => ReplicaStatus, tell: (status: ReplicaStatus) => void) {
    this.#read = read;
    this.#tell = tell;
  }

  /** The next tick looks. */
  ask(): void {
    this.#nextMs = -Infinity;
  }

  tick(nowMs: number): void {
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + lookMs;
    const status = this.#read();
    const essence = JSON.stringify([
      status.ready,
      status.leaderId,
      status.term,
      status.failuresToQuorumLoss,
      status.voterTarget,
      status.trouble,
      status.decisions.at(-1),
      status.members.map((member) => ({ ...member, lagEntries: 0 })),
    ]);
    if (essence === this.#told) return;
    this.#told = essence;
    this.#tell(status);
  }
}
