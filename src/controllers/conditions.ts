/** Lists of conditions, as status fields hold them. */
import { timestamp } from "./pod.ts";

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}

export function findCondition<C extends Condition>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined {
  return conditions?.find((each) => each.type === type);
}

/**
 * The list with the condition set, at its old place. The time of transition moves only when the status
 * does; nothing changes when status, reason and message stay.
 */
export function setCondition<C extends Condition>(
  conditions: readonly C[] | undefined,
  wanted: Omit<Condition, "lastTransitionTime">,
  nowMs: number,
): C[] {
  const list = [...(conditions ?? [])];
  const index = list.findIndex((each) => each.type === wanted.type);
  const old = list[index];
  const lastTransitionTime =
    old !== undefined && old.status === wanted.status ? old.lastTransitionTime : timestamp(nowMs);
  const next = { ...wanted, ...(lastTransitionTime === undefined ? {} : { lastTransitionTime }) } as C;
  if (old === undefined) list.push(next);
  else list[index] = next;
  return list;
}
