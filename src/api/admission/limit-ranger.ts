/**
 * LimitRanger: a LimitRange gives containers the requests and limits that they lack, and refuses pods
 * and claims that ask for less or more than it allows (upstream's plugin/pkg/admission/limitranger).
 * Pods are checked when they are created, claims also when they change.
 */
import type { Container, LimitRangeItem, Pod, PodSpec } from "kubernetes-types/core/v1.d.ts";
import type { KubeObject } from "#kinds/object.ts";
import { formatQuantities, podLimits, podRequests } from "#kinds/pod-requests.ts";
import { canonicalizeQuantity, compareQuantities, parseQuantity } from "#kinds/quantity.ts";
import type { ResourceRegistry } from "../registry.ts";
import { forbiddenError } from "../status.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./admission.ts";
import { isNewPod } from "./pod-defaults.ts";

const noteAnnotation = "kubernetes.io/limit-ranger";

type Amounts = Readonly<Record<string, string>>;
type Limits = Readonly<
  Record<"min" | "max" | "default" | "defaultRequest" | "maxLimitRequestRatio", Amounts>
>;

export function limitRanger(registry: ResourceRegistry): AdmissionPlugin {
  const limitsOf = (namespace: string): LimitRangeItem[][] => {
    const entries = registry.builtIn("", "limitranges").stored?.cache.list(namespace) ?? [];
    return entries.map((each) => {
      const { spec } = each.decode() as KubeObject & { spec?: { limits?: LimitRangeItem[] } };
      return spec?.limits ?? [];
    });
  };
  return {
    name: "LimitRanger",
    admit(request) {
      const pod = request.object;
      if (!isNewPod(request) || pod === undefined || isBeingDeleted(request)) return;
      for (const limits of limitsOf(request.namespace)) setDefaults(pod as KubeObject & Pod, limits);
    },
    validate(request) {
      const errorsOf = isNewPod(request) ? podErrors : isClaim(request) ? claimErrors : undefined;
      if (errorsOf === undefined || request.object === undefined || isBeingDeleted(request)) return;
      for (const limits of limitsOf(request.namespace)) {
        const errors = [...new Set(errorsOf(request.object, limits))];
        if (errors.length === 0) continue;
        const why = errors.length === 1 ? errors.join("") : `[${errors.join(", ")}]`;
        throw forbiddenError(request.resource.groupResource, request.name, why);
      }
    },
  };
}

function isClaim({ resource, operation, subresource }: AdmissionRequest): boolean {
  const { group, plural } = resource.kind;
  const isWrite = operation === "CREATE" || operation === "UPDATE";
  return group === "" && plural === "persistentvolumeclaims" && isWrite && subresource === "";
}

function isBeingDeleted({ old, object }: AdmissionRequest): boolean {
  return (object ?? old)?.metadata.deletionTimestamp !== undefined;
}

function setDefaults(pod: KubeObject & Pod, limits: readonly LimitRangeItem[]): void {
  const requests: Record<string, string> = {};
  const maxima: Record<string, string> = {};
  for (const limit of limits.filter((each) => each.type === "Container")) {
    Object.assign(requests, limit.defaultRequest);
    Object.assign(maxima, limit.default);
  }
  const notes = [
    ...(pod.spec?.containers ?? []).flatMap((each) => fill(each, "container", requests, maxima)),
    ...(pod.spec?.initContainers ?? []).flatMap((each) => fill(each, "init container", requests, maxima)),
  ];
  if (notes.length === 0) return;
  const note = `LimitRanger plugin set: ${notes.join("; ")}`;
  pod.metadata.annotations = { ...pod.metadata.annotations, [noteAnnotation]: note };
}

function fill(container: Container, title: string, requests: Amounts, maxima: Amounts): string[] {
  const notes: string[] = [];
  const parts = [
    ["requests", "request", requests],
    ["limits", "limit", maxima],
  ] as const;
  for (const [field, word, defaults] of parts) {
    const given = (container.resources?.[field] ?? {}) as Record<string, string>;
    const added = Object.keys(defaults).filter((name) => given[name] === undefined);
    if (added.length === 0) continue;
    const values = added.map((name) => [name, defaults[name] ?? "0"]);
    container.resources = {
      ...container.resources,
      [field]: { ...given, ...(Object.fromEntries(values) as Amounts) },
    };
    notes.push(`${added.sort().join(", ")} ${word} for ${title} ${container.name}`);
  }
  return notes;
}

