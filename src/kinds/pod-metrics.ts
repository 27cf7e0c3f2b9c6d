/** PodMetrics (metrics.k8s.io/v1beta1): what a pod's containers use. Computed by the add-on `metrics`. */
import { nameColumn, text } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { usageSchema, windowSchemas } from "./node-metrics.ts";
import type { ResourceUsage } from "./node-metrics.ts";
import type { KubeObject } from "./object.ts";
import { addQuantities, formatQuantity, parseQuantity, zeroQuantity } from "./quantity.ts";
import type { Schema } from "./schema.ts";

export interface PodMetricsObject extends KubeObject {
  /** RFC 3339: the end of the window. */
  timestamp: string;
  /** Go's duration ("15.02s"): the time over which cpu is averaged. */
  window: string;
  containers: { name: string; usage: ResourceUsage }[];
}

export const podMetricsSchema: Schema = {
  type: "object",
  description: "What the containers of a pod use.",
  properties: {
    ...windowSchemas,
    containers: {
      type: "array",
      items: {
        type: "object",
        properties: { name: { type: "string" }, usage: usageSchema },
        required: ["name", "usage"],
      },
    },
  },
  required: ["timestamp", "window", "containers"],
};

export const podMetrics = defineKind<PodMetricsObject>({
  group: "metrics.k8s.io",
  version: "v1beta1",
  kind: "PodMetrics",
  plural: "pods",
  singular: "",
  namespaced: true,
  schemaName: "",
  verbs: ["get", "list"],
  stored: false,
  columns: [
    nameColumn,
    text("cpu", "Cores in use.", (object) => total(object, "cpu")),
    text("memory", "Memory in use.", (object) => total(object, "memory")),
    text("Window", "Length of the time that was measured.", ({ window }) => window),
  ],
});

function total({ containers }: PodMetricsObject, resource: "cpu" | "memory"): string {
  const quantities = containers.map(({ usage }) => parseQuantity(usage[resource]));
  const [first = zeroQuantity, ...rest] = quantities;
  return formatQuantity(rest.reduce(addQuantities, first));
}
