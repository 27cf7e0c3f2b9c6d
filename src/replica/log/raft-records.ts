/** The binary form of raft's entries and messages, on disk and between peers. */

import type { ByteReader, ByteWriter } from "#store/bytes.ts";
import { MalformedError } from "#store/bytes.ts";
import { parseJson } from "../peers/peer-json.ts";

import type { ConfChange, ConfState, Entry, Message, MessageType, Snapshot } from "#raft/types.ts";

const confChangeTypes = ["addVoter", "addLearner", "remove", "update"] as const;
const transitions = ["auto", "implicit", "explicit"] as const;
/** What one member may send to another. The order is the wire format. */
export const messageTypes: MessageType[] = [
  "propose",
  "append",
  "appendResponse",
  "vote",
  "voteResponse",
  "preVote",
  "preVoteResponse",
  "snapshot",
  "heartbeat",
  "heartbeatResponse",
  "transferLeader",
  "timeoutNow",
  "readIndex",
  "readIndexResponse",
];

export function writeEntry(out: ByteWriter, entry: Entry): void {
  out
    .integer(entry.index)
    .integer(entry.term)
    .boolean(entry.type === "confChange");
  if (entry.type === "confChange" && entry.confChange !== undefined) writeConfChange(out, entry.confChange);
  else out.bytes(entry.data);
}

export function readEntry(from: ByteReader): Entry {
  const index = from.integer();
  const term = from.integer();
  if (!from.boolean()) return { index, term, type: "normal", data: from.bytes() };
  return { index, term, type: "confChange", data: new Uint8Array(0), confChange: readConfChange(from) };
}

export function writeMessage(out: ByteWriter, message: Message): void {
  const type = messageTypes.indexOf(message.type);
  if (type < 0) throw new MalformedError(`${message.type} is no message between members`);
  out.byte(type).integer(message.to).integer(message.from);
  out
    .integer(message.term ?? 0)
    .integer(message.logTerm ?? 0)
    .integer(message.index ?? 0);
  out
    .integer(message.commit ?? 0)
    .integer(message.vote ?? 0)
    .integer(message.rejectHint ?? 0);
  out.boolean(message.reject === true).text(message.context ?? "");
  out.list(message.entries ?? [], (entry) => writeEntry(out, entry));
  out.optional(message.snapshot, (snapshot) => writeSnapshot(out, snapshot));
}

export function readMessage(from: ByteReader): Message {
  const type = messageTypes[from.byte()];
  if (type === undefined) throw new MalformedError("unknown raft message");
  const message: Message = { type, to: from.integer(), from: from.integer() };
  for (const field of ["term", "logTerm", "index", "commit", "vote", "rejectHint"] as const) {
    const value = from.integer();
    if (value !== 0) message[field] = value;
  }
  if (from.boolean()) message.reject = true;
  const context = from.text();
  if (context !== "") message.context = context;
  const entries = from.list(() => readEntry(from));
  if (entries.length > 0) message.entries = entries;
  const snapshot = from.optional(() => readSnapshot(from));
  if (snapshot !== undefined) message.snapshot = snapshot;
  return message;
}

function writeConfChange(out: ByteWriter, change: ConfChange): void {
  out.byte(transitions.indexOf(change.transition));
  out.list(change.changes, (each) => out.byte(confChangeTypes.indexOf(each.type)).integer(each.nodeId));
  out.bytes(change.context);
}

function readConfChange(from: ByteReader): ConfChange {
  const transition = transitions[from.byte()];
  const changes = from.list(() => {
    const type = confChangeTypes[from.byte()];
    if (type === undefined) throw new MalformedError("unknown membership change");
    return { type, nodeId: from.integer() };
  });
  if (transition === undefined) throw new MalformedError("unknown transition");
  return { transition, changes, context: from.bytes() };
}

function writeSnapshot(out: ByteWriter, snapshot: Snapshot): void {
  const { index, term, confState } = snapshot.metadata;
  out.integer(index).integer(term).text(JSON.stringify(confState)).text(snapshot.token);
}

function readSnapshot(from: ByteReader): Snapshot {
  const index = from.integer();
  const term = from.integer();
  const confState = parseJson(from.text(), "configuration") as ConfState;
  return { metadata: { index, term, confState }, token: from.text() };
}
