/**
 * The node authorizer: what a node's agent may read and write, from the pods that are bound to it
 * (k8s.io/kubernetes, plugin/pkg/auth/authorizer/node). Relations are kept in an index of the pods' cache.
 */
import type { HttpUser } from "#base/http.ts";
import { CacheIndex } from "../cache/cache-index.ts";
import type { Entry } from "../cache/entry.ts";
import type { ResourceRegistry } from "../registry.ts";
import { storedOf } from "../rest/stored.ts";
import { noOpinion } from "./authorizer.ts";
import type { Attributes, Authorizer, Decision } from "./authorizer.ts";
import { expandRule } from "../bootstrap/rbac.ts";
import { defaultClusterRoles } from "../bootstrap/default-roles.ts";
import { ruleAllows } from "./rbac.ts";

const prefix = "system:node:";

/** The node whose credentials these are. */
export function nodeNameOf(user: HttpUser): string | undefined {
  if (!user.name.startsWith(prefix) || !user.groups.includes("system:nodes")) return undefined;
  return user.name.slice(prefix.length);
}

interface PodSpec {
  nodeName?: string;
  serviceAccountName?: string;
  imagePullSecrets?: { name: string }[];
  volumes?: Volume[];
  containers?: Container[];
  initContainers?: Container[];
  ephemeralContainers?: Container[];
}

interface Volume {
  secret?: { secretName?: string };
  configMap?: { name?: string };
  persistentVolumeClaim?: { claimName: string };
  projected?: { sources?: { secret?: { name?: string }; configMap?: { name?: string } }[] };
}

interface Container {
  env?: { valueFrom?: { secretKeyRef?: { name?: string }; configMapKeyRef?: { name?: string } } }[];
  envFrom?: { secretRef?: { name?: string }; configMapRef?: { name?: string } }[];
}

const allow: Decision = { allowed: true, reason: "" };
/** The role that upstream gives every node; the relations below narrow what it says. */
const nodeRules = (defaultClusterRoles.find((each) => each.name === "system:node")?.rules ?? []).map(
  expandRule,
);
/**
 * What a node's network and DNS need beside: on a worker they speak with the node's credentials. Writing
 * is for the node's own part of the cluster's DNS Service; NodeRestriction sees to the name.
 */
const networkRules = [
  "get,list,watch | discovery.k8s.io | endpointslices",
  "get,list,watch | networking.k8s.io | networkpolicies",
  "get,list,watch | core | namespaces",
].map(expandRule);
const dnsRules = ["create,patch | discovery.k8s.io | endpointslices"].map(expandRule);
const reads: ReadonlySet<string> = new Set(["get", "list", "watch"]);

export class NodeAuthorizer implements Authorizer {
  readonly #references: CacheIndex;

  constructor(registry: ResourceRegistry) {
    this.#references = new CacheIndex(() => storedOf(registry.builtIn("", "pods")).cache, referencesOf);
  }

  authorize(attributes: Attributes): Decision {
    const nodeName = nodeNameOf(attributes.user);
    if (nodeName === undefined) return noOpinion;
    const { group, resource, subresource, verb } = attributes;
    if (attributes.isResource && group === "") {
      if (["secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes"].includes(resource)) {
        if (resource === "persistentvolumeclaims" && subresource === "status")
          return this.#byRules(attributes);
        return this.#related(attributes, nodeName, resource);
      }
      if (resource === "serviceaccounts" && subresource === "token" && verb === "create") {
        return this.#isReferred(nodeName, resource, attributes.namespace, attributes.name)
          ? allow
          : this.#unrelated(nodeName);
      }
      if (
        resource === "nodes" &&
        attributes.name !== "" &&
        attributes.name !== nodeName &&
        !reads.has(verb)
      ) {
        return { allowed: false, reason: `node '${nodeName}' cannot ${verb} resource nodes of another node` };
      }
    }
    return this.#byRules(attributes);
  }

  #byRules(attributes: Attributes): Decision {
    const rules = [
      ...nodeRules,
      ...networkRules,
      ...(attributes.namespace === "kube-system" ? dnsRules : []),
    ];
    return rules.some((rule) => ruleAllows(rule, attributes)) ? allow : noOpinion;
  }

  #unrelated(nodeName: string): Decision {
    return { allowed: false, reason: `no relationship found between node '${nodeName}' and this object` };
  }

  #related(attributes: Attributes, nodeName: string, resource: string): Decision {
    const { verb, name, namespace } = attributes;
    if (!reads.has(verb)) {
      return { allowed: false, reason: "can only read resources of this type" };
    }
    if (name === "")
      return {
        allowed: false,
        reason: `can only ${verb} individual resources of this type`.replace(
          "can only list",
          "No Object name found",
        ),
      };
    if (resource === "persistentvolumes") return this.#byRules(attributes);
    return this.#isReferred(nodeName, resource, namespace, name) ? allow : this.#unrelated(nodeName);
  }

  /** Whether a pod that is bound to the node refers to the object. */
  #isReferred(node: string, resource: string, namespace: string, name: string): boolean {
    return this.#references.has(referenceKey(node, resource, namespace, name));
  }
}

const relatedResources = ["secrets", "configmaps", "persistentvolumeclaims"] as const;

function referenceKey(node: string, resource: string, namespace: string, name: string): string {
  return `${node} ${resource} ${namespace}/${name}`;
}

function referencesOf(entry: Entry): string[] {
  const spec = entry.decode()["spec"] as PodSpec | undefined;
  const node = spec?.nodeName ?? "";
  if (spec === undefined || node === "") return [];
  const account = spec.serviceAccountName ?? "";
  return [
    ...(account === "" ? [] : [referenceKey(node, "serviceaccounts", entry.namespace, account)]),
    ...relatedResources.flatMap((resource) =>
      [...references(spec, resource)].map((name) => referenceKey(node, resource, entry.namespace, name)),
    ),
  ];
}

/** Names of the objects of one resource that a pod refers to. */
function references(spec: PodSpec, resource: string): Set<string> {
  const names = new Set<string>();
  const add = (name: string | undefined): void => {
    if (name !== undefined && name !== "") names.add(name);
  };
  const containers = [
    ...(spec.containers ?? []),
    ...(spec.initContainers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ];
  for (const volume of spec.volumes ?? []) {
    if (resource === "persistentvolumeclaims") add(volume.persistentVolumeClaim?.claimName);
    if (resource === "secrets") add(volume.secret?.secretName);
    if (resource === "configmaps") add(volume.configMap?.name);
    for (const source of volume.projected?.sources ?? []) {
      add(
        resource === "secrets"
          ? source.secret?.name
          : resource === "configmaps"
            ? source.configMap?.name
            : undefined,
      );
    }
  }
  for (const container of containers) {
    for (const { valueFrom } of container.env ?? []) {
      if (resource === "secrets") add(valueFrom?.secretKeyRef?.name);
      if (resource === "configmaps") add(valueFrom?.configMapKeyRef?.name);
    }
    for (const each of container.envFrom ?? []) {
      if (resource === "secrets") add(each.secretRef?.name);
      if (resource === "configmaps") add(each.configMapRef?.name);
    }
  }
  if (resource === "secrets") for (const each of spec.imagePullSecrets ?? []) add(each.name);
  return names;
}
