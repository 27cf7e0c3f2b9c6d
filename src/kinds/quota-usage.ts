/**
 * What an object uses of a ResourceQuota, by the names that quotas limit, and which objects a quota
 * counts. An object that is only counted uses one of "count/<resource>.<group>" (and, for a few kinds,
 * of its plain name); pods, services and claims use more.
 */
import type {
  PersistentVolumeClaim,
  Pod,
  PodSpec,
  ResourceQuota,
  Service,
} from "kubernetes-types/core/v1.d.ts";
import type { KubeObject } from "./object.ts";
import { podLimits, podRequests, qosClassOf } from "./pod-requests.ts";
import type { Quantities } from "./pod-requests.ts";
import { parseQuantity } from "./quantity.ts";

export interface QuotaEvaluator {
  /** Whether an update can change what the object uses. */
  countsUpdates: boolean;
  /** Whether a quota's resource name concerns these objects. */
  matches(name: string): boolean;
  usage(object: KubeObject): Quantities;
  /** Whether the object is in one scope of a quota. Undefined: these objects have no scopes. */
  inScope?(object: KubeObject, scope: ScopeRequirement): boolean;
  /** Text of what the object must state to be counted under these names; undefined when all is there. */
  missing?(names: readonly string[], object: KubeObject): string | undefined;
}

export interface ScopeRequirement {
  scopeName: string;
  operator: string;
  values: readonly string[];
}

/** The requirements that an object must all meet to be counted by the quota. */
export function quotaScopes(quota: ResourceQuota): ScopeRequirement[] {
  return [
    ...(quota.spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: "Exists", values: [] })),
    ...(quota.spec?.scopeSelector?.matchExpressions ?? []).map((each) => ({
      scopeName: each.scopeName,
      operator: each.operator,
      values: each.values ?? [],
    })),
  ];
}

export function quotaEvaluatorOf(group: string, plural: string): QuotaEvaluator {
  if (group === "" && plural === "pods") return podEvaluator;
  if (group === "" && plural === "services") return serviceEvaluator;
  if (group === "" && plural === "persistentvolumeclaims") return claimEvaluator;
  return countEvaluator(group, plural);
}

/** Kinds that may also be limited by their plain name, as before "count/". */
const countedByName: ReadonlySet<string> = new Set([
  "configmaps",
  "secrets",
  "replicationcontrollers",
  "resourcequotas",
]);

const one = parseQuantity("1");

function countEvaluator(group: string, plural: string): QuotaEvaluator {
  const names = [`count/${group === "" ? plural : `${plural}.${group}`}`];
  if (group === "" && countedByName.has(plural)) names.push(plural);
  return {
    countsUpdates: false,
    matches: (name) => names.includes(name),
    usage: () => new Map(names.map((name) => [name, one])),
  };
}

const podNames: ReadonlySet<string> = new Set([
  "pods",
  "count/pods",
  ...["cpu", "memory", "ephemeral-storage"].flatMap((each) => [each, `requests.${each}`, `limits.${each}`]),
]);
/** Whoever limits these makes every container state them. */
const statedNames: ReadonlySet<string> = new Set(
  ["cpu", "memory"].flatMap((each) => [each, `requests.${each}`, `limits.${each}`]),
);
const nativeRequests: ReadonlySet<string> = new Set(["cpu", "memory", "ephemeral-storage"]);

const podEvaluator: QuotaEvaluator = {
  countsUpdates: false,
  matches: (name) =>
    podNames.has(name) ||
    name.startsWith("hugepages-") ||
    name.startsWith("requests.hugepages-") ||
    (name.startsWith("requests.") && isExtended(name.slice("requests.".length))),
  usage(object) {
    const { spec, status } = object as Pod;
    const used: Quantities = new Map([["count/pods", one]]);
    if (spec === undefined || status?.phase === "Failed" || status?.phase === "Succeeded") return used;
    used.set("pods", one);
    addComputeUsage(used, podRequests(spec), podLimits(spec));
    return used;
  },
  inScope: podInScope,
  missing: missingInContainers,
};

function addComputeUsage(used: Quantities, requests: Quantities, limits: Quantities): void {
  for (const [name, quantity] of requests) {
    if (nativeRequests.has(name) || name.startsWith("hugepages-")) {
      used.set(name, quantity);
      used.set(`requests.${name}`, quantity);
    } else if (isExtended(name)) used.set(`requests.${name}`, quantity);
  }
  for (const [name, quantity] of limits) if (nativeRequests.has(name)) used.set(`limits.${name}`, quantity);
}

