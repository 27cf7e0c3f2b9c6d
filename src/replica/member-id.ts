/** Member ids: 48 random bits, shown as 16 hex digits. Never reused: a removed member that returns gets a new one. */

import type { Random } from "#base/ports.ts";
import type { NodeId } from "#raft/types.ts";

export function newMemberId(random: Random): string {
  for (;;) {
    const id = Buffer.from(random.bytes(6)).readUIntBE(0, 6);
    if (id !== 0) return formatMemberId(id);
  }
}

export function formatMemberId(id: NodeId): string {
  return id.toString(16).padStart(16, "0");
}

export function parseMemberId(id: string): NodeId {
  return Number.parseInt(id, 16);
}
