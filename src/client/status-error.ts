/** Errors from what a server answered. */
import { StatusError, statusReasons } from "#base/errors.ts";
import type { StatusDetails, StatusReason } from "#base/errors.ts";

/** The error that a server's Status (or whatever it answered instead) stands for. */
export function statusError(httpCode: number, answer: unknown): StatusError {
  const status = (answer ?? {}) as {
    message?: string;
    reason?: string;
    code?: number;
    details?: StatusDetails;
  };
  const code = status.code ?? httpCode;
  const reason =
    status.reason !== undefined && status.reason in statusReasons
      ? (status.reason as StatusReason)
      : reasonOfCode(code);
  return new StatusError(reason, status.message ?? `HTTP status ${httpCode}`, {
    code,
    ...(status.details === undefined ? {} : { details: status.details }),
  });
}

function reasonOfCode(code: number): StatusReason {
  const found = Object.entries(statusReasons).find(([, each]) => each === code);
  return found === undefined ? "" : (found[0] as StatusReason);
}
