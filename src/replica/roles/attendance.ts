/**
 * Who answers, as the present leader has seen it since it leads: for how long, and how often somebody has
 * come and gone. What it had heard before it led says nothing, since followers hardly hear each other.
 */

import type { NodeId } from "#raft/types.ts";

/** A member that has been silent for this long counts as offline. */
export const offlineMs = 3000;
const rememberedMs = 600_000;

interface Attendant {
  heardMs: number;
  /** Undefined while it is offline. */
  upSinceMs: number | undefined;
  /** Ends of its outages. */
  returnsMs: number[];
}

export interface Presence {
  silentMs: number;
  stableMs: number;
  outages: number;
  online: boolean;
}

export class Attendance {
  readonly #attendants = new Map<NodeId, Attendant>();
  #beganMs = 0;

  /** A leadership begins. Everyone gets the benefit of the time since. */
  begin(nowMs: number): void {
    this.#attendants.clear();
    this.#beganMs = nowMs;
  }

  /** At every tick, for each member: when something was last heard from it at all. */
  note(id: NodeId, lastHeardMs: number | undefined, nowMs: number): void {
    let attendant = this.#attendants.get(id);
    if (attendant === undefined) {
      attendant = { heardMs: nowMs, upSinceMs: nowMs, returnsMs: [] };
      this.#attendants.set(id, attendant);
    }
    if (lastHeardMs !== undefined && lastHeardMs >= this.#beganMs) {
      attendant.heardMs = Math.max(attendant.heardMs, lastHeardMs);
    }
    if (nowMs - attendant.heardMs >= offlineMs) attendant.upSinceMs = undefined;
    else if (attendant.upSinceMs === undefined) {
      attendant.upSinceMs = nowMs;
      attendant.returnsMs = attendant.returnsMs.filter((atMs) => nowMs - atMs < rememberedMs);
      attendant.returnsMs.push(nowMs);
    }
  }

  /** Of those that are members now. */
  keep(ids: ReadonlySet<NodeId>): void {
    for (const id of this.#attendants.keys()) if (!ids.has(id)) this.#attendants.delete(id);
  }

  presence(id: NodeId, nowMs: number): Presence {
    const attendant = this.#attendants.get(id);
    if (attendant === undefined) return { silentMs: 0, stableMs: 0, outages: 0, online: true };
    const { heardMs, upSinceMs, returnsMs } = attendant;
    return {
      silentMs: nowMs - heardMs,
      stableMs: upSinceMs === undefined ? 0 : nowMs - upSinceMs,
      outages: returnsMs.filter((atMs) => nowMs - atMs < rememberedMs).length,
      online: nowMs - heardMs < offlineMs,
    };
  }
}
