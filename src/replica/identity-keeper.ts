/**
 * Keeps in `replica.json` who the members are: a node whose state is lost must know whom it can ask for another
 * copy, and whose place it had. Members change seldom; the file is written only when they do.
 */

import type { ReplicaIdentity } from "./identity-file.ts";
import { writeReplicaIdentity } from "./identity-file.ts";
import type { MemberRecord } from "./types.ts";

const lookEveryMs = 1000;

/** Returns what ends it. `members`: as this node knows them at the time. */
export function keepIdentity(
  dataDir: string,
  identity: ReplicaIdentity,
  members: () => MemberRecord[],
  onError: (error: Error) => void,
): () => void {
  let written = identity;
  const timer = setInterval(() => {
    const present = members();
    // Not taken in yet, or removed: what was known before is of more use.
    if (!present.some(({ id }) => id === identity.memberId)) return;
    if (written.replaces === undefined && JSON.stringify(present) === JSON.stringify(written.peers)) return;
    const { replaces: _, ...rest } = identity;
    try {
      writeReplicaIdentity(dataDir, { ...rest, peers: present });
      written = { ...rest, peers: present };
    } catch (error) {
      onError(error as Error);
    }
  }, lookEveryMs);
  timer.unref();
  return () => clearInterval(timer);
}
