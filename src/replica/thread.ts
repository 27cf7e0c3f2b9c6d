/**
 * The replica's thread: opens the replica and connects it with the main thread through one message port.
 * Elections, heartbeats, the log and the peers go on here whatever the main thread is busy with.
 */

import { parentPort, workerData } from "node:worker_threads";
import { FatalError, StatusError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import { BackendServer } from "./session/backend-server.ts";
import type { InterruptibleReplica } from "./interruptible-replica.ts";
import { openInterruptible } from "./open-interruptible.ts";
import type { ReplicaSettings } from "./open-replica.ts";
import type { AdminMethod } from "./replica-node.ts";
import type { FromThread, SentError, ToThread } from "./thread-messages.ts";
import type { PeerTls } from "./types.ts";

const port = parentPort;
if (port === null) throw new Error("this file runs in a thread of a Trivet node");

const post = (message: FromThread) => port.postMessage(message);
const log = (level: "info" | "warn" | "error") => (message: string, fields?: Record<string, unknown>) =>
  post({ type: "log", level, message, fields: fields ?? {} });
const logger: Logger = { debug: () => undefined, info: log("info"), warn: log("warn"), error: log("error") };

try {
  const interruptible = await openInterruptible(workerData as ReplicaSettings, logger, {
    onStatus: (status) => post({ type: "status", status }),
    onReopened: postReady,
    onFatal: (error) => post({ type: "fatal", error: toSent(error) }),
  });
  const server = new BackendServer(interruptible.backend, {
    send(body) {
      port.postMessage({ type: "session", body } satisfies FromThread, [body.buffer]);
      return true;
    },
    later: (flush) => process.nextTick(flush),
  });
  port.on("message", (message: ToThread) => {
    if (message.type === "session") server.receive(message.body);
    else void answer(interruptible, message);
  });
  postReady(interruptible);
} catch (error) {
  post({ type: "fatal", error: toSent(error as Error) });
}

/** Opens it again from what is in its directory: perhaps as another member, of another cluster. */
async function reopen(interruptible: InterruptibleReplica): Promise<void> {
  await interruptible.outage(0);
  postReady(interruptible);
}

function postReady({ opened }: InterruptibleReplica): void {
  post({ type: "ready", port: opened.port, memberId: opened.memberId, clusterId: opened.clusterId });
}

async function answer(
  replica: InterruptibleReplica,
  { id, method, args }: ToThread & { type: "control" },
): Promise<void> {
  try {
    post({ type: "control", id, result: await control(replica, method, args) });
    if (method === "stop") port?.close();
  } catch (error) {
    post({ type: "control", id, error: toSent(error as Error) });
  }
}

async function control(replica: InterruptibleReplica, method: string, args: unknown[]): Promise<unknown> {
  if (method === "stop") return replica.stop();
  if (method === "outage") return replica.outage(args[0] as number);
  const { opened } = replica;
  const { node } = opened;
  switch (method) {
    case "status":
      return node.status();
    case "members":
      return node.members();
    case "metrics":
      return opened.metrics();
    case "setTls":
      opened.setTls(args[0] as PeerTls);
      return undefined;
    case "survey":
      return node.survey();
    case "backupBegin":
      return node.backups.begin(args[0] as boolean);
    case "backupChunk":
      return node.backups.chunk(args[0] as string, args[1] as number);
    case "backupEnd":
      node.backups.end(args[0] as string);
      return undefined;
    case "recover":
      opened.requestRecovery(args[0] as { term: number; lost: string[] });
      return reopen(replica);
    default:
      return node.admin(method as AdminMethod, ...(args as []));
  }
}

function toSent(error: Error): SentError {
  if (error instanceof StatusError) {
    const { reason, code, details, message } = error;
    return { type: "status", reason, code, details, message };
  }
  if (error instanceof FatalError) return { type: "fatal", kind: error.kind, message: error.message };
  return { type: "bug", message: error.message, stack: error.stack ?? "" };
}
