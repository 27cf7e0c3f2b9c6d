/**
 * The manager: runs the control loops and the scheduler while this node's replica leads, and only then.
 * A leadership is one term; everything of it (copies, queues, workers) is made when the term begins and
 * dropped when it ends, and every write carries the term as a fence.
 */
import type { ManagerOptions } from "./options.ts";
import { Reign } from "./reign.ts";

export type { ManagerOptions } from "./options.ts";

export interface Manager {
  /** The control loops run here now. */
  readonly leading: boolean;
  close(): Promise<void>;
}

export function startManager(options: ManagerOptions): Manager {
  let reign: Reign | undefined;
  const unsubscribe = options.onLeadership(({ leading, term }) => {
    if (leading && reign?.term === term) return;
    reign?.end();
    reign = leading ? new Reign(options, term) : undefined;
  });
  return {
    get leading() {
      return reign !== undefined;
    },
    close() {
      unsubscribe();
      reign?.end();
      reign = undefined;
      return Promise.resolve();
    },
  };
}
