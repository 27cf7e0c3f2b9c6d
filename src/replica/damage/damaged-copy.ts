/**
 * What becomes of a replica that has found a damaged row in its state. It gives its copy up, and gets a new one, once
 * the leader says that the others have everything and can go on without it; the only voter lets its standby take
 * over before. Until then it goes on: a copy with a damaged row is better than none, and the row itself is never
 * served.
 */

import type { Clock, Logger } from "#base/ports.ts";
import type { RoleMember } from "../roles/roles.ts";

interface CopyOwner {
  clock: Clock;
  logger: Logger;
  /** The leader's answer, whoever leads. */
  mayLoseCopy(): Promise<boolean>;
  /** If this replica leads others. Rejects where nobody can take over. */
  handOver(): Promise<void>;
  /** The replica ends, and its next start does not trust this copy. */
  giveUp(error: Error): void;
  isStopped(): boolean;
  /** The copy itself: another one once a snapshot has taken its place. */
  copy(): object;
}

/** Who has died a moment ago is known to be dead by then. */
const firstAskMs = 5000;
const longestPauseMs = 60_000;

export class DamagedCopy {
  readonly #owner: CopyOwner;
  /** The one that is to be given up. */
  #copy: object | undefined;

  constructor(owner: CopyOwner) {
    this.#owner = owner;
  }

  found(error: Error): void {
    const copy = this.#owner.copy();
    if (this.#copy === copy) return;
    this.#copy = copy;
    this.#owner.logger.error("this node's copy of the datastore is damaged", { error: error.message });
    this.#askAfter(firstAskMs, copy, error);
  }

  #askAfter(delayMs: number, copy: object, error: Error): void {
    const { clock } = this.#owner;
    clock.setTimer(delayMs, () => void this.#ask(Math.min(delayMs * 2, longestPauseMs), copy, error));
  }

  async #ask(nextMs: number, copy: object, error: Error): Promise<void> {
    const owner = this.#owner;
    const isOver = () => owner.isStopped() || owner.copy() !== copy;
    if (isOver()) return;
    // Where nobody leads, or nobody can take over, nothing is given up.
    const may = await owner.mayLoseCopy().catch(() => false);
    if (!may) await owner.handOver().catch(() => undefined);
    if (isOver()) return;
    if (may) owner.giveUp(error);
    else this.#askAfter(nextMs, copy, error);
  }
}

/** How long after one member another may: by then the first one's vote is gone, or it is back. */
const oneAtATimeMs = 60_000;
const livelyMs = 1000;

/** The leader's: who may lose its copy, one after the other. */
export class CopyLosses {
  #last: { id: string; atMs: number } | undefined;

  /** Whether everything is kept, and the cluster goes on, if this member loses its copy now. */
  allow(id: string, members: readonly RoleMember[], nowMs: number): boolean {
    const last = this.#last;
    if (last !== undefined && last.id !== id && nowMs - last.atMs < oneAtATimeMs) return false;
    if (!canLoseCopy(id, members)) return false;
    this.#last = { id, atMs: nowMs };
    return true;
  }
}

function canLoseCopy(id: string, members: readonly RoleMember[]): boolean {
  const voters = members.filter(({ role }) => role === "voter");
  const whole = voters.filter((each) => each.id !== id && each.caughtUp && each.silentMs < livelyMs);
  return whole.length >= Math.floor(voters.length / 2) + 1;
}
