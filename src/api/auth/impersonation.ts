/**
 * Impersonation: a user that may do so acts as another one, by Impersonate-* headers
 * (k8s.io/apiserver, endpoints/filters/impersonation.go).
 */
import type { HttpRequest, HttpUser } from "#base/http.ts";
import { forbidden } from "./authorizer.ts";
import type { Attributes, Authorizer } from "./authorizer.ts";

/** The request can't be read as an impersonation: answered as plain text. */
export class ImpersonationError extends Error {
  override name = "ImpersonationError";
}

interface Wanted {
  kind: string;
  group: string;
  version: string;
  resource: string;
  namespace: string;
  name: string;
  subresource: string;
}

/** The user to act as. Throws Forbidden when the real one may not. */
export function impersonate(request: HttpRequest, user: HttpUser, authorizer: Authorizer): HttpUser {
  const name = request.headers["impersonate-user"] ?? "";
  const groups = splitHeader(request.headers["impersonate-group"]);
  const uid = request.headers["impersonate-uid"] ?? "";
  const extra = extraHeaders(request);
  if (name === "" && groups.length === 0 && uid === "" && extra.length === 0) return user;
  const wanted = wantedOf(name, groups, uid, extra);
  if (name === "") {
    const list = wanted.map(describe).join(" ");
    throw new ImpersonationError(`requested [${list}] without impersonating a user`);
  }
  for (const each of wanted) {
    const attributes: Attributes = {
      user,
      verb: "impersonate",
      isResource: true,
      group: each.group,
      version: each.version,
      resource: each.resource,
      subresource: each.subresource,
      namespace: each.namespace,
      name: each.name,
      path: "",
    };
    const decision = authorizer.authorize(attributes);
    if (!decision.allowed) throw forbidden(attributes, decision.reason);
  }
  return impersonatedUser(name, groups, uid, extra);
}

function wantedOf(
  name: string,
  groups: readonly string[],
  uid: string,
  extra: readonly [string, string][],
): Wanted[] {
  const wanted: Wanted[] = [];
  const base = { group: "", version: "", namespace: "", subresource: "" };
  if (name !== "") {
    const account = serviceAccount(name);
    wanted.push(
      account === undefined
        ? { ...base, kind: "User", resource: "users", name }
        : { ...base, kind: "ServiceAccount", resource: "serviceaccounts", ...account },
    );
  }
  for (const group of groups) wanted.push({ ...base, kind: "Group", resource: "groups", name: group });
  const authentication = { ...base, group: "authentication.k8s.io", version: "v1" };
  for (const [key, value] of extra) {
    wanted.push({
      ...authentication,
      kind: "UserExtra",
      resource: "userextras",
      subresource: key,
      name: value,
    });
  }
  if (uid !== "") wanted.push({ ...authentication, kind: "UID", resource: "uids", name: uid });
  return wanted;
}

/** As Go prints an ObjectReference: {Kind Namespace Name UID APIVersion ResourceVersion FieldPath}. */
function describe(wanted: Wanted): string {
  const apiVersion = wanted.group === "" ? wanted.version : `${wanted.group}/${wanted.version}`;
  return `{${wanted.kind} ${wanted.namespace} ${wanted.name}  ${apiVersion}  ${wanted.subresource}}`;
}

function impersonatedUser(
  name: string,
  groups: readonly string[],
  uid: string,
  extra: readonly [string, string][],
): HttpUser {
  const all = [...groups];
  const account = serviceAccount(name);
  if (account !== undefined && groups.length === 0) {
    all.push("system:serviceaccounts", `system:serviceaccounts:${account.namespace}`);
  }
  if (name === "system:anonymous") {
    if (!all.includes("system:unauthenticated")) all.push("system:unauthenticated");
  } else if (!all.includes("system:authenticated") && !all.includes("system:unauthenticated")) {
    all.push("system:authenticated");
  }
  const grouped = Map.groupBy(extra, ([key]) => key);
  const extras = Object.fromEntries([...grouped].map(([key, all]) => [key, all.map(([, value]) => value)]));
  return {
    name,
    groups: all,
    ...(uid === "" ? {} : { uid }),
    ...(extra.length === 0 ? {} : { extra: extras }),
  };
}

function serviceAccount(name: string): { namespace: string; name: string } | undefined {
  const match = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  return match === null ? undefined : { namespace: match[1] ?? "", name: match[2] ?? "" };
}

/** Repeated headers arrive joined. */
function splitHeader(value: string | undefined): string[] {
  if (value === undefined) return [];
  return value
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
}

const extraPrefix = "impersonate-extra-";

function extraHeaders(request: HttpRequest): [string, string][] {
  const extra: [string, string][] = [];
  for (const [header, value] of Object.entries(request.headers)) {
    if (!header.startsWith(extraPrefix)) continue;
    const key = safeDecode(header.slice(extraPrefix.length));
    for (const each of splitHeader(value)) extra.push([key, each]);
  }
  return extra;
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
