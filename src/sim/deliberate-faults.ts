/**
 * Mistakes that implementations of consensus have made, each as a patch of the machines that run the bare core.
 * They show that the simulation would find them; those of whole replicas are in `replica-faults.ts`.
 */

import type { RawNode } from "#raft/raw-node.ts";
import type { Entry } from "#raft/types.ts";
import type { CoreMachine, DeliberateFault } from "./core-machine.ts";

/** Where luck is needed, with the kinds of faults that bring it about. */
export const coreFaults: Record<string, DeliberateFault & { only?: string[] }> = {
  "writes are acknowledged before they are flushed": { acknowledgesBeforeFlush: true },
  "votes are not written to disk": { forgetsVotes: true, only: ["crashVoter", "campaignTogether"] },
  "entries of an earlier term are committed by counting": {
    patch: commitEarlierTerms,
    only: ["crashLeader", "isolateLeader", "partition"],
  },
  "snapshots carry the newest configuration, not the one at their index": {
    snapshotsCarryNewestConfiguration: true,
    only: ["changeMembership", "compact", "compact", "crashOne", "crashLeader", "isolateLeader"],
  },
  "reads trust a lease, though machines pause": { config: { readOnlyOption: "lease" } },
  "reads are answered without asking anybody": { patch: readAlone },
  "votes are granted to candidates with an older log": { patch: grantToAnyLog },
  "the leader counts itself before its own flush": { patch: countBeforeFlush },
  "a new voter counts as having everything": {
    patch: trustNewVoters,
    only: ["changeMembership", "crashLeader"],
  },
  "membership changes enter the log without validation": {
    config: { disableConfChangeValidation: true },
    only: ["changeMembership", "isolateLeader", "partition"],
  },
  "heartbeats tell a commit index beyond the follower's match": { patch: commitWithoutMatch },
  "the tail of a conflicting log is left behind new entries": {
    patchDisk: keepTail,
    only: ["isolateLeader", "crashLeader", "crashOne"],
  },
};

function grantToAnyLog({ raft }: RawNode): void {
  raft.log.isUpToDate = () => true;
}

function commitEarlierTerms({ raft }: RawNode): void {
  const { log } = raft;
  log.maybeCommit = (index) => {
    if (index <= log.committed) return false;
    log.commitTo(index);
    return true;
  };
}

function readAlone(node: RawNode): void {
  node.readIndex = (context) => {
    node.raft.readStates.push({ context, index: node.raft.log.committed });
  };
}

function countBeforeFlush({ raft }: RawNode): void {
  const append = raft.appendEntries.bind(raft);
  raft.appendEntries = (proposals) => {
    const accepted = append(proposals);
    raft.tracker.progress.get(raft.id)?.acknowledge(raft.log.lastIndex());
    return accepted;
  };
}

function trustNewVoters(node: RawNode): void {
  const { raft } = node;
  const apply = node.applyConfChange.bind(node);
  node.applyConfChange = (change) => {
    const confState = apply(change);
    if (raft.role !== "leader") return confState;
    for (const { type, nodeId } of change.changes) {
      if (type === "addVoter") raft.tracker.progress.get(nodeId)?.acknowledge(raft.log.lastIndex());
    }
    return confState;
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

function keepTail({ disk }: CoreMachine): void {
  const append = disk.append.bind(disk);
  disk.append = (entries) => {
    const last = entries.at(-1);
    const isOver = last !== undefined && last.index < disk.lastIndex() && last.index >= disk.firstIndex();
    const tail: Entry[] = isOver ? disk.entries(last.index + 1, disk.lastIndex() + 1, Infinity) : [];
    append([...entries, ...tail]);
  };
}
