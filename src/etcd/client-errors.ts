/** What an etcd server answers, as the errors of the `Backend` port. Pure but for the library's status codes. */
import * as grpc from "@grpc/grpc-js";
import { StatusError } from "#base/errors.ts";
import { leaseExistsError, leaseNotFoundError } from "#base/leases.ts";
import { compactedError, futureRevisionError } from "#base/transaction.ts";

/** `kind` "write": when the connection breaks, nobody knows whether it took place. */
export function clientError(error: unknown, kind: "read" | "write"): Error {
  if (error instanceof StatusError) return error;
  const { code, details } = error as grpc.ServiceError;
  if (details === undefined) return error as Error;
  if (/required revision has been compacted/.test(details)) return compactedError();
  if (/required revision is a future revision/.test(details)) return futureRevisionError();
  if (/requested lease not found/.test(details)) return leaseNotFoundError();
  if (/lease already exists/.test(details)) return leaseExistsError();
  if (/request is too large/.test(details)) return new StatusError("RequestEntityTooLarge", details);
  switch (code) {
    case grpc.status.INVALID_ARGUMENT:
    case grpc.status.OUT_OF_RANGE:
    case grpc.status.FAILED_PRECONDITION:
      return new StatusError("BadRequest", details);
    case grpc.status.NOT_FOUND:
      return new StatusError("NotFound", details);
    case grpc.status.UNAUTHENTICATED:
    case grpc.status.PERMISSION_DENIED:
      return new StatusError("Forbidden", `the external datastore refuses this node: ${details}`);
    case grpc.status.RESOURCE_EXHAUSTED:
      // A database that has reached its quota takes no writes until its owner acts: no use in trying again soon.
      return /space exceeded/.test(details)
        ? new StatusError("ServiceUnavailable", details)
        : new StatusError("TooManyRequests", details, { details: { retryAfterSeconds: 1 } });
    case grpc.status.UNAVAILABLE:
      if (kind === "read" || isNotSent(error as grpc.ServiceError) || /etcdserver: no leader/.test(details))
        return new StatusError("ServiceUnavailable", `the external datastore does not answer: ${details}`);
      return new StatusError("Timeout", "etcdserver: request timed out", { cause: error });
    default:
      return new StatusError("Timeout", "etcdserver: request timed out", { cause: error });
  }
}

/** There was no connection to send it on. */
export function isNotSent(error: grpc.ServiceError): boolean {
  return error.details.startsWith("No connection established");
}
