/**
 * The replica's thread: opens the replica and connects it with the main thread through one message port.
 * Elections, heartbeats, the log and the peers go on here whatever the main thread is busy with.
 */

import { parentPort, workerData } from "node:worker_threads";
import { FatalError, StatusError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import { BackendServer } from "./backend-session.ts";
import type { OpenReplica, ReplicaSettings } from "./open-replica.ts";
import { openReplica } from "./open-replica.ts";
import type { AdminMethod } from "./replica-node.ts";
import type { FromThread, SentError, ToThread } from "./thread-messages.ts";
import type { PeerTls } from "./types.ts";

const port = parentPort;
if (port === null) throw new Error("this file runs in a thread of a Trivet node");

const post = (message: FromThread) => port.postMessage(message);
const log = (level: "info" | "warn" | "error") => (message: string, fields?: Record<string, unknown>) =>
  post({ type: "log", level, message, fields: fields ?? {} });
const logger: Logger = { debug: () => undefined, info: log("info"), warn: log("warn"), error: log("error") };

const onFatal = (error: Error) => post({ type: "fatal", error: toSent(error) });

try {
  const opened = await openReplica(workerData as ReplicaSettings, logger, onFatal);
  const server = new BackendServer(opened.node.backend, {
    send(body) {
      port.postMessage({ type: "session", body } satisfies FromThread, [body.buffer]);
      return true;
    },
    later: (flush) => process.nextTick(flush),
  });
  port.on("message", (message: ToThread) => {
    if (message.type === "session") server.receive(message.body);
    else void answer(opened, message);
  });
  post({ type: "ready", port: opened.port, memberId: opened.memberId, clusterId: opened.clusterId });
} catch (error) {
  post({ type: "fatal", error: toSent(error as Error) });
}

async function answer(
  opened: OpenReplica,
  { id, method, args }: ToThread & { type: "control" },
): Promise<void> {
  try {
    post({ type: "control", id, result: await control(opened, method, args) });
    if (method === "stop") port?.close();
  } catch (error) {
    post({ type: "control", id, error: toSent(error as Error) });
  }
}

async function control(opened: OpenReplica, method: string, args: unknown[]): Promise<unknown> {
  const { node } = opened;
  switch (method) {
    case "status":
      return node.status();
    case "members":
      return node.members();
    case "setTls":
      opened.setTls(args[0] as PeerTls);
      return undefined;
    case "stop":
      await opened.stop();
      return undefined;
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
