/** What the main thread and the replica's thread say to each other. */

import type { StatusDetails, StatusReason } from "#base/errors.ts";
import { FatalError, StatusError } from "#base/errors.ts";
import type { ReplicaStatus } from "./types.ts";

export type ToThread =
  | { type: "session"; body: Uint8Array }
  | { type: "control"; id: number; method: string; args: unknown[] };

export type FromThread =
  | { type: "ready"; port: number; memberId: string; clusterId: string }
  | { type: "session"; body: Uint8Array }
  | { type: "control"; id: number; result?: unknown; error?: SentError }
  | { type: "status"; status: ReplicaStatus }
  | { type: "log"; level: "info" | "warn" | "error"; message: string; fields: Record<string, unknown> }
  | { type: "fatal"; error: SentError };

/** An error without its class, which does not survive the way between threads. */
export type SentError =
  | {
      type: "status";
      reason: StatusReason;
      code: number;
      details: StatusDetails | undefined;
      message: string;
    }
  | { type: "fatal"; kind: FatalError["kind"]; message: string }
  | { type: "bug"; message: string; stack: string };

export function toError(sent: SentError): Error {
  if (sent.type === "fatal") return new FatalError(sent.kind, sent.message);
  if (sent.type === "bug") return Object.assign(new Error(sent.message), { stack: sent.stack });
  const { reason, message, code, details } = sent;
  return new StatusError(reason, message, details === undefined ? { code } : { code, details });
}
