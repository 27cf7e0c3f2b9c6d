/** How states, messages and Readys are written in transcripts: the notation of etcd's raft library. */

import type { Progress } from "../progress.ts";
import { localAppendThread, localApplyThread } from "../types.ts";
import type {
  ConfChange,
  ConfChangeType,
  ConfState,
  Entry,
  HardState,
  Message,
  MessageType,
  NodeId,
  ProgressState,
  RaftRole,
  Ready,
  Snapshot,
} from "../types.ts";

const messageNames: Record<MessageType, string> = {
  hup: "MsgHup",
  beat: "MsgBeat",
  propose: "MsgProp",
  append: "MsgApp",
  appendResponse: "MsgAppResp",
  vote: "MsgVote",
  voteResponse: "MsgVoteResp",
  preVote: "MsgPreVote",
  preVoteResponse: "MsgPreVoteResp",
  snapshot: "MsgSnap",
  heartbeat: "MsgHeartbeat",
  heartbeatResponse: "MsgHeartbeatResp",
  unreachable: "MsgUnreachable",
  snapshotStatus: "MsgSnapStatus",
  checkQuorum: "MsgCheckQuorum",
  transferLeader: "MsgTransferLeader",
  timeoutNow: "MsgTimeoutNow",
  readIndex: "MsgReadIndex",
  readIndexResponse: "MsgReadIndexResp",
  storageAppend: "MsgStorageAppend",
  storageAppendResponse: "MsgStorageAppendResp",
  storageApply: "MsgStorageApply",
  storageApplyResponse: "MsgStorageApplyResp",
  forgetLeader: "MsgForgetLeader",
};

export const roleNames: Record<RaftRole, string> = {
  follower: "StateFollower",
  preCandidate: "StatePreCandidate",
  candidate: "StateCandidate",
  leader: "StateLeader",
};

const progressNames: Record<ProgressState, string> = {
  probe: "StateProbe",
  replicate: "StateReplicate",
  snapshot: "StateSnapshot",
};

const changeLetters: Record<ConfChangeType, string> = {
  addVoter: "v",
  addLearner: "l",
  remove: "r",
  update: "u",
};

/** Marks, in a change's context, what was proposed in the older of the two notations. */
export const firstVersionContext = new TextEncoder().encode("v1");

/** `v1 l2 r3`. */
export function parseChanges(text: string): ConfChange["changes"] {
  const letters = Object.entries(changeLetters) as [ConfChangeType, string][];
  return (text.match(/\S+/g) ?? []).map((word) => {
    const type = letters.find(([, letter]) => word.startsWith(letter))?.[0];
    if (type === undefined) throw new Error(`unknown change ${word}`);
    return { type, nodeId: Number(word.slice(1)) };
  });
}

export function describeReady(ready: Ready): string {
  const lines: string[] = [];
  if (ready.softState !== undefined) {
    lines.push(`Lead:${ready.softState.leader} State:${roleNames[ready.softState.role]}`);
  }
  if (ready.hardState !== undefined) lines.push(`HardState ${describeHardState(ready.hardState)}`);
  if (ready.readStates.length > 0) {
    lines.push(`ReadStates ${ready.readStates.map(({ index, context }) => `${context}:${index}`).join(" ")}`);
  }
  if (ready.entries.length > 0) lines.push("Entries:", ...ready.entries.map(describeEntry));
  if (ready.snapshot !== undefined) lines.push(`Snapshot ${describeSnapshot(ready.snapshot)}`);
  if (ready.committedEntries.length > 0) {
    lines.push("CommittedEntries:", ...ready.committedEntries.map(describeEntry));
  }
  if (ready.messages.length > 0) lines.push("Messages:", ...ready.messages.map((m) => describeMessage(m)));
  if (lines.length === 0) return "<empty Ready>";
  return [`Ready MustSync=${ready.mustSync}:`, ...lines].join("\n");
}

export function describeMessage(message: Message, indent = ""): string {
  const { entries = [], responses = [] } = message;
  let text = `${indent}${describeAddress(message.from)}->${describeAddress(message.to)} ${messageNames[message.type]}`;
  // Refused votes carry the commit index, which etcd's don't.
  const isVote = message.type === "voteResponse" || message.type === "preVoteResponse";
  const { index = 0, logTerm = 0 } = isVote ? {} : message;
  text += ` Term:${message.term ?? 0} Log:${logTerm}/${index}`;
  if (message.reject === true) text += ` Rejected (Hint: ${message.rejectHint ?? 0})`;
  if (message.commit !== undefined && message.commit > 0) text += ` Commit:${message.commit}`;
  if (message.vote !== undefined && message.vote > 0) text += ` Vote:${message.vote}`;
  if (entries.length === 1) text += ` Entries:[${entries.map(describeEntry).join("")}]`;
  if (entries.length > 1) {
    text += ` Entries:[${entries.map((entry) => `\n${indent}  ${describeEntry(entry)}`).join("")}\n${indent}]`;
  }
  if (message.snapshot !== undefined) text += `\n${indent}  Snapshot: ${describeSnapshot(message.snapshot)}`;
  if (responses.length > 0) {
    const lines = responses.map((response) => `\n${describeMessage(response, `${indent}  `)}`);
    text += ` Responses:[${lines.join("")}\n${indent}]`;
  }
  return text;
}

export function describeEntry(entry: Entry): string {
  const place = `${entry.term}/${entry.index}`;
  const change = entry.confChange;
  if (change === undefined) return `${place} EntryNormal "${new TextDecoder().decode(entry.data)}"`;
  const isFirstVersion = change.context === firstVersionContext;
  const steps = change.changes.map(({ type, nodeId }) => ` ${changeLetters[type]}${nodeId}`).join("");
  return `${place} EntryConfChange${isFirstVersion ? "" : "V2"}${steps}`;
}

export function describeProgress(progress: ReadonlyMap<NodeId, Progress>): string {
  const ids = [...progress.keys()].sort((a, b) => a - b);
  return ids.map((id) => `${id}: ${describeMember(progress.get(id))}\n`).join("");
}

function describeMember(member: Progress | undefined): string {
  if (member === undefined) return "unknown";
  let text = `${progressNames[member.state]} match=${member.match} next=${member.next}`;
  if (member.isLearner) text += " learner";
  if (member.paused) text += " paused";
  if (member.pendingSnapshot > 0) text += ` pendingSnap=${member.pendingSnapshot}`;
  if (!member.recentActive) text += " inactive";
  if (member.inflights.count > 0) text += ` inflight=${member.inflights.count}`;
  if (member.inflights.full) text += "[full]";
  return text;
}

function describeHardState({ term, vote, commit }: HardState): string {
  return `Term:${term}${vote > 0 ? ` Vote:${vote}` : ""} Commit:${commit}`;
}

function describeSnapshot({ metadata }: Snapshot): string {
  return `Index:${metadata.index} Term:${metadata.term} ConfState:${describeConfState(metadata.confState)}`;
}

function describeConfState(state: ConfState): string {
  const list = (ids: NodeId[]): string => `[${ids.join(" ")}]`;
  return (
    `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)} Learners:${list(state.learners)} ` +
    `LearnersNext:${list(state.learnersNext)} AutoLeave:${state.autoLeave}`
  );
}

function describeAddress(id: NodeId): string {
  if (id === localAppendThread) return "AppendThread";
  return id === localApplyThread ? "ApplyThread" : String(id);
}
