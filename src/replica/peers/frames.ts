/** What replicas say to each other: raft's messages, forwarded proposals, the leader's report, and calls with answers. */

import { StatusError } from "#base/errors.ts";
import type { StatusReason } from "#base/errors.ts";
import type { Message } from "#raft/types.ts";
import { ByteReader, ByteWriter, MalformedError } from "#store/bytes.ts";
import { readDetails } from "./peer-json.ts";
import { readMessage, writeMessage } from "../log/raft-records.ts";

export type Frame =
  | { type: "raft"; messages: Message[] }
  /** A proposal for the leader of `term`, and of no other. Below `floor` its sender has nothing outstanding. */
  | { type: "forward"; term: number; floor: number; data: Uint8Array }
  /** The leader did not take the proposal (its sender's sequence number) that was made for this term. */
  | { type: "refused"; term: number; sequence: number }
  /** The leader's report to everybody, JSON. */
  | { type: "report"; text: string }
  /** The answer to a report: the sender is alive. */
  | { type: "alive"; text: string }
  | { type: "call"; id: number; method: string; body: Uint8Array }
  | { type: "answer"; id: number; body: Uint8Array }
  | { type: "failure"; id: number; error: StatusError }
  /** Part of a backend session (see backend-session.ts). */
  | { type: "session"; session: number; toServer: boolean; body: Uint8Array };

const types: Frame["type"][] = [
  "raft",
  "forward",
  "refused",
  "report",
  "alive",
  "call",
  "answer",
  "failure",
  "session",
];

export function encodeFrame(frame: Frame): Uint8Array {
  const out = new ByteWriter(frame.type === "answer" ? frame.body.length + 32 : 512);
  out.byte(types.indexOf(frame.type));
  switch (frame.type) {
    case "raft":
      out.list(frame.messages, (message) => writeMessage(out, message));
      break;
    case "forward":
      out.integer(frame.term).integer(frame.floor).bytes(frame.data);
      break;
    case "refused":
      out.integer(frame.term).integer(frame.sequence);
      break;
    case "report":
    case "alive":
      out.text(frame.text);
      break;
    case "call":
      out.integer(frame.id).text(frame.method).bytes(frame.body);
      break;
    case "answer":
      out.integer(frame.id).bytes(frame.body);
      break;
    case "failure":
      out.integer(frame.id);
      writeError(out, frame.error);
      break;
    case "session":
      out.integer(frame.session).boolean(frame.toServer).bytes(frame.body);
      break;
  }
  return out.finish();
}

/** Throws MalformedError. */
export function decodeFrame(bytes: Uint8Array): Frame {
  const from = new ByteReader(bytes);
  const type = types[from.byte()];
  switch (type) {
    case "raft":
      return { type, messages: from.list(() => readMessage(from)) };
    case "forward":
      return { type, term: from.integer(), floor: from.integer(), data: from.bytes() };
    case "refused":
      return { type, term: from.integer(), sequence: from.integer() };
    case "report":
    case "alive":
      return { type, text: from.text() };
    case "call":
      return { type, id: from.integer(), method: from.text(), body: from.bytes() };
    case "answer":
      return { type, id: from.integer(), body: from.bytes() };
    case "failure":
      return { type, id: from.integer(), error: readError(from) };
    case "session":
      return { type, session: from.integer(), toServer: from.boolean(), body: from.bytes() };
    default:
      throw new MalformedError("unknown frame");
  }
}

export function writeError(out: ByteWriter, error: Error): void {
  const status =
    error instanceof StatusError ? error : new StatusError("InternalError", error.message, { cause: error });
  out
    .text(status.reason)
    .integer(status.code)
    .text(status.message)
    .text(JSON.stringify(status.details ?? null));
}

export function readError(from: ByteReader): StatusError {
  const reason = from.text() as StatusReason;
  const code = from.integer();
  const message = from.text();
  const details = readDetails(from.text());
  return new StatusError(reason, message, details === null ? { code } : { code, details: details ?? {} });
}