/** A resource that a device plug-in offers: with a domain that is not Kubernetes's own. */
function isExtended(name: string): boolean {
  return name.includes("/") && !name.includes("kubernetes.io/") && !name.startsWith("requests.");
}

function missingInContainers(names: readonly string[], object: KubeObject): string | undefined {
  const { spec } = object as Pod;
  const stated = names.filter((name) => statedNames.has(name)).sort();
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  const parts = stated.flatMap((name) => {
    const [kind, resource = ""] = name.includes(".") ? name.split(".") : ["requests", name];
    const lacking = containers.filter(({ resources }) => {
      const list = kind === "limits" ? resources?.limits : resources?.requests;
      return (list as Record<string, unknown> | undefined)?.[resource] === undefined;
    });
    const who = [...new Set(lacking.map((each) => each.name))].sort().join(",");
    return lacking.length === 0 ? [] : [`${name} for: ${who}`];
  });
  return parts.length === 0 ? undefined : `must specify ${parts.join("; ")}`;
}

function podInScope(object: KubeObject, { scopeName, operator, values }: ScopeRequirement): boolean {
  const spec = (object as Pod).spec ?? { containers: [] };
  switch (scopeName) {
    case "Terminating":
      return isBounded(spec);
    case "NotTerminating":
      return !isBounded(spec);
    case "BestEffort":
      return qosClassOf(spec) === "BestEffort";
    case "NotBestEffort":
      return qosClassOf(spec) !== "BestEffort";
    case "CrossNamespacePodAffinity":
      return reachesOtherNamespaces(spec);
    case "PriorityClass": {
      const name = spec.priorityClassName ?? "";
      if (operator === "Exists") return name !== "";
      if (operator === "DoesNotExist") return name === "";
      return values.includes(name) === (operator === "In");
    }
    default:
      return false;
  }
}

function isBounded({ activeDeadlineSeconds }: PodSpec): boolean {
  return activeDeadlineSeconds !== undefined && activeDeadlineSeconds !== null && activeDeadlineSeconds >= 0;
}

function reachesOtherNamespaces({ affinity }: PodSpec): boolean {
  return [affinity?.podAffinity, affinity?.podAntiAffinity].some((each) => {
    const terms = [
      ...(each?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(each?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((term) => term.podAffinityTerm),
    ];
    return terms.some((term) => (term.namespaces ?? []).length > 0 || term.namespaceSelector !== undefined);
  });
}

const serviceNames: ReadonlySet<string> = new Set([
  "services",
  "count/services",
  "services.nodeports",
  "services.loadbalancers",
]);

const serviceEvaluator: QuotaEvaluator = {
  countsUpdates: true,
  matches: (name) => serviceNames.has(name),
  usage(object) {
    const { spec } = object as Service;
    const used: Quantities = new Map([
      ["count/services", one],
      ["services", one],
    ]);
    const ports = spec?.ports ?? [];
    if (spec?.type === "NodePort") used.set("services.nodeports", whole(ports.length));
    if (spec?.type !== "LoadBalancer") return used;
    const given = ports.filter((port) => (port.nodePort ?? 0) !== 0).length;
    used.set(
      "services.nodeports",
      whole(spec.allocateLoadBalancerNodePorts === false ? given : ports.length),
    );
    used.set("services.loadbalancers", one);
    return used;
  },
};

const storageClassInfix = ".storageclass.storage.k8s.io/";

const claimEvaluator: QuotaEvaluator = {
  countsUpdates: true,
  matches: (name) =>
    name === "persistentvolumeclaims" ||
    name === "count/persistentvolumeclaims" ||
    name === "requests.storage" ||
    name.endsWith(`${storageClassInfix}persistentvolumeclaims`) ||
    name.endsWith(`${storageClassInfix}requests.storage`),
  usage(object) {
    const { spec, metadata } = object as PersistentVolumeClaim;
    const className =
      metadata?.annotations?.["volume.beta.kubernetes.io/storage-class"] ?? spec?.storageClassName ?? "";
    const used: Quantities = new Map([
      ["count/persistentvolumeclaims", one],
      ["persistentvolumeclaims", one],
    ]);
    if (className !== "") used.set(`${className}${storageClassInfix}persistentvolumeclaims`, one);
    const asked = (spec?.resources?.requests as Record<string, string> | undefined)?.["storage"];
    if (asked === undefined) return used;
    const size = parseQuantity(asked);
    used.set("requests.storage", size);
    if (className !== "") used.set(`${className}${storageClassInfix}requests.storage`, size);
    return used;
  },
};

function whole(count: number): ReturnType<typeof parseQuantity> {
  return parseQuantity(String(count));
}
