/** ResourceQuotas: what a namespace uses of what it may. Admission refuses; this only counts. */
import { addQuantities, formatQuantity, parseQuantity, zeroQuantity } from "#kinds/quantity.ts";
import type { Quantity } from "#kinds/quantity.ts";
import type { KubeObject } from "#kinds/object.ts";
import { keyOf, on, self, splitKey, updateStatus } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { persistentVolumeClaims, pods, resourceQuotas, services } from "./kubernetes.ts";
import type { PersistentVolumeClaim, Pod, Resource, ResourceQuota, Service } from "./kubernetes.ts";
import { isPodFinished } from "./pod.ts";
import { podRequests } from "./pod-requests.ts";
import { quotaCovers } from "./quota-scopes.ts";
import { classOf } from "./volume-matching.ts";

/** Names that count objects, as they were before "count/". */
const countedByName = new Set(["configmaps", "secrets", "replicationcontrollers", "resourcequotas"]);
const changing = new Set(["Pod", "Service", "PersistentVolumeClaim"]);

export const resourceQuotaController: Controller = {
  name: "resourcequota-controller",
  triggers: [on(resourceQuotas, self)],
  reads: [pods, services, persistentVolumeClaims],
  writes: [resourceQuotas],
  everything: { keys: quotasOf },
  plan: planQuota,
};

export function* planQuota(view: View, key: string): Plan {
  const { namespace, name } = splitKey(key);
  const quota = view.get(resourceQuotas, namespace, name);
  if (quota === undefined) return;
  const hard = quota.spec.hard ?? {};
  const used: Record<string, string> = {};
  for (const resource of Object.keys(hard)) {
    const amount = usage(view, quota, namespace, resource);
    if (amount !== undefined) used[resource] = formatQuantity(amount);
  }
  const status = { hard, used };
  if (equal(quota.status, status)) return;
  yield* updateStatus(resourceQuotas, { ...quota, status } as ResourceQuota);
}

/** Undefined for a name that nothing counts. */
function usage(view: View, quota: ResourceQuota, namespace: string, name: string): Quantity | undefined {
  if (name.startsWith("count/")) return countOf(view, quota, namespace, name.slice("count/".length));
  if (countedByName.has(name)) return countOf(view, quota, namespace, name);
  if (name === "services" || name.startsWith("services.")) return serviceCount(view, namespace, name);
  if (
    name === "persistentvolumeclaims" ||
    name === "requests.storage" ||
    name.includes(".storageclass.storage.k8s.io/")
  ) {
    return claimUsage(view, namespace, name);
  }
  const covered = view.list(pods, namespace).filter((pod) => !isPodFinished(pod) && quotaCovers(quota, pod));
  if (name === "pods") return whole(covered.length);
  return sum(covered.map((pod) => podUsage(pod, name)));
}

function podUsage(pod: Pod, name: string): Quantity {
  if (name.startsWith("limits."))
    return podRequests(pod, "limits")[name.slice("limits.".length)] ?? zeroQuantity;
  const resource = name.startsWith("requests.") ? name.slice("requests.".length) : name;
  return podRequests(pod, "requests")[resource] ?? zeroQuantity;
}

function countOf(view: View, quota: ResourceQuota, namespace: string, name: string): Quantity | undefined {
  const dot = name.indexOf(".");
  const plural = dot < 0 ? name : name.slice(0, dot);
  const group = dot < 0 ? "" : name.slice(dot + 1);
  const resource = view.resources().find((each) => each.plural === plural && each.group === group);
  if (resource === undefined) return undefined;
  const objects = view.list(resource, namespace);
  if (plural !== "pods" || group !== "") return whole(objects.length);
  return whole((objects as unknown as Pod[]).filter((pod) => quotaCovers(quota, pod)).length);
}

function serviceCount(view: View, namespace: string, name: string): Quantity {
  const all: Service[] = view.list(services, namespace);
  if (name === "services") return whole(all.length);
  if (name === "services.loadbalancers")
    return whole(all.filter((each) => each.spec.type === "LoadBalancer").length);
  const portsOf = ({ spec }: Service): number => {
    if (spec.type === "NodePort") return (spec.ports ?? []).length;
    if (spec.type !== "LoadBalancer") return 0;
    const allocates =
      (spec as { allocateLoadBalancerNodePorts?: boolean }).allocateLoadBalancerNodePorts !== false;
    return (spec.ports ?? []).filter((port) => allocates || (port.nodePort ?? 0) > 0).length;
  };
  return whole(all.reduce((total, each) => total + portsOf(each), 0));
}

function claimUsage(view: View, namespace: string, name: string): Quantity {
  const [prefix = "", suffix] = name.split(".storageclass.storage.k8s.io/");
  const what = suffix ?? prefix;
  const claims: PersistentVolumeClaim[] = view
    .list(persistentVolumeClaims, namespace)
    .filter((claim) => suffix === undefined || classOf(claim) === prefix);
  if (what === "persistentvolumeclaims") return whole(claims.length);
  return sum(claims.map((claim) => parseQuantity(claim.spec.resources?.requests?.["storage"] ?? "0")));
}

function sum(quantities: readonly Quantity[]): Quantity {
  return quantities.reduce((total, each) => addQuantities(total, each), zeroQuantity);
}

function whole(count: number): Quantity {
  return parseQuantity(String(count));
}

/** Counts change when objects come and go; of some kinds also when they change. */
function* quotasOf(
  _resource: Resource,
  object: KubeObject | undefined,
  old: KubeObject | undefined,
  view: View,
): Iterable<string> {
  const { namespace } = (object ?? old)?.metadata ?? {};
  if (namespace === undefined) return;
  if (object !== undefined && old !== undefined && !changing.has(object.kind ?? "")) return;
  for (const quota of view.list(resourceQuotas, namespace)) yield keyOf(quota);
}
