/**
 * Nobody grants what they don't have: writing a role needs every right in it (or `escalate`), binding a
 * role needs every right of the role (or `bind`). Upstream does this in the storage of RBAC objects
 * (k8s.io/kubernetes, pkg/registry/rbac, and its rule coverage in component-helpers).
 */
import type { KubeObject } from "#kinds/object.ts";
import type { HttpUser } from "#base/http.ts";
import { deepEqual } from "#kinds/equality.ts";
import type { Authorizer } from "../auth/authorizer.ts";
import type { PolicyRule, RbacAuthorizer, RoleRef } from "../auth/rbac.ts";
import { forbiddenError, notFoundError } from "../status.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./admission.ts";

const group = "rbac.authorization.k8s.io";

export function rbacEscalation(access: { rbac: RbacAuthorizer; authorizer: Authorizer }): AdmissionPlugin {
  return {
    name: "RBACEscalation",
    validate(request) {
      const { kind } = request.resource;
      if (kind.group !== group || request.object === undefined) return;
      if (request.user.groups.includes("system:masters")) return;
      if (kind.plural === "roles" || kind.plural === "clusterroles")
        checkRole(request, request.object, access);
      else checkBinding(request, request.object, access);
    },
  };
}

type Access = { rbac: RbacAuthorizer; authorizer: Authorizer };

function checkRole(request: AdmissionRequest, object: KubeObject, access: Access): void {
  if (request.old !== undefined && deepEqual(object["rules"], request.old["rules"])) return;
  if (mayAnyway(request, access.authorizer, request.resource.kind.plural, request.name, "escalate")) return;
  const rules = (object["rules"] as PolicyRule[] | null | undefined) ?? [];
  const { aggregationRule } = object as { aggregationRule?: unknown };
  const needed = aggregationRule === undefined ? rules : [...rules, everything, everyPath];
  requireCovered(request, needed, access.rbac);
}

function checkBinding(request: AdmissionRequest, object: KubeObject, access: Access): void {
  const roleRef = object["roleRef"] as RoleRef;
  const isUnchanged =
    request.old !== undefined &&
    deepEqual(roleRef, request.old["roleRef"]) &&
    deepEqual(object["subjects"], request.old["subjects"]);
  if (isUnchanged) return;
  const plural = roleRef.kind === "ClusterRole" ? "clusterroles" : "roles";
  if (mayAnyway(request, access.authorizer, plural, roleRef.name, "bind")) return;
  const rules = access.rbac.rulesOfRole(roleRef, request.namespace);
  if (rules === undefined) throw notFoundError({ group, resource: plural.slice(0, -1) }, roleRef.name);
  requireCovered(request, rules, access.rbac);
}

function mayAnyway(
  request: AdmissionRequest,
  authorizer: Authorizer,
  resource: string,
  name: string,
  verb: string,
): boolean {
  return authorizer.authorize({
    user: request.user,
    verb,
    isResource: true,
    group,
    version: "v1",
    resource,
    subresource: "",
    namespace: request.namespace,
    name,
    path: "",
  }).allowed;
}

const everything: PolicyRule = { verbs: ["*"], apiGroups: ["*"], resources: ["*"] };
const everyPath: PolicyRule = { verbs: ["*"], nonResourceURLs: ["*"] };

function requireCovered(
  request: AdmissionRequest,
  needed: readonly PolicyRule[],
  rbac: RbacAuthorizer,
): void {
  const { rules: held, errors } = rbac.rulesOf(request.user, request.namespace);
  const missing = needed.flatMap(singleRights).filter((right) => !held.some((rule) => covers(rule, right)));
  if (missing.length === 0) return;
  const texts = [...new Set(compact(missing).map(goRule))].sort();
  const resolution = errors.length === 0 ? "" : `; resolution errors: [${errors.join(", ")}]`;
  throw forbiddenError(
    request.resource.groupResource,
    request.name,
    `user ${JSON.stringify(request.user.name)} (groups=${goGroups(request.user)}) is attempting to grant RBAC permissions not currently held:\n${texts.join("\n")}${resolution}`,
  );
}

/** Rights of one verb on one thing. */
function singleRights(rule: PolicyRule): PolicyRule[] {
  const rights: PolicyRule[] = [];
  for (const verb of rule.verbs) {
    for (const url of rule.nonResourceURLs ?? []) rights.push({ verbs: [verb], nonResourceURLs: [url] });
    for (const apiGroup of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const right = { verbs: [verb], apiGroups: [apiGroup], resources: [resource] };
        const names = rule.resourceNames ?? [];
        if (names.length === 0) rights.push(right);
        for (const name of names) rights.push({ ...right, resourceNames: [name] });
      }
    }
  }
  return rights;
}

function covers(rule: PolicyRule, right: PolicyRule): boolean {
  const has = (list: readonly string[] | undefined, wanted: readonly string[] | undefined): boolean =>
    (wanted ?? []).every((each) => list?.includes("*") === true || list?.includes(each) === true);
  if (!has(rule.verbs, right.verbs)) return false;
  const urls = right.nonResourceURLs;
  if (urls !== undefined) {
    return urls.every((url) =>
      (rule.nonResourceURLs ?? []).some(
        (each) => each === "*" || each === url || (each.endsWith("*") && url.startsWith(each.slice(0, -1))),
      ),
    );
  }
  if (!has(rule.apiGroups, right.apiGroups)) return false;
  const resources = rule.resources ?? [];
  const isResourceCovered = (right.resources ?? []).every((each) => {
    const subresource = each.includes("/") ? `*/${each.slice(each.indexOf("/") + 1)}` : undefined;
    return (
      resources.includes("*") ||
      resources.includes(each) ||
      (subresource !== undefined && resources.includes(subresource))
    );
  });
  if (!isResourceCovered) return false;
  const names = rule.resourceNames ?? [];
  if (names.length === 0) return true;
  return (
    (right.resourceNames ?? []).length > 0 &&
    (right.resourceNames ?? []).every((each) => names.includes(each))
  );
}

/** Rights on the same thing as one rule with several verbs. */
function compact(rights: readonly PolicyRule[]): PolicyRule[] {
  const byThing = new Map<string, PolicyRule>();
  for (const { verbs, ...thing } of rights) {
    const key = JSON.stringify(thing);
    const known = byThing.get(key);
    if (known === undefined) byThing.set(key, { ...thing, verbs: [...verbs] });
    else known.verbs.push(...verbs);
  }
  return [...byThing.values()];
}

function goList(list: readonly string[]): string {
  return `[${list.map((each) => JSON.stringify(each)).join(" ")}]`;
}

function goRule(rule: PolicyRule): string {
  const parts: string[] = [];
  if (rule.nonResourceURLs !== undefined) parts.push(`NonResourceURLs:${goList(rule.nonResourceURLs)}`);
  if (rule.apiGroups !== undefined) parts.push(`APIGroups:${goList(rule.apiGroups)}`);
  if (rule.resources !== undefined) parts.push(`Resources:${goList(rule.resources)}`);
  if (rule.resourceNames !== undefined) parts.push(`ResourceNames:${goList(rule.resourceNames)}`);
  return `{${[...parts, `Verbs:${goList(rule.verbs)}`].join(", ")}}`;
}

function goGroups(user: HttpUser): string {
  return goList(user.groups);
}
