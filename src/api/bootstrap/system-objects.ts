/** The `kubernetes` Service, its endpoints, and the priority classes of the system's own pods. */
import type { KubeObject } from "#kinds/object.ts";
import type { BootstrapObjects } from "./bootstrap.ts";

export function priorityClasses(): BootstrapObjects {
  const priorityClass = (name: string, value: number, description: string): KubeObject => ({
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name },
    value,
    description,
    preemptionPolicy: "PreemptLowerPriority",
  });
  return {
    group: "scheduling.k8s.io",
    version: "v1",
    plural: "priorityclasses",
    objects: [
      priorityClass("system-node-critical", 2_000_001_000, "For pods that the node itself can't do without."),
      priorityClass(
        "system-cluster-critical",
        2_000_000_000,
        "For pods that the cluster can't do without; they may move.",
      ),
    ],
  };
}

export function kubernetesService(clusterIP: string, targetPort: number): BootstrapObjects {
  const service: KubeObject = {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { component: "apiserver", provider: "kubernetes" },
    },
    spec: {
      type: "ClusterIP",
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      sessionAffinity: "None",
      ports: [{ name: "https", protocol: "TCP", port: 443, targetPort }],
    },
  };
  return { group: "", version: "v1", plural: "services", objects: [service] };
}
