/** Whether this replica leads, as those who must know are told; and who should lead in its place. */

import type { Leadership } from "#base/backend.ts";
import type { NodeId, RaftStatus } from "#raft/types.ts";
import type { ClusterState } from "./cluster-state.ts";
import { parseMemberId } from "./member-id.ts";

export class LeadershipFeed {
  readonly #watchers = new Set<(leadership: Leadership) => void>();
  #current: Leadership = { leading: false, term: 0 };

  get current(): Leadership {
    return this.#current;
  }

  set(leadership: Leadership): void {
    const { leading, term } = this.#current;
    if (leading === leadership.leading && term === leadership.term) return;
    this.#current = leadership;
    for (const watcher of this.#watchers) watcher(leadership);
  }

  /** Called back at once, and with every change, until the returned function is called. */
  watch(callback: (leadership: Leadership) => void): () => void {
    this.#watchers.add(callback);
    callback(this.#current);
    return () => this.#watchers.delete(callback);
  }
}

/**
 * The live voter that has most of the log, a witness last; undefined when this replica doesn't lead or is alone.
 * Raft's own `recentActive` is no measure: it is taken back from everybody at each check of the quorum.
 */
export function bestSuccessor(
  own: NodeId,
  { progress }: RaftStatus,
  cluster: ClusterState | undefined,
  isLive: (id: NodeId) => boolean,
): NodeId | undefined {
  const witnesses = new Set(
    cluster?.members.filter((each) => each.witness).map((each) => parseMemberId(each.id)),
  );
  return [...progress]
    .filter(([id, member]) => id !== own && !member.isLearner && isLive(id))
    .toSorted(
      ([a, x], [b, y]) => Number(witnesses.has(a)) - Number(witnesses.has(b)) || y.match - x.match,
    )[0]?.[0];
}
