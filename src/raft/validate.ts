/**
 * What a message from another member must look like, whatever it says. A peer may be of another version,
 * faulty, or worse; its messages are checked here before they reach the core, which then needs to defend
 * itself only against what depends on its own state. Pure: knows the message and, of this member, its id and
 * term.
 *
 * This is no protection against a member that lies well: consensus among n members assumes that none does.
 */

import type { ConfChange, ConfState, Entry, Message, MessageType, NodeId, Snapshot } from "./types.ts";

/**
 * By how much a peer's term may be ahead. Terms rise by one per election, so an honest peer would need
 * more than a hundred years for it, at an election per second. One garbled term that is taken up
 * makes every later one as large, for good, and beyond the safe integers no election would be possible.
 */
const maxTermLead = 2 ** 32;

interface Receiver {
  id: NodeId;
  /** The term that this member is in. */
  term: number;
}

/** Why this message can't be from a member that works, undefined if it may be. Never throws, whatever it is given. */
export function validateMessage(message: Message, receiver: Receiver): string | undefined {
  const { type, to, from, term = 0 } = message;
  const rule = rules[type];
  if (rule === undefined) return `${String(type)} is no message between members`;
  if (to !== receiver.id) return "it is for another member";
  if (!isId(from) || from === to) return "its sender is no other member";
  for (const field of counts) {
    const value = message[field];
    if (value !== undefined && !isCount(value)) return `its ${field} is no count`;
  }
  if (message.entries !== undefined && !isListOfRecords(message.entries)) return "its entries are no list";
  if (rule.hasTerm && term === 0) return "it has no term";
  if (!rule.hasTerm && term !== 0) return "it has a term, which belongs to no leader";
  if (term > receiver.term + maxTermLead) return `its term ${term} is far beyond all elections`;
  return rule.check?.(message);
}

const counts = ["term", "logTerm", "index", "commit", "vote", "rejectHint"] as const;

interface Rule {
  /** Requests that any leader may answer have none: they are about no term. */
  hasTerm: boolean;
  check?(message: Message): string | undefined;
}

/** What members send each other. All other messages are a member's own: `hup`, `storageAppend` and the like. */
const rules: Partial<Record<MessageType, Rule>> = {
  propose: { hasTerm: false, check: checkProposal },
  append: { hasTerm: true, check: checkAppend },
  appendResponse: { hasTerm: true },
  vote: { hasTerm: true, check: checkLogEnd },
  voteResponse: { hasTerm: true },
  preVote: { hasTerm: true, check: checkLogEnd },
  preVoteResponse: { hasTerm: true },
  snapshot: { hasTerm: true, check: checkSnapshotMessage },
  heartbeat: { hasTerm: true },
  heartbeatResponse: { hasTerm: true },
  transferLeader: { hasTerm: true },
  timeoutNow: { hasTerm: true },
  readIndex: { hasTerm: false, check: checkContext },
  readIndexResponse: { hasTerm: true, check: checkContext },
};

function checkContext({ context }: Message): string | undefined {
  return typeof context !== "string" || context === "" ? "it does not say which read it is about" : undefined;
}

/**
 * Nobody has entries of a term that it has not seen. Of the very term it may have: a cluster's first members
 * begin with a state of term 1, before any of them has been in a term.
 */
function checkLogEnd({ term = 0, logTerm = 0 }: Message): string | undefined {
  return logTerm > term ? "its log is of a newer term than itself" : undefined;
}

function checkProposal({ entries = [] }: Message): string | undefined {
  if (entries.length === 0) return "it proposes nothing";
  for (const entry of entries) {
    const fault = entryFault(entry);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Entries follow each other without a gap, in terms that never go back nor beyond the leader's. */
function checkAppend({ term = 0, index = 0, logTerm = 0, entries = [] }: Message): string | undefined {
  if (index === 0 && logTerm !== 0) return "there is no entry 0";
  if (index > 0 && (logTerm === 0 || logTerm > term)) return "the entry before has an impossible term";
  let last = { index, term: logTerm };
  for (const entry of entries) {
    if (entry.index !== last.index + 1) return `entry ${entry.index} does not follow ${last.index}`;
    if (!isCount(entry.term) || entry.term < last.term || entry.term === 0 || entry.term > term) {
      return `the term of entry ${entry.index} is impossible`;
    }
    const fault = entryFault(entry);
    if (fault !== undefined) return fault;
    last = entry;
  }
  return isCount(last.index) ? undefined : "its indexes are beyond counting";
}

function checkSnapshotMessage({ term = 0, snapshot }: Message): string | undefined {
  if (snapshot === undefined || !isRecord(snapshot) || !isRecord(snapshot.metadata))
    return "it has no snapshot";
  return snapshotFault(snapshot, term);
}

function snapshotFault({ metadata, token }: Snapshot, leaderTerm: number): string | undefined {
  const { index, term, confState } = metadata;
  if (typeof token !== "string") return "its snapshot has no token";
  if (!isCount(index) || index === 0) return "its snapshot has no index";
  if (!isCount(term) || term === 0 || term > leaderTerm) return "its snapshot has an impossible term";
  return confStateFault(confState);
}

/** Why this is no configuration, undefined if it is one. Also for what was read from elsewhere: a disk, a file. */
export function confStateFault(confState: ConfState): string | undefined {
  if (!isRecord(confState)) return "it has no configuration";
  const { voters, learners, votersOutgoing, learnersNext, autoLeave } = confState;
  for (const ids of [voters, learners, votersOutgoing, learnersNext]) {
    if (!Array.isArray(ids) || !ids.every(isId)) return "its configuration has members without ids";
    if (new Set(ids).size !== ids.length) return "its configuration has a member twice";
  }
  if (typeof autoLeave !== "boolean") return "its configuration does not say whether it ends by itself";
  if (voters.length === 0) return "its configuration has no voters";
  const overlaps = (one: NodeId[], other: NodeId[]): boolean => one.some((id) => other.includes(id));
  if (overlaps(learners, [...voters, ...votersOutgoing, ...learnersNext]))
    return "a learner has another role";
  if (overlaps(learnersNext, voters)) return "a voter is to become a learner";
  if (!learnersNext.every((id) => votersOutgoing.includes(id))) return "a future learner does not vote";
  if (autoLeave && votersOutgoing.length === 0) return "it is not joint, and is to be left";
  return undefined;
}

function entryFault({ type, data, confChange }: Entry): string | undefined {
  if (type !== "normal" && type !== "confChange") return "an entry is of no known type";
  if (!(data instanceof Uint8Array)) return "an entry has no data";
  if ((type === "confChange") !== (confChange !== undefined)) return "an entry does not say what it changes";
  if (confChange === undefined) return undefined;
  return isRecord(confChange) ? confChangeFault(confChange) : "a change is incomplete";
}

function confChangeFault({ transition, changes, context }: ConfChange): string | undefined {
  if (!["auto", "implicit", "explicit"].includes(transition)) return "a change is of no known kind";
  if (!(context instanceof Uint8Array) || !isListOfRecords(changes)) return "a change is incomplete";
  for (const { type, nodeId } of changes) {
    if (!["addVoter", "addLearner", "remove", "update"].includes(type)) return "a change has an unknown step";
    // 0: a step that was found to be unnecessary.
    if (!isId(nodeId) && nodeId !== 0) return "a change is about no member";
  }
  return undefined;
}

function isListOfRecords(value: unknown): boolean {
  return Array.isArray(value) && value.every(isRecord);
}

function isRecord(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function isId(value: unknown): value is NodeId {
  return isCount(value) && value > 0;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