function podErrors(object: KubeObject, limits: readonly LimitRangeItem[]): string[] {
  const spec: PodSpec = (object as Pod).spec ?? { containers: [] };
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  return limits.flatMap((limit) => {
    if (limit.type === "Container") {
      return containers.flatMap(({ resources }) =>
        usageErrors(limit, (resources?.requests ?? {}) as Amounts, (resources?.limits ?? {}) as Amounts),
      );
    }
    if (limit.type !== "Pod") return [];
    return usageErrors(limit, formatQuantities(podRequests(spec)), formatQuantities(podLimits(spec)));
  });
}

function usageErrors(limit: LimitRangeItem, requests: Amounts, limits: Amounts): string[] {
  const { min = {}, max = {}, maxLimitRequestRatio = {} } = limit as Partial<Limits>;
  return [
    ...sorted(min).flatMap(([name, bound]) => minimumErrors(limit.type, name, bound, requests, limits)),
    ...sorted(max).flatMap(([name, bound]) => maximumErrors(limit.type, name, bound, requests, limits)),
    ...sorted(maxLimitRequestRatio).flatMap(([name, bound]) =>
      ratioErrors(limit.type, name, bound, requests, limits),
    ),
  ];
}

function minimumErrors(
  type: string,
  name: string,
  bound: string,
  requests: Amounts,
  limits: Amounts,
): string[] {
  const rule = `minimum ${name} usage per ${type} is ${canonicalizeQuantity(bound)}`;
  const request = requests[name];
  const limit = limits[name];
  if (request === undefined) return [`${rule}.  No request is specified`];
  if (compareQuantities(request, bound) < 0)
    return [`${rule}, but request is ${canonicalizeQuantity(request)}`];
  if (limit !== undefined && compareQuantities(limit, bound) < 0)
    return [`${rule}, but limit is ${canonicalizeQuantity(limit)}`];
  return [];
}

function maximumErrors(
  type: string,
  name: string,
  bound: string,
  requests: Amounts,
  limits: Amounts,
): string[] {
  const rule = `maximum ${name} usage per ${type} is ${canonicalizeQuantity(bound)}`;
  const request = requests[name];
  const limit = limits[name];
  if (limit === undefined) return [`${rule}.  No limit is specified`];
  if (compareQuantities(limit, bound) > 0) return [`${rule}, but limit is ${canonicalizeQuantity(limit)}`];
  if (request !== undefined && compareQuantities(request, bound) > 0)
    return [`${rule}, but request is ${canonicalizeQuantity(request)}`];
  return [];
}

function ratioErrors(
  type: string,
  name: string,
  bound: string,
  requests: Amounts,
  limits: Amounts,
): string[] {
  const rule = `${name} max limit to request ratio per ${type} is ${canonicalizeQuantity(bound)}`;
  const request = Number(parseQuantity(requests[name] ?? "0").nano);
  const limit = Number(parseQuantity(limits[name] ?? "0").nano);
  if (request === 0) return [`${rule}, but no request is specified or request is 0`];
  if (limit === 0) return [`${rule}, but no limit is specified or limit is 0`];
  const ratio = limit / request;
  if (ratio <= Number(parseQuantity(bound).nano) / 1e9) return [];
  return [`${rule}, but provided ratio is ${ratio.toFixed(6)}`];
}

function claimErrors(object: KubeObject, limits: readonly LimitRangeItem[]): string[] {
  const spec = object["spec"] as { resources?: { requests?: Amounts } } | undefined;
  const requests = spec?.resources?.requests ?? {};
  return limits
    .filter((each) => each.type === "PersistentVolumeClaim")
    .flatMap((limit) => {
      const { min = {}, max = {} } = limit as Partial<Limits>;
      return [
        ...sorted(min).flatMap(([name, bound]) => minimumErrors(limit.type, name, bound, requests, {})),
        ...sorted(max).flatMap(([name, bound]) => {
          const request = requests[name];
          const rule = `maximum ${name} usage per ${limit.type} is ${canonicalizeQuantity(bound)}`;
          if (request === undefined) return [`${rule}.  No request is specified`];
          if (compareQuantities(request, bound) <= 0) return [];
          return [`${rule}, but request is ${canonicalizeQuantity(request)}`];
        }),
      ];
    });
}

function sorted(amounts: Amounts): [string, string][] {
  return Object.entries(amounts).sort(([left], [right]) => (left < right ? -1 : 1));
}
