/**
 * The Status errors that the API answers, in upstream's wording (k8s.io/apimachinery, api/errors).
 * Only texts: when each applies is decided by the callers.
 */
import { StatusError } from "#base/errors.ts";
import type { StatusDetails } from "#base/errors.ts";

/** A resource without its version: what error texts name. */
export interface GroupResource {
  group: string;
  resource: string;
}

/** "deployments.apps", or "pods" for the core group. */
export function qualified(resource: GroupResource): string {
  return resource.group === "" ? resource.resource : `${resource.resource}.${resource.group}`;
}

export function notFoundError(resource: GroupResource, name: string): StatusError {
  return new StatusError("NotFound", `${qualified(resource)} "${name}" not found`, {
    details: detailsOf(resource, name),
  });
}

/** The path leads nowhere (no such resource, not: no such object). */
export function noSuchResource(): StatusError {
  return new StatusError("NotFound", "the server could not find the requested resource", { details: {} });
}

export function methodNotAllowedOnPath(): StatusError {
  return new StatusError(
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    {
      details: {},
    },
  );
}

export function methodNotSupported(resource: GroupResource, verb: string): StatusError {
  return new StatusError(
    "MethodNotAllowed",
    `${verb} is not supported on resources of kind "${qualified(resource)}"`,
    { details: detailsOf(resource, undefined) },
  );
}

/** A create of a custom resource whose definition is being deleted. */
export function definitionTerminating(resource: GroupResource): StatusError {
  return new StatusError(
    "MethodNotAllowed",
    "create not allowed while custom resource definition is terminating",
    { details: detailsOf(resource, undefined) },
  );
}

export function alreadyExistsError(resource: GroupResource, name: string): StatusError {
  return new StatusError("AlreadyExists", `${qualified(resource)} "${name}" already exists`, {
    details: detailsOf(resource, name),
  });
}

/** What a create with generateName answers when every generated name was taken. */
export function generatedNameConflict(resource: GroupResource, name: string): StatusError {
  return new StatusError(
    "AlreadyExists",
    `${qualified(resource)} "${name}" already exists, the server was not able to generate a unique name for the object`,
    { details: { ...detailsOf(resource, name), retryAfterSeconds: 1 } },
  );
}

export function conflictError(resource: GroupResource, name: string, why: string): StatusError {
  return new StatusError(
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`,
    {
      details: detailsOf(resource, name),
    },
  );
}

/** Optimistic concurrency failed: the object has another resourceVersion. */
export const modifiedMessage =
  "the object has been modified; please apply your changes to the latest version and try again";

export function forbiddenError(resource: GroupResource, name: string, why: string): StatusError {
  const subject = name === "" ? qualified(resource) : `${qualified(resource)} "${name}"`;
  return new StatusError("Forbidden", `${subject} is forbidden: ${why}`, {
    details: detailsOf(resource, name === "" ? undefined : name),
  });
}

export function badRequest(message: string): StatusError {
  return new StatusError("BadRequest", message);
}

export function unauthorizedError(): StatusError {
  return new StatusError("Unauthorized", "Unauthorized");
}

/** An error without reason, as upstream answers for failures that it does not classify. */
export function unclassifiedError(message: string): StatusError {
  return new StatusError("", message);
}

export function internalError(cause: unknown): StatusError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new StatusError("InternalError", `Internal error occurred: ${message}`, {
    details: { causes: [{ message }] },
    cause,
  });
}

export function notImplementedError(what: string): StatusError {
  return new StatusError("NotImplemented", `${what} is not implemented`);
}

export function expiredError(message: string): StatusError {
  return new StatusError("Expired", message);
}

/** A page can't be continued as of its list's revision; `continueToken` goes on with what is there now. */
export function expiredPageError(continueToken: string): StatusError {
  return new ExpiredPageError(continueToken);
}

class ExpiredPageError extends StatusError {
  readonly #continue: string;

  constructor(continueToken: string) {
    super(
      "Expired",
      "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    this.#continue = continueToken;
  }

  override toStatus(): Record<string, unknown> {
    return { ...super.toStatus(), metadata: { continue: this.#continue } };
  }
}

export function tooLargeResourceVersion(wanted: number, current: number): StatusError {
  return new StatusError("Timeout", `Timeout: Too large resource version: ${wanted}, current: ${current}`, {
    details: {
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
      retryAfterSeconds: 1,
    },
  });
}

export function tooManyRequests(message: string, retryAfterSeconds: number): StatusError {
  return new StatusError("TooManyRequests", message, { details: { retryAfterSeconds } });
}

function detailsOf(resource: GroupResource, name: string | undefined): StatusDetails {
  return {
    ...(name === undefined ? {} : { name }),
    ...(resource.group === "" ? {} : { group: resource.group }),
    kind: resource.resource,
  };
}

/** The v1 Status of a success, with what it concerns. */
export function successStatus(details: StatusDetails): Record<string, unknown> {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
}
