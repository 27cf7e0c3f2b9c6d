/** The add-on `metrics`: metrics.k8s.io/v1beta1 for `kubectl top` and for autoscaling. */
import { defineAddon } from "../addon.ts";

export const metricsAddon = defineAddon({
  name: "metrics",
  description: "CPU and memory of nodes and pods, for kubectl top and the horizontal pod autoscaler",
  requires: [],
  objects: [
    {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name: "v1beta1.metrics.k8s.io" },
      spec: { group: "metrics.k8s.io", version: "v1beta1", groupPriorityMinimum: 100, versionPriority: 100 },
      status: {
        conditions: [
          {
            type: "Available",
            status: "True",
            reason: "Local",
            message: "Local APIServices are always available",
          },
        ],
      },
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: {
        name: "system:aggregated-metrics-reader",
        labels: {
          "rbac.authorization.k8s.io/aggregate-to-view": "true",
          "rbac.authorization.k8s.io/aggregate-to-edit": "true",
          "rbac.authorization.k8s.io/aggregate-to-admin": "true",
        },
      },
      rules: [
        { apiGroups: ["metrics.k8s.io"], resources: ["pods", "nodes"], verbs: ["get", "list", "watch"] },
      ],
    },
  ],
  nextSteps: () => [
    "kubectl top nodes              # the first values come after a few seconds",
    "kubectl top pods -A",
  ],
  async start(context) {
    const [{ Scraper }, nodes, pods] = await Promise.all([
      import("./scraper.ts"),
      import("#kinds/node-metrics.ts"),
      import("#kinds/pod-metrics.ts"),
    ]);
    const scraper = new Scraper(context);
    const remove = context.addResources([
      { kind: nodes.nodeMetrics, schema: nodes.nodeMetricsSchema, list: () => scraper.nodeMetrics() },
      { kind: pods.podMetrics, schema: pods.podMetricsSchema, list: (each) => scraper.podMetrics(each) },
    ]);
    return {
      async close() {
        remove();
        await scraper.close();
      },
    };
  },
});
