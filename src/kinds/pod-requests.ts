/** What a pod asks of a node: effective requests and limits (KEP-753 for sidecars), and the quality-of-service class. */
import type { Container, PodSpec } from "kubernetes-types/core/v1.d.ts";
import {
  type Quantity,
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
} from "./quantity.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";
export type Quantities = Map<string, Quantity>;

/** Requests by resource: the larger of running containers (with sidecars) and any one init step, plus overhead. */
export function podRequests(spec: PodSpec): Quantities {
  return aggregate(spec, "requests");
}

/** Limits by resource; resources without a limit in a container do not count there. */
export function podLimits(spec: PodSpec): Quantities {
  return aggregate(spec, "limits");
}

export function formatQuantities(quantities: Quantities): Record<string, string> {
  return Object.fromEntries([...quantities].map(([name, quantity]) => [name, formatQuantity(quantity)]));
}

function aggregate(spec: PodSpec, field: "requests" | "limits"): Quantities {
  const total: Quantities = new Map();
  for (const container of spec.containers ?? []) add(total, resourcesOf(container, field));
  const sidecars: Quantities = new Map();
  const largest: Quantities = new Map();
  for (const container of spec.initContainers ?? []) {
    const own = resourcesOf(container, field);
    if (container.restartPolicy === "Always") {
      add(total, own);
      add(sidecars, own);
      keepLarger(largest, sidecars);
    } else {
      const step: Quantities = new Map(sidecars);
      add(step, own);
      keepLarger(largest, step);
    }
  }
  keepLarger(total, largest);
  if (spec.overhead !== undefined && (field === "requests" || total.size > 0)) {
    const overhead: Quantities = new Map();
    for (const [name, value] of Object.entries(spec.overhead as Record<string, string>))
      if (field === "requests" || total.has(name)) overhead.set(name, parseQuantity(value));
    add(total, overhead);
  }
  return total;
}

function resourcesOf(container: Container, field: "requests" | "limits"): Quantities {
  const list = (container.resources?.[field] ?? {}) as Record<string, string>;
  return new Map(Object.entries(list).map(([name, value]) => [name, parseQuantity(value)]));
}

function add(total: Quantities, more: Quantities): void {
  for (const [name, quantity] of more) {
    const before = total.get(name);
    total.set(name, before === undefined ? quantity : addQuantities(before, quantity));
  }
}

function keepLarger(total: Quantities, other: Quantities): void {
  for (const [name, quantity] of other) {
    const before = total.get(name);
    if (before === undefined || compareQuantities(quantity, before) > 0) total.set(name, quantity);
  }
}

/** Guaranteed: every container has equal cpu and memory requests and limits; BestEffort: none has any. */
export function qosClassOf(spec: PodSpec): QosClass {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const requests = new Map<string, bigint>();
  const limits = new Map<string, bigint>();
  let guaranteed = true;
  for (const { resources } of containers) {
    const names = new Set<string>();
    for (const [total, list] of [
      [requests, resources?.requests],
      [limits, resources?.limits],
    ] as const)
      for (const name of ["cpu", "memory"]) {
        const value = (list as Record<string, string> | undefined)?.[name];
        if (value === undefined) continue;
        const { nano } = parseQuantity(value);
        if (nano <= 0n) continue;
        if (total === limits) names.add(name);
        total.set(name, (total.get(name) ?? 0n) + nano);
      }
    if (names.size < 2) guaranteed = false;
  }
  if (requests.size === 0 && limits.size === 0) return "BestEffort";
  if (!guaranteed || requests.size !== limits.size) return "Burstable";
  for (const [name, value] of requests) if (limits.get(name) !== value) return "Burstable";
  return "Guaranteed";
}
