/**
 * The short notation of our own scenarios: an entry is `index@term "text"`, a message `from>to kind term`
 * and what it is about.
 */

import { describeConfiguration } from "../tracker.ts";
import type { ConfChange, Entry, Message, MessageType } from "../types.ts";
import type { ScenarioMember } from "./scenario-member.ts";

/** Heartbeats that confirm no read say nothing but "I am here": transcripts leave them out. */
export function isSmallTalk({ type, context }: Message): boolean {
  return (type === "heartbeat" || type === "heartbeatResponse") && context === undefined;
}

export function noteMessage(message: Message): string {
  const { type, from, to, term = 0 } = message;
  const about = noteContent(message);
  const words = [
    `${from}>${to}`,
    message.reject === true ? `${names[type] ?? type} no` : (names[type] ?? type),
  ];
  if (term > 0) words.push(`term ${term}`);
  return about === "" ? words.join(" ") : `${words.join(" ")}: ${about}`;
}

const names: Partial<Record<MessageType, string>> = {
  appendResponse: "ack",
  voteResponse: "answers vote",
  preVoteResponse: "answers preVote",
  heartbeatResponse: "answers heartbeat",
  readIndexResponse: "answers readIndex",
};

function noteContent(message: Message): string {
  const { type, index = 0, logTerm = 0, entries = [], commit = 0, context = "" } = message;
  switch (type) {
    case "append":
      return `${entries.map(noteEntry).join(", ") || "nothing"} after ${index}@${logTerm}, commit ${commit}`;
    case "appendResponse":
      if (message.reject === true) return `not ${index}, try ${message.rejectHint ?? 0}@${logTerm}`;
      return `up to ${index}`;
    case "vote":
    case "preVote":
      return `log ends ${index}@${logTerm}${context === "" ? "" : `, ${context}`}`;
    case "voteResponse":
    case "preVoteResponse":
      return message.reject === true ? `commit ${index}@${logTerm}` : "";
    case "snapshot":
      return `state at ${message.snapshot?.metadata.index}@${message.snapshot?.metadata.term}`;
    case "heartbeat":
    case "heartbeatResponse":
      return `round ${context}`;
    case "readIndex":
      return context;
    case "readIndexResponse":
      return `${context} at ${index}`;
    case "propose":
      return entries.map(noteEntry).join(", ");
    default:
      return "";
  }
}

export function noteEntry(entry: Entry): string {
  const place = `${entry.index}@${entry.term}`;
  if (entry.confChange !== undefined) return `${place} ${noteChange(entry.confChange)}`;
  return entry.data.length === 0 ? `${place} -` : `${place} "${new TextDecoder().decode(entry.data)}"`;
}

const signs = { addVoter: "+", addLearner: "~", remove: "-", update: "=" };

/** `+4 -3`: a new voter 4, 3 removed. `~4` is a learner. */
function noteChange({ changes }: ConfChange): string {
  if (changes.length === 0) return "leave";
  return changes.map(({ type, nodeId }) => `${signs[type]}${nodeId}`).join(" ");
}

export function parseChange(words: string[]): ConfChange {
  const transition = words.find((word) => word === "explicit" || word === "implicit") ?? "auto";
  const changes = words
    .filter((word) => word !== transition)
    .map((word) => {
      const type = (["addVoter", "addLearner", "remove"] as const).find((each) => signs[each] === word[0]);
      if (type === undefined) throw new Error(`no change of membership: ${word}`);
      return { type, nodeId: Number(word.slice(1)) };
    });
  return {
    transition: transition === "explicit" || transition === "implicit" ? transition : "auto",
    changes,
    context: new Uint8Array(0),
  };
}

/** One line: role, term, commit, configuration, log; for a leader, one more per follower. */
export function noteMember(member: ScenarioMember): string[] {
  const { id, node } = member;
  if (node === undefined) return [`${id} is down`];
  const { raft } = node;
  const { log } = raft;
  const entries = log.entriesFrom(log.firstIndex(), Infinity).map(noteEntry).join(", ");
  const before = log.firstIndex() > 1 ? `(snapshot ${log.firstIndex() - 1}) ` : "";
  const lines = [
    `${id} ${raft.role} term ${raft.term} commit ${log.committed} ${describeConfiguration(raft.tracker.configuration)} log ${before}${entries}`,
  ];
  if (raft.role !== "leader") return lines;
  for (const other of raft.tracker.memberIds()) {
    const progress = raft.tracker.progress.get(other);
    if (other === id || progress === undefined) continue;
    const { state, match, next, paused, inflight } = progress.status();
    lines.push(
      `  ${other} ${state} match ${match} next ${next}${inflight > 0 ? ` inflight ${inflight}` : ""}${paused ? " paused" : ""}`,
    );
  }
  return lines;
}
