/** Errors on their way to etcd's clients: the status codes and texts that they know (etcd's api/v3rpc/rpctypes). */
import * as grpc from "@grpc/grpc-js";
import { StatusError } from "#base/errors.ts";

/** Texts whose code is not that of their kind of error. */
const codesByText: readonly [RegExp, grpc.status][] = [
  [/future revision|too large lease TTL/, grpc.status.OUT_OF_RANGE],
  [/^etcdserver: (lease already exists|not leader|bad leader transferee)/, grpc.status.FAILED_PRECONDITION],
];

export function grpcError(error: unknown): Partial<grpc.StatusObject> {
  if (!(error instanceof StatusError)) return { code: grpc.status.INTERNAL, details: String(error) };
  const details = error.message;
  const code = codesByText.find(([text]) => text.test(details))?.[1];
  if (code !== undefined) return { code, details };
  switch (error.reason) {
    case "Expired":
      return {
        code: grpc.status.OUT_OF_RANGE,
        details: "etcdserver: mvcc: required revision has been compacted",
      };
    case "BadRequest":
    case "RequestEntityTooLarge":
      return { code: grpc.status.INVALID_ARGUMENT, details };
    case "NotFound":
      return { code: grpc.status.NOT_FOUND, details };
    case "Conflict":
      return { code: grpc.status.FAILED_PRECONDITION, details };
    case "TooManyRequests":
      return { code: grpc.status.RESOURCE_EXHAUSTED, details: "etcdserver: too many requests" };
    case "NotImplemented":
      return { code: grpc.status.UNIMPLEMENTED, details };
    default:
      return { code: grpc.status.UNAVAILABLE, details };
  }
}

/** A call with one answer. */
export function unary<Request>(
  handle: (request: Request) => Promise<unknown>,
): grpc.handleUnaryCall<Request, unknown> {
  return (call, answer) => {
    handle(call.request).then(
      (value) => answer(null, value),
      (error: unknown) => answer(grpcError(error)),
    );
  };
}

/** A call that is refused whatever it asks. */
export function unserved(why: string): grpc.handleUnaryCall<object, unknown> {
  return unary(async () => {
    throw new StatusError("NotImplemented", `trivet: ${why}`);
  });
}
