/**
 * Mistakes that implementations of consensus have made, each as a patch of the simulated machine. They show
 * that the simulation would find them; see `core-simulation.test.ts`.
 */

import type { RawNode } from "#raft/raw-node.ts";
import type { DeliberateFault } from "./core-machine.ts";

export const deliberateFaults: Record<string, DeliberateFault> = {
  "writes are acknowledged before they are flushed": { acknowledgesBeforeFlush: true },
  "votes are not written to disk": { forgetsVotes: true },
  "snapshots carry the newest configuration, not the one at their index": {
    snapshotsCarryNewestConfiguration: true,
  },
  "reads trust a lease, though machines pause": { config: { readOnlyOption: "lease" } },
  "votes are granted to candidates with an older log": { patch: grantToAnyLog },
  "the leader counts itself before its own flush": { patch: countBeforeFlush },
  "membership changes enter the log without validation": {
    config: { disableConfChangeValidation: true },
  },
  "heartbeats tell a commit index beyond the follower's match": { patch: commitWithoutMatch },
};

function grantToAnyLog({ raft }: RawNode): void {
  raft.log.isUpToDate = () => true;
}

function countBeforeFlush({ raft }: RawNode): void {
  const append = raft.appendEntries.bind(raft);
  raft.appendEntries = (proposals) => {
    const accepted = append(proposals);
    raft.tracker.progress.get(raft.id)?.acknowledge(raft.log.lastIndex());
    return accepted;
  };
}

function commitWithoutMatch({ raft }: RawNode): void {
  const send = raft.send.bind(raft);
  raft.send = (message) => {
    send(message.type === "heartbeat" ? { ...message, commit: raft.log.committed } : message);
  };
  // And the follower takes it, as far as its log goes.
  const commitTo = raft.log.commitTo.bind(raft.log);
  raft.log.commitTo = (index) => commitTo(Math.min(index, raft.log.lastIndex()));
}
