/** The quality-of-service class of a pod: what is taken from it first when memory runs out. */
import type { Container, PodSpec } from "../types.ts";
import { quantityValue } from "./quantity.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

/** Guaranteed: every container has limits for cpu and memory that equal its requests. */
export function qosClass(spec: PodSpec): QosClass {
  const containers: Container[] = [...spec.containers, ...(spec.initContainers ?? [])];
  let any = false;
  let guaranteed = true;
  for (const container of containers) {
    for (const name of ["cpu", "memory"]) {
      const limit = quantityValue(container.resources?.limits?.[name]) ?? 0;
      const request = quantityValue(container.resources?.requests?.[name]) ?? limit;
      if (limit > 0 || request > 0) any = true;
      if (limit === 0 || limit !== request) guaranteed = false;
    }
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}
