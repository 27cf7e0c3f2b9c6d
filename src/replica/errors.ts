/** The answers of a replica that can't do what it was asked, in etcd's words where clients know them. */

import { FatalError, StatusError } from "#base/errors.ts";
import { isOutOfRoom } from "#store/tables.ts";

/** Nobody knows whether the write took place. */
export function timeoutError(): StatusError {
  return new StatusError("Timeout", "etcdserver: request timed out");
}

/** It certainly did not take place. No time to retry after: a client is to hear it now, or to ask another node. */
export function noLeaderError(): StatusError {
  return new StatusError(
    "ServiceUnavailable",
    "etcdserver: no leader: this node reaches no majority of the datastore's voters",
  );
}

export function overloadError(): StatusError {
  return new StatusError("TooManyRequests", "etcdserver: too many requests", {
    details: { retryAfterSeconds: 1 },
  });
}

/** A command of a later format than the cluster's. */
export function notUpgradedError(format: number): StatusError {
  return new StatusError(
    "ServiceUnavailable",
    `etcdserver: not capable: this needs format ${format} of the datastore, and not every node has been upgraded to a release that knows it`,
  );
}

export function stoppedError(): StatusError {
  return new StatusError("ServiceUnavailable", "etcdserver: server stopped");
}

export function diskFullError(): StatusError {
  return new StatusError(
    "ServiceUnavailable",
    "the datastore's disk is full: free space under the data directory",
  );
}

/** Whether an error of SQLite, or of the file system, says that there is no room. */
export function isDiskFull(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === "ENOSPC" || code === "EDQUOT" || isOutOfRoom(error);
}

/** SQLite finds what it can't read: pages of the state, or its head. */
export function isUnreadable(error: unknown): error is Error {
  const { errcode } = error as { errcode?: number };
  return errcode !== undefined && [11, 26].includes(errcode & 0xff);
}

/** A log that has lost something, a state that diverged or is not as it was written. */
export function isDamage(error: unknown): error is Error {
  return error instanceof FatalError ? error.kind === "corrupt" : isUnreadable(error);
}
