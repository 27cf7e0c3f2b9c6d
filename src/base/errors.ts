/**
 * The two kinds of error that are not bugs: an answer to a client (StatusError, Kubernetes's Status
 * with its reasons) and an environment in which the process can't go on (FatalError, which carries
 * the exit code of the process). This file knows nothing about HTTP or processes.
 */

/** Reasons of a Status, with their HTTP codes (Kubernetes API conventions, "Response Status Kind"). */
export const statusReasons = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  NotImplemented: 501,
  ServiceUnavailable: 503,
  Timeout: 504,
  ServerTimeout: 500,
  "": 500,
} as const;

export type StatusReason = keyof typeof statusReasons;

export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

/** An expected failure, answered to a client as a Kubernetes Status object. */
export class StatusError extends Error {
  override name = "StatusError";
  readonly reason: StatusReason;
  /** HTTP status code. */
  readonly code: number;
  readonly details: StatusDetails | undefined;

  constructor(
    reason: StatusReason,
    message: string,
    options: { code?: number; details?: StatusDetails; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.code = options.code ?? statusReasons[reason];
    this.details = options.details;
  }

  /** The v1 Status object, with keys in upstream's order. */
  toStatus(): Record<string, unknown> {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      ...(this.reason === "" ? {} : { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

/** Exit codes of FatalError. 1 is left to ordinary failures of a command. */
export const exitCodes = {
  corrupt: 70,
  diskFull: 71,
  portTaken: 72,
  badDataDir: 73,
  unsupported: 74,
} as const;

/** The environment does not allow to go on. The message is one line that says what to do. */
export class FatalError extends Error {
  override name = "FatalError";
  readonly kind: keyof typeof exitCodes;

  constructor(kind: keyof typeof exitCodes, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.kind = kind;
  }

  get exitCode(): number {
    return exitCodes[this.kind];
  }
}
