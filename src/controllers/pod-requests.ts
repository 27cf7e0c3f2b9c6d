/** What a pod requests, or is limited to, as exact quantities. */
import { addQuantities, compareQuantities, parseQuantity } from "#kinds/quantity.ts";
import type { Quantity } from "#kinds/quantity.ts";
import type { Pod } from "./kubernetes.ts";

type Amounts = Record<string, Quantity>;

/** Init containers run one after the other beside the sidecars before them; the others together. */
export function podRequests(pod: Pod, which: "requests" | "limits"): Amounts {
  const total: Amounts = {};
  const sidecars: Amounts = {};
  const initial: Amounts = {};
  for (const container of pod.spec.containers) add(total, container.resources?.[which]);
  for (const container of pod.spec.initContainers ?? []) {
    if ((container as { restartPolicy?: string }).restartPolicy === "Always") {
      add(total, container.resources?.[which]);
      add(sidecars, container.resources?.[which]);
      raise(initial, sidecars);
    } else {
      const together = { ...sidecars };
      add(together, container.resources?.[which]);
      raise(initial, together);
    }
  }
  raise(total, initial);
  add(total, pod.spec.overhead);
  return total;
}

function add(total: Amounts, more: Record<string, unknown> | undefined): void {
  for (const [name, text] of Object.entries(more ?? {})) {
    const amount = parseQuantity(text as string);
    total[name] = total[name] === undefined ? amount : addQuantities(total[name], amount);
  }
}

function raise(total: Amounts, least: Amounts): void {
  for (const [name, amount] of Object.entries(least)) {
    if (total[name] === undefined || compareQuantities(amount, total[name]) > 0) total[name] = amount;
  }
}
