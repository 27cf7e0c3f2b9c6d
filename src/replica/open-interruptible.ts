/**
 * A replica in the thread of whoever calls, which begins anew by itself when another cluster has taken the place of
 * its own: what the replica's thread runs, and a process that does nothing else (a witness) runs without one.
 */

import type { Logger } from "#base/ports.ts";
import { InterruptibleReplica } from "./interruptible-replica.ts";
import type { ReplicaSettings } from "./open-replica.ts";
import { openReplica } from "./open-replica.ts";
import { SucceededError } from "./peers/succession.ts";
import type { ReplicaStatus } from "./types.ts";

interface InterruptibleEvents {
  /** As `ReplicaHandle.onStatus`. */
  onStatus(status: ReplicaStatus): void;
  /** It has begun anew: perhaps as another member, of another cluster. */
  onReopened(replica: InterruptibleReplica): void;
  onFatal(error: Error): void;
}

export async function openInterruptible(
  settings: ReplicaSettings,
  logger: Logger,
  events: InterruptibleEvents,
): Promise<InterruptibleReplica> {
  // Not there yet when it dies while it is opened.
  const held: { replica?: InterruptibleReplica } = {};
  const onFatal = (error: Error): void => {
    const { replica } = held;
    if (!(error instanceof SucceededError) || replica === undefined) {
      events.onFatal(error);
      return;
    }
    logger.warn("the replica begins anew", { reason: error.message });
    replica.outage(0).then(
      () => events.onReopened(replica),
      (failure: unknown) => events.onFatal(failure as Error),
    );
  };
  held.replica = await InterruptibleReplica.open(
    (port) => openReplica(port === undefined ? settings : withPort(settings, port), logger, onFatal),
    (status) => events.onStatus(status),
  );
  return held.replica;
}

/** Where the first start took any free port, the next one takes the same. */
function withPort(settings: ReplicaSettings, port: number): ReplicaSettings {
  return { ...settings, listen: { ...settings.listen, port } };
}
