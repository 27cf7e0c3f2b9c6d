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
    case grpc.status.UNIMPLEMENTED:
      return new StatusError(
        "ServiceUnavailable",
        `the external datastore does not serve etcd's API: ${details}`,
      );
    case grpc.status.UNAVAILABLE:
      if (kind === "read" || isNotSent(error as grpc.ServiceError) || /etcdserver: no leader/.test(details))
        return new StatusError(
          "ServiceUnavailable",
          `the external datastore does not answer: ${failureReason(details)}`,
        );
      return new StatusError("Timeout", "etcdserver: request timed out", { cause: error });
    default:
      return new StatusError("Timeout", "etcdserver: request timed out", { cause: error });
  }
}

/** There was no connection to send it on. */
export function isNotSent(error: grpc.ServiceError): boolean {
  return /^(No connection established|Name resolution failed)/.test(error.details);
}

/** No endpoint could be reached: why, by endpoint. */
export function unreachableError(reasons: ReadonlyMap<string, string>, cause: unknown): StatusError {
  const each = [...Map.groupBy(reasons, ([, reason]) => reason)]
    .map(([reason, some]) => `${some.map(([endpoint]) => endpoint).join(", ")}: ${reason}`)
    .join("; ");
  return new StatusError("ServiceUnavailable", `the external datastore can't be reached: ${each}`, { cause });
}

/** What the library says of a connection, in words that say what to look at. */
export function failureReason(details: string): string {
  const known = knownReasons.find(([text]) => text.test(details));
  if (known === undefined) return details.replace(/\s*Resolution note:\s*$/, "").trim();
  const [text, reason] = known;
  return reason + (text.exec(details)?.[1] ?? "");
}

const knownReasons: readonly [RegExp, string][] = [
  [
    /alert (?:bad certificate|unknown ca|certificate required|certificate expired|certificate unknown|handshake failure)/,
    "it does not take this node's certificate (--datastore-cert, --datastore-key)",
  ],
  [/certificate has expired/, "its certificate has expired"],
  [/certificate is not yet valid/, "its certificate is not valid yet by this machine's clock"],
  [
    /self.signed certificate|unable to (?:verify|get)[\w ]*certificate/,
    "its certificate is not of the authority that was given for it (--datastore-ca)",
  ],
  [/(does not match certificate's altnames: .*?)\.? *(?:Resolution note.*)?$/, "its address "],
  [
    /wrong version number|packet length too long|EPROTO/,
    "it does not speak TLS: http:// instead of https://?",
  ],
  [/ECONNREFUSED/, "connection refused"],
  [/ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|Deadline exceeded|Last error: null/i, "no answer"],
  [/Name resolution failed|ENOTFOUND|EAI_AGAIN/, "the host's name can't be resolved"],
  [
    /Failed to connect|ECONNRESET|Connection dropped/,
    "it closed the connection: https:// instead of http://?",
  ],
];
