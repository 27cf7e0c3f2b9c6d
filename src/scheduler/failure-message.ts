/** The message of a pod that fits nowhere, to the letter as users and tools know it. */
import type { NodeInfo, Rejection } from "./types.ts";

export function failureMessage(
  nodeCount: number,
  everywhere: string | undefined,
  rejections: ReadonlyMap<NodeInfo, Rejection>,
  preemption: string,
): string {
  const reasons = everywhere ?? countReasons([...rejections.values()].flatMap((each) => each.reasons));
  const message = `0/${nodeCount} nodes are available: ${reasons}.`;
  return preemption === "" ? message : `${message} preemption: ${preemption}`;
}

/** "2 reason, 1 other reason", sorted as text. */
export function countReasons(reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .map(([reason, count]) => `${count} ${reason}`)
    .sort((a, b) => (a < b ? -1 : 1))
    .join(", ");
}
