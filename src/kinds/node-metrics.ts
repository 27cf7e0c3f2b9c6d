/** NodeMetrics (metrics.k8s.io/v1beta1): what a node uses. Computed by the add-on `metrics`, served while it is enabled. */
import { nameColumn, text } from "./columns.ts";
import { defineKind } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import type { Schema } from "./schema.ts";

/** Quantities by resource: cpu in cores, memory in bytes. */
export interface ResourceUsage {
  cpu: string;
  memory: string;
}

export interface NodeMetricsObject extends KubeObject {
  /** RFC 3339: the end of the window. */
  timestamp: string;
  /** Go's duration ("15.02s"): the time over which cpu is averaged. */
  window: string;
  usage: ResourceUsage;
}

export const usageSchema: Schema = {
  type: "object",
  description: "What is used, by resource.",
  additionalProperties: { type: "string", format: "quantity" },
};

export const windowSchemas: Record<string, Schema> = {
  timestamp: { type: "string", format: "date-time", description: "End of the time that was measured." },
  window: { type: "string", description: "Length of the time that was measured." },
};

export const nodeMetricsSchema: Schema = {
  type: "object",
  description: "What a node uses.",
  properties: { ...windowSchemas, usage: usageSchema },
  required: ["timestamp", "window", "usage"],
};

export const nodeMetrics = defineKind<NodeMetricsObject>({
  group: "metrics.k8s.io",
  version: "v1beta1",
  kind: "NodeMetrics",
  plural: "nodes",
  singular: "",
  namespaced: false,
  schemaName: "",
  verbs: ["get", "list"],
  stored: false,
  columns: [
    nameColumn,
    text("cpu", "Cores in use.", ({ usage }) => usage.cpu),
    text("memory", "Memory in use.", ({ usage }) => usage.memory),
    text("Window", "Length of the time that was measured.", ({ window }) => window),
  ],
});
