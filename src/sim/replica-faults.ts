/**
 * Mistakes made on purpose in whole replicas, from outside: no production code knows of them. Each shows that the
 * simulation would find it.
 */

import { WatchHub } from "#base/watch-hub.ts";
import { ReplicaLog } from "#replica/log/log.ts";
import { ForwardedOnce } from "#replica/proposals.ts";
import { Replica } from "#replica/replica.ts";
import { LeaseTable } from "#store/lease-table.ts";
import { SnapshotReader } from "#store/snapshot.ts";
import { Store } from "#store/store.ts";
import type { ReplicaMachine } from "./replica-machine.ts";

export interface ReplicaFault {
  /** The kinds of faults that bring it about. Default: drawn from the seed. */
  only?: readonly string[];
  /** Makes the mistake in all machines. Returns what undoes it. */
  install?: () => () => void;
  /** Makes the mistake in a machine that is about to start (`node` is undefined), and in one that has started. */
  sabotage?: (machine: ReplicaMachine) => void;
}

export const replicaFaults: Record<string, ReplicaFault> = {
  "disks report flushes that do not happen": {
    sabotage: (machine) => {
      machine.disk.liesAboutFlushes = true;
    },
  },
  "writes are acknowledged before they are flushed": { install: acknowledgeAtOnce },
  "votes are not written to disk": {
    install: forgetVotes,
    only: ["crash", "crashAll", "powerCut", "worsenLinks"],
  },
  "reads do not ask a quorum": {
    sabotage: ({ node }) => {
      if (node !== undefined) node.replica.readBarrier = () => Promise.resolve();
    },
  },
  "one machine applies something else": { install: applyDifferently },
  "a revision is left out": { install: skipRevision },
  "a forwarded proposal is taken twice": {
    install: () => patched(ForwardedOnce.prototype, "take", () => () => true),
    only: ["loseFrames", "worsenLinks", "resetConnections"],
  },
  "a watch that is taken up again misses a revision": { install: missRevision },
  "a watch whose feed has broken says nothing": {
    install: () => patched(WatchHub.prototype, "fail", () => () => undefined),
    only: ["crash", "isolate", "stopGracefully", "fillLogDisk"],
  },
  "compacted revisions are skipped in silence": {
    install: skipCompacted,
    only: ["compact", "crash", "isolate"],
  },
  "a snapshot ends after its first part": { install: cutSnapshots, only: ["crash", "isolate", "newDisk"] },
  "a lost copy comes back under its old id": { sabotage: reuseId, only: ["newDisk", "isolate"] },
  "leases end when half of their time is over": { install: hasteLeases },
  "the end of a lease leaves its last key": { install: leaveKeys },
  "a leader ends leases that its successor has renewed": {
    install: unfenceLeases,
    only: ["isolateLeader", "pauseLeader", "handOver", "worsenLinks"],
  },
  "a flipped bit of the state ends the replica": {
    sabotage: ({ node, state }) => void (node ?? state.rot()),
    only: ["crash", "powerCut"],
  },
  "a flipped bit of the state goes unnoticed": {
    sabotage: ({ node, state }) => void (node ?? state.rot(true)),
    only: ["crash", "powerCut"],
  },
};

type Method = (...args: never[]) => unknown;

/** Puts another method in the place of one, for all instances; `make` is given the right one. */
function patched<K extends string, T extends Record<K, Method>>(
  prototype: T,
  name: K,
  make: (right: T[K]) => Method,
): () => void {
  const right = prototype[name];
  Object.assign(prototype, { [name]: make(right) });
  return () => void Object.assign(prototype, { [name]: right });
}

function acknowledgeAtOnce(): () => void {
  return patched(
    ReplicaLog.prototype,
    "write",
    (right) =>
      function (this: ReplicaLog, write: Parameters<typeof right>[0]) {
        right.call(this, { ...write, done: () => undefined });
        queueMicrotask(() => write.done());
      },
  );
}

function forgetVotes(): () => void {
  return patched(
    ReplicaLog.prototype,
    "write",
    (right) =>
      function (this: ReplicaLog, write: Parameters<typeof right>[0]) {
        const { hardState } = write;
        right.call(
          this,
          hardState === undefined ? write : { ...write, hardState: { ...hardState, vote: 0 } },
        );
      },
  );
}

function applyDifferently(): () => void {
  const numbers = new WeakMap<Store, number>();
  let stores = 0;
  return patched(
    Store.prototype,
    "put",
    (right) =>
      function (this: Store, ...[key, value, ...rest]: Parameters<typeof right>) {
        const number = numbers.get(this) ?? stores++;
        numbers.set(this, number);
        // Every second state that is opened.
        const isWrong = number % 2 === 1 && value.length > 0 && this.revision % 20 === 0;
        return right.call(this, key, isWrong ? value.subarray(1) : value, ...rest);
      },
  );
}

function skipRevision(): () => void {
  return patched(
    Store.prototype,
    "apply",
    (right) =>
      function (this: Store, ...args: Parameters<typeof right>) {
        const applied = right.apply(this, args);
        if (args[0] % 100 === 99) (this.position as { revision: number }).revision++;
        return applied;
      },
  );
}

function missRevision(): () => void {
  return patched(
    WatchHub.prototype,
    "watch",
    (right) =>
      function (this: WatchHub, ...[request, sink]: Parameters<typeof right>) {
        const { fromRevision } = request;
        return right.call(
          this,
          fromRevision === undefined ? request : { ...request, fromRevision: fromRevision + 1 },
          sink,
        );
      },
  );
}

function skipCompacted(): () => void {
  return patched(
    WatchHub.prototype,
    "watch",
    (right) =>
      function (this: WatchHub, ...[request, sink]: Parameters<typeof right>) {
        const quiet: typeof sink = {
          onEvents: (events, revision) => sink.onEvents(events, revision),
          onEnd: (error) => {
            if (error?.name === "StatusError" && (error as { reason?: string }).reason === "Expired") {
              const { key, end } = request;
              right.call(this, end === undefined ? { key } : { key, end }, sink);
            } else sink.onEnd(error);
          },
        };
        return right.call(this, request, quiet);
      },
  );
}

function hasteLeases(): () => void {
  return patched(
    LeaseTable.prototype,
    "grant",
    (right) =>
      function (this: LeaseTable, ...[id, seconds]: Parameters<typeof right>) {
        return right.call(this, id, Math.ceil(seconds / 2));
      },
  );
}

function leaveKeys(): () => void {
  return patched(
    LeaseTable.prototype,
    "revoke",
    (right) =>
      function (this: LeaseTable, ...[id]: Parameters<typeof right>) {
        return right.call(this, id).slice(0, -1);
      },
  );
}

function unfenceLeases(): () => void {
  return patched(
    Replica.prototype,
    "propose",
    (right) =>
      function (this: Replica, ...[command, ...rest]: Parameters<typeof right>) {
        const { fenceTerm: _, ...unfenced } = { fenceTerm: undefined, ...command };
        return right.call(this, unfenced as typeof command, ...rest);
      },
  );
}

function cutSnapshots(): () => void {
  return patched(
    SnapshotReader.prototype,
    "chunk",
    (right) =>
      function (this: SnapshotReader, ...[after]: Parameters<typeof right>) {
        return { ...right.call(this, after, 512), next: undefined };
      },
  );
}

function reuseId(machine: ReplicaMachine): void {
  machine.keepsIdWithoutCopy = true;
}
