/**
 * ResourceQuota: what an object will use is added to the usage of every quota that counts it, before the
 * object is written, and refused where that is more than a quota allows. The usage is written with
 * compare-and-swap, so that two servers can't both take the last place. What a failed write has taken
 * is given back by the quota controller, which counts again.
 */
import type { ResourceQuota as QuotaTypes } from "kubernetes-types/core/v1.d.ts";
import { StatusError } from "#base/errors.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Quantities } from "#kinds/pod-requests.ts";
import { addQuantities, compareQuantities, formatQuantity, parseQuantity } from "#kinds/quantity.ts";
import { quotaEvaluatorOf, quotaScopes } from "#kinds/quota-usage.ts";
import type { QuotaEvaluator } from "#kinds/quota-usage.ts";
import type { ResourceRegistry } from "../registry.ts";
import { placeOf } from "../rest/stored.ts";
import { forbiddenError } from "../status.ts";
import type { ObjectStore } from "../storage/object-store.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./admission.ts";

type Quota = KubeObject & Pick<QuotaTypes, "spec" | "status">;
type Amounts = Record<string, string>;

export function resourceQuota(registry: ResourceRegistry, store: ObjectStore): AdmissionPlugin {
  return {
    name: "ResourceQuota",
    async validate(request) {
      const { operation, resource, namespace, object } = request;
      if (namespace === "" || request.subresource !== "" || object === undefined) return;
      if (operation !== "CREATE" && operation !== "UPDATE") return;
      const quotas = registry.builtIn("", "resourcequotas");
      const entries = quotas.stored?.cache.list(namespace) ?? [];
      if (entries.length === 0) return;
      const evaluator = quotaEvaluatorOf(resource.kind.group, resource.kind.plural);
      if (operation === "UPDATE" && !evaluator.countsUpdates) return;
      const candidates = entries.map((each) => each.decode() as Quota);
      const counting = candidates.filter((each) => isCounted(each, evaluator, object));
      for (const quota of counting) checkStated(quota, evaluator, request, object);
      const wanted = increase(evaluator, object, request.old);
      if (wanted.size === 0) return;
      for (const quota of counting) checkFits(quota, wanted, request);
      if (request.dryRun) return;
      for (const quota of counting) {
        const place = placeOf(quotas, namespace, quota.metadata.name ?? "");
        try {
          await store.update(place, {}, (current) => {
            const newest = (current?.object ?? quota) as Quota;
            checkFits(newest, wanted, request);
            return { type: "put", object: withUsage(newest, wanted) };
          });
        } catch (error) {
          // Deleted meanwhile: it limits nothing any more.
          if (!(error instanceof StatusError) || error.reason !== "NotFound") throw error;
        }
      }
    },
  };
}

function isCounted(quota: Quota, evaluator: QuotaEvaluator, object: KubeObject): boolean {
  if (!Object.keys(hardOf(quota)).some((name) => evaluator.matches(name))) return false;
  const scopes = quotaScopes(quota as unknown as QuotaTypes);
  return scopes.every((scope) => evaluator.inScope?.(object, scope) ?? false);
}

/** A quota can only count what an object says about itself, and only where it has counted before. */
function checkStated(
  quota: Quota,
  evaluator: QuotaEvaluator,
  request: AdmissionRequest,
  object: KubeObject,
): void {
  const names = Object.keys(hardOf(quota)).filter((name) => evaluator.matches(name));
  const name = quota.metadata.name ?? "";
  const missing = evaluator.missing?.(names, object);
  if (missing !== undefined) throw refusal(request, `failed quota: ${name}: ${missing}`);
  const used = usedOf(quota);
  if (names.every((each) => used[each] !== undefined)) return;
  throw refusal(request, `status unknown for quota: ${name}, resources: ${names.sort().join(",")}`);
}

/** What the object uses beyond what it has used so far; names without change are left out. */
function increase(evaluator: QuotaEvaluator, object: KubeObject, old: KubeObject | undefined): Quantities {
  const after = evaluator.usage(object);
  const before = old === undefined ? new Map<string, never>() : evaluator.usage(old);
  const delta: Quantities = new Map();
  for (const name of new Set([...after.keys(), ...before.keys()])) {
    const to = after.get(name) ?? { nano: 0n, format: before.get(name)?.format ?? "DecimalSI" };
    const nano = to.nano - (before.get(name)?.nano ?? 0n);
    if (nano !== 0n) delta.set(name, { nano, format: to.format });
  }
  return delta;
}

function checkFits(quota: Quota, wanted: Quantities, request: AdmissionRequest): void {
  const hard = hardOf(quota);
  const used = usedOf(quota);
  const exceeded = [...wanted]
    .filter(([name, quantity]) => {
      const limit = hard[name];
      if (limit === undefined || quantity.nano < 0n) return false;
      return compareQuantities(addQuantities(parseQuantity(used[name] ?? "0"), quantity), limit) > 0;
    })
    .map(([name]) => name)
    .sort();
  if (exceeded.length === 0) return;
  const list = (valueOf: (name: string) => string): string =>
    exceeded.map((name) => `${name}=${valueOf(name)}`).join(",");
  const requested = list((name) => formatQuantity(wanted.get(name) ?? parseQuantity("0")));
  throw refusal(
    request,
    `exceeded quota: ${quota.metadata.name ?? ""}, requested: ${requested}, used: ${list((name) => used[name] ?? "0")}, limited: ${list((name) => hard[name] ?? "0")}`,
  );
}

function withUsage(quota: Quota, wanted: Quantities): Quota {
  const hard = hardOf(quota);
  const used = { ...usedOf(quota) };
  for (const [name, quantity] of wanted) {
    if (hard[name] === undefined) continue;
    used[name] = formatQuantity(addQuantities(parseQuantity(used[name] ?? "0"), quantity));
  }
  return { ...quota, status: { ...quota.status, used } as NonNullable<Quota["status"]> };
}

function hardOf(quota: Quota): Amounts {
  return (quota.status?.hard ?? {}) as Amounts;
}

function usedOf(quota: Quota): Amounts {
  return (quota.status?.used ?? {}) as Amounts;
}

function refusal(request: AdmissionRequest, why: string): Error {
  return forbiddenError(request.resource.groupResource, request.name, why);
}
