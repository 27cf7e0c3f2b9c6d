/**
 * RBAC, evaluated from the watch caches: bindings and roles are decoded once per version of the object
 * (k8s.io/kubernetes, plugin/pkg/auth/authorizer/rbac and pkg/registry/rbac/validation).
 */
import type { HttpUser } from "#base/http.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Entry } from "../cache/entry.ts";
import type { ResourceCache } from "../cache/resource-cache.ts";
import type { ResourceRegistry } from "../registry.ts";
import { noOpinion } from "./authorizer.ts";
import type { Attributes, Authorizer, Decision } from "./authorizer.ts";

export interface PolicyRule {
  verbs: string[];
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
  nonResourceURLs?: string[];
}

export interface Subject {
  kind: string;
  apiGroup?: string;
  name: string;
  namespace?: string;
}

export interface RoleRef {
  apiGroup: string;
  kind: string;
  name: string;
}

interface BindingObject extends KubeObject {
  subjects?: Subject[];
  roleRef: RoleRef;
}

interface RoleObject extends KubeObject {
  rules?: PolicyRule[] | null;
}

const serviceAccountPrefix = "system:serviceaccount:";

export class RbacAuthorizer implements Authorizer {
  readonly #registry: ResourceRegistry;
  readonly #decoded = new WeakMap<Entry, KubeObject>();

  constructor(registry: ResourceRegistry) {
    this.#registry = registry;
  }

  authorize(attributes: Attributes): Decision {
    const missing: string[] = [];
    for (const { rules, error, source } of this.#rulesFor(attributes.user, attributes.namespace)) {
      if (error !== undefined) missing.push(error);
      for (const rule of rules) {
        if (ruleAllows(rule, attributes)) return { allowed: true, reason: `RBAC: allowed by ${source()}` };
      }
    }
    if (missing.length === 0) return noOpinion;
    const list = [...new Set(missing)].join(", ");
    return { allowed: false, reason: `RBAC: ${missing.length === 1 ? list : `[${list}]`}` };
  }

  /** All rules that hold for a user in a namespace ("" for cluster scope only), with what could not be resolved. */
  rulesOf(user: HttpUser, namespace: string): { rules: PolicyRule[]; errors: string[] } {
    const rules: PolicyRule[] = [];
    const errors: string[] = [];
    for (const each of this.#rulesFor(user, namespace)) {
      rules.push(...each.rules);
      if (each.error !== undefined) errors.push(each.error);
    }
    return { rules, errors };
  }

  /** The rules of a role. Undefined when there is no such role. */
  rulesOfRole(roleRef: RoleRef, namespace: string): PolicyRule[] | undefined {
    const isCluster = roleRef.kind === "ClusterRole";
    const cache = this.#cache(isCluster ? "clusterroles" : "roles");
    const entry = cache.get(cache.keyPrefix + (isCluster ? roleRef.name : `${namespace}/${roleRef.name}`));
    if (entry === undefined) return undefined;
    return (this.#decode(entry) as RoleObject).rules ?? [];
  }

  *#rulesFor(user: HttpUser, namespace: string): Generator<GrantedRules> {
    yield* this.#granted("clusterrolebindings", user, "");
    if (namespace !== "") yield* this.#granted("rolebindings", user, namespace);
  }

  *#granted(plural: string, user: HttpUser, namespace: string): Generator<GrantedRules> {
    for (const entry of this.#cache(plural).list(namespace)) {
      const binding = this.#decode(entry) as BindingObject;
      const subject = (binding.subjects ?? []).find((each) => subjectMatches(each, user, namespace));
      if (subject === undefined) continue;
      const { roleRef } = binding;
      const rules = this.rulesOfRole(roleRef, namespace);
      const source = (): string => describeGrant(entry, roleRef, subject);
      const name = JSON.stringify(roleRef.name);
      if (rules !== undefined) yield { rules, source, error: undefined };
      else
        yield {
          rules: [],
          source,
          error: `${roleRef.kind.toLowerCase()}.rbac.authorization.k8s.io ${name} not found`,
        };
    }
  }

  #cache(plural: string): ResourceCache {
    const stored = this.#registry.builtIn("rbac.authorization.k8s.io", plural).stored;
    if (stored === undefined) throw new Error(`${plural} are not stored`);
    return stored.cache;
  }

  #decode(entry: Entry): KubeObject {
    const known = this.#decoded.get(entry);
    if (known !== undefined) return known;
    const object = entry.decode();
    this.#decoded.set(entry, object);
    return object;
  }
}

/** Rules with where they come from; `error` when the role is missing. */
interface GrantedRules {
  rules: PolicyRule[];
  source: () => string;
  error: string | undefined;
}

function describeGrant(binding: Entry, roleRef: RoleRef, subject: Subject): string {
  const isCluster = binding.namespace === "";
  const bindingName = JSON.stringify(isCluster ? binding.name : `${binding.name}/${binding.namespace}`);
  const subjectName = subject.namespace === undefined ? subject.name : `${subject.name}/${subject.namespace}`;
  return `${isCluster ? "ClusterRoleBinding" : "RoleBinding"} ${bindingName} of ${roleRef.kind} ${JSON.stringify(roleRef.name)} to ${subject.kind} ${JSON.stringify(subjectName)}`;
}

function subjectMatches(subject: Subject, user: HttpUser, namespace: string): boolean {
  switch (subject.kind) {
    case "User":
      return subject.name === user.name;
    case "Group":
      return user.groups.includes(subject.name);
    case "ServiceAccount": {
      const accountNamespace = subject.namespace ?? namespace;
      return (
        accountNamespace !== "" && user.name === `${serviceAccountPrefix}${accountNamespace}:${subject.name}`
      );
    }
    default:
      return false;
  }
}

export function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!includesOrAll(rule.verbs, attributes.verb)) return false;
  if (!attributes.isResource) return nonResourceMatches(rule.nonResourceURLs ?? [], attributes.path);
  if (!includesOrAll(rule.apiGroups ?? [], attributes.group)) return false;
  if (!resourceMatches(rule.resources ?? [], attributes.resource, attributes.subresource)) return false;
  const names = rule.resourceNames ?? [];
  return names.length === 0 || names.includes(attributes.name);
}

function includesOrAll(list: readonly string[], value: string): boolean {
  return list.includes("*") || list.includes(value);
}

function resourceMatches(list: readonly string[], resource: string, subresource: string): boolean {
  const combined = subresource === "" ? resource : `${resource}/${subresource}`;
  return list.some(
    (each) => each === "*" || each === combined || (subresource !== "" && each === `*/${subresource}`),
  );
}

function nonResourceMatches(urls: readonly string[], path: string): boolean {
  return urls.some(
    (each) => each === "*" || each === path || (each.endsWith("*") && path.startsWith(each.slice(0, -1))),
  );
}
