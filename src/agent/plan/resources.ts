/**
 * Requests and limits turned into the kernel's numbers, for a container and for its pod's own cgroup.
 * The rules are upstream's: 2 to 262144 shares, 100 ms periods, a quota of at least 1 ms.
 */
import type { Container, PodSpec } from "../types.ts";
import { isSidecar } from "./containers.ts";
import type { QosClass } from "./qos.ts";
import { milliCpu, quantityBytes } from "./quantity.ts";

export const cpuPeriodUs = 100_000;

export interface CgroupLimits {
  cpuShares: number;
  /** Microseconds per period; undefined: no limit. */
  cpuQuotaUs: number | undefined;
  memoryLimitBytes: number | undefined;
}

export function cpuShares(milli: number): number {
  if (milli === 0) return 2;
  return Math.min(Math.max(Math.floor((milli * 1024) / 1000), 2), 262_144);
}

export function cpuQuotaUs(milli: number): number | undefined {
  return milli === 0 ? undefined : Math.max(Math.floor((milli * cpuPeriodUs) / 1000), 1000);
}

/** cgroup v2's weight (1 to 10000) for v1's shares. */
export function cpuWeight(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}

export function containerLimits(container: { resources?: Container["resources"] }): CgroupLimits {
  const limits = container.resources?.limits;
  const cpuLimit = milliCpu(limits?.["cpu"]) ?? 0;
  const cpuRequest = milliCpu(container.resources?.requests?.["cpu"]) ?? cpuLimit;
  const memory = quantityBytes(limits?.["memory"]);
  return {
    cpuShares: cpuShares(cpuRequest),
    cpuQuotaUs: cpuQuotaUs(cpuLimit),
    memoryLimitBytes: memory === undefined || memory === 0 ? undefined : memory,
  };
}

/** The pod's own cgroup: the sum of its containers, or more where an init container asks for more. */
export function podLimits(spec: PodSpec): CgroupLimits {
  const cpuRequest = effective(spec, (each) => {
    const limit = milliCpu(each.resources?.limits?.["cpu"]);
    return milliCpu(each.resources?.requests?.["cpu"]) ?? limit ?? 0;
  });
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  const limited = (name: string) => all.every((each) => each.resources?.limits?.[name] !== undefined);
  const cpuLimit = limited("cpu")
    ? effective(spec, (each) => milliCpu(each.resources?.limits?.["cpu"]) ?? 0)
    : 0;
  const memory = limited("memory")
    ? effective(spec, (each) => quantityBytes(each.resources?.limits?.["memory"]) ?? 0)
    : 0;
  return {
    cpuShares: cpuShares(cpuRequest),
    cpuQuotaUs: cpuQuotaUs(cpuLimit),
    memoryLimitBytes: memory === 0 ? undefined : memory,
  };
}

/** Who is killed first when memory runs out: -997 never, 1000 first. */
export function oomScoreAdjustment(
  qos: QosClass,
  container: { resources?: Container["resources"] },
  memoryCapacityBytes: number,
): number {
  if (qos === "Guaranteed") return -997;
  if (qos === "BestEffort") return 1000;
  const request = quantityBytes(container.resources?.requests?.["memory"]) ?? 0;
  const score = 1000 - Math.floor((1000 * request) / memoryCapacityBytes);
  if (score < 3) return 3;
  return score === 1000 ? 999 : score;
}

function effective(spec: PodSpec, amount: (container: Container) => number): number {
  let regular = 0;
  for (const container of spec.containers) regular += amount(container);
  let sidecars = 0;
  let initPeak = 0;
  for (const container of spec.initContainers ?? []) {
    if (isSidecar(container)) {
      sidecars += amount(container);
      initPeak = Math.max(initPeak, sidecars);
    } else initPeak = Math.max(initPeak, sidecars + amount(container));
  }
  return Math.max(regular + sidecars, initPeak);
}
