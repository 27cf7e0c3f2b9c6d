/**
 * Authorization: what is asked, what is answered, and the order in which authorizers are asked
 * (members of system:masters, then the node authorizer, then RBAC).
 */
import { StatusError } from "#base/errors.ts";
import type { HttpUser } from "#base/http.ts";
import type { RequestInfo } from "../request-info.ts";
import { forbiddenError } from "../status.ts";

export interface Attributes {
  user: HttpUser;
  verb: string;
  isResource: boolean;
  group: string;
  version: string;
  resource: string;
  subresource: string;
  namespace: string;
  name: string;
  path: string;
}

export interface Decision {
  allowed: boolean;
  /** Why; shown in refusals and access reviews. */
  reason: string;
  /** Refused by somebody whose word is final. */
  denied?: boolean;
}

export interface Authorizer {
  authorize(attributes: Attributes): Decision;
}

export const noOpinion: Decision = { allowed: false, reason: "" };

/** Asks each in turn: the first that allows or denies decides. */
export function unionAuthorizer(authorizers: readonly Authorizer[]): Authorizer {
  return {
    authorize(attributes) {
      const reasons: string[] = [];
      for (const authorizer of authorizers) {
        const decision = authorizer.authorize(attributes);
        if (decision.allowed || decision.denied === true) return decision;
        if (decision.reason !== "") reasons.push(decision.reason);
      }
      return { allowed: false, reason: reasons.join("\n") };
    },
  };
}

export const mastersAuthorizer: Authorizer = {
  authorize(attributes) {
    return attributes.user.groups.includes("system:masters") ? { allowed: true, reason: "" } : noOpinion;
  },
};

export function attributesOf(user: HttpUser, info: RequestInfo): Attributes {
  return {
    user,
    verb: info.verb,
    isResource: info.isResource,
    group: info.group,
    version: info.version,
    resource: info.resource,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
    path: info.path,
  };
}

/** The refusal in upstream's words. */
export function forbidden(attributes: Attributes, reason: string): StatusError {
  const why = `${describeRefusal(attributes)}${reason === "" ? "" : `: ${reason}`}`;
  if (!attributes.isResource) {
    return new StatusError("Forbidden", `forbidden: ${why}`, { details: {} });
  }
  return forbiddenError({ group: attributes.group, resource: attributes.resource }, attributes.name, why);
}

function describeRefusal(attributes: Attributes): string {
  const user = `User ${JSON.stringify(attributes.user.name)}`;
  if (!attributes.isResource)
    return `${user} cannot ${attributes.verb} path ${JSON.stringify(attributes.path)}`;
  const resource =
    attributes.subresource === "" ? attributes.resource : `${attributes.resource}/${attributes.subresource}`;
  const where =
    attributes.namespace === ""
      ? "at the cluster scope"
      : `in the namespace ${JSON.stringify(attributes.namespace)}`;
  return `${user} cannot ${attributes.verb} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(attributes.group)} ${where}`;
}
